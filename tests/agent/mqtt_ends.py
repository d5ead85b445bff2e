"""Both ends of a test's MQTT: the agent's telemetry under observation, and devices that publish."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from vedette_agent.config.models import Broker
from vedette_agent.mqtt.message import Message, SettledKey
from vedette_agent.mqtt.transport import Will
from vedette_agent.reading.telemetry import Batch, Telemetry

SECONDS = 15.0
"""Deadline of every wait."""
ALERTS = "vedette/gw/+/alert/+"


async def until(condition: Callable[[], object], what: str = "", seconds: float = SECONDS) -> None:
    """Return when the condition holds; fail with `what` when it does not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:.0f} s: {what or condition}")
        await asyncio.sleep(0.005)


async def until_true(look: Callable[[], Awaitable[object]], what: str = "", seconds: float = SECONDS) -> None:
    """As `until`, for what takes an `await` to find out."""
    deadline = time.monotonic() + seconds
    while True:
        if await look():
            return
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what or look}"
        await asyncio.sleep(0.005)


def broker_of(url: str, **changes: Any) -> Broker:
    """[devices] or [hub] with this address."""
    return Broker(**{"url": url, "client_id": "vedette-gw", "connect_timeout": 3.0, **changes})


class Device:
    """A client that publishes and reads, driven by paho's own thread: nothing of the agent's code.

    With `clean=False` it takes up the session of its client id, and acknowledges nothing.
    """

    def __init__(self, port: int, client_id: str = "", *, clean: bool = True) -> None:
        self.messages: list[tuple[str, bytes, bool]] = []
        """Topic, payload, retain flag of everything received."""
        self.disconnects: list[int] = []
        self._client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id=client_id, protocol=paho.MQTTv5, manual_ack=not clean
        )
        self._client.on_message = lambda _c, _u, m: self.messages.append((m.topic, bytes(m.payload), m.retain))
        self._client.on_disconnect = lambda _c, _u, _f, reason, _p: self.disconnects.append(reason.value)
        properties = None
        if not clean:
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho leaves it untyped
            properties.SessionExpiryInterval = 3600
        self._client.connect("127.0.0.1", port, clean_start=clean, properties=properties)
        self._client.loop_start()

    def publish(self, topic: str, payload: bytes | str, *, qos: int = 1, retain: bool = False) -> None:
        """Return when the broker has it."""
        self._client.publish(topic, payload, qos=qos, retain=retain).wait_for_publish(SECONDS)

    def send(self, topic: str, payload: bytes | str, *, qos: int = 1) -> None:
        """Do not wait."""
        self._client.publish(topic, payload, qos=qos)

    def subscribe(self, topic_filter: str) -> None:
        """At QoS 1."""
        self._client.subscribe(topic_filter, qos=1)

    def close(self) -> None:
        """Say goodbye."""
        self._client.disconnect()
        self._client.loop_stop()


@contextlib.contextmanager
def device(port: int, client_id: str = "", *, clean: bool = True) -> Iterator[Device]:
    """A device for a while."""
    made = Device(port, client_id, clean=clean)
    try:
        yield made
    finally:
        made.close()


class Watching:
    """A telemetry, and everything it said. Batches are acknowledged at once unless `acknowledge` is false."""

    def __init__(
        self, broker: Broker, filters: Sequence[str] = ("plant/#",), *, acknowledge: bool = True, **options: Any
    ) -> None:
        self.fresh: list[Message] = []
        """Handed out to be processed."""
        self.duplicates: list[Message] = []
        """Recognised as settled before."""
        self.batches: list[Batch] = []
        self.connects = 0
        self.retained_alerts: list[str] = []
        self.remembered: list[str] = []
        self.acknowledge = acknowledge
        self.gate = asyncio.Event()
        self.gate.set()
        self.telemetry = Telemetry(
            broker,
            filters,
            will=Will("vedette/gw/status", b"lost"),
            alerts_filter=ALERTS,
            on_connected=self._connected,
            on_retained_alert=self.retained_alerts.append,
            remember_filters=lambda remembered: self.remembered.extend(remembered),
            **options,
        )
        self._tasks = [
            asyncio.create_task(self.telemetry.connection.run()),
            asyncio.create_task(self._read()),
        ]

    @property
    def payloads(self) -> list[bytes]:
        """Of the fresh messages."""
        return [message.payload for message in self.fresh]

    def keys(self) -> list[SettledKey]:
        """What the transaction of these batches would have remembered."""
        found: list[SettledKey] = []
        for batch in self.batches:
            found += batch.keys()
        return found

    def _connected(self) -> None:
        self.connects += 1

    async def _read(self) -> None:
        async for batch in self.telemetry:
            await self.gate.wait()
            self.batches.append(batch)
            self.fresh += batch.messages
            self.duplicates += batch.duplicates
            if self.acknowledge:
                batch.acknowledge()

    async def subscribed(self, times: int = 1) -> None:
        """Return when subscribed for the nth time."""
        await until(lambda: self.connects >= times, f"subscribed ({self.telemetry.connection.problem})")

    async def crash(self) -> None:
        """Vanish without a goodbye and without a further word."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def stop(self) -> None:
        """End in order."""
        await self.crash()
        await self.telemetry.connection.close()


@contextlib.asynccontextmanager
async def watching(
    broker: Broker, filters: Sequence[str] = ("plant/#",), *, acknowledge: bool = True, **options: Any
) -> AsyncIterator[Watching]:
    """A subscribed telemetry for a while."""
    made = Watching(broker, filters, acknowledge=acknowledge, **options)
    try:
        await made.subscribed()
        yield made
    finally:
        await made.stop()


def certificate(folder: Path, name: str = "localhost") -> tuple[Path, Path]:
    """A self-signed certificate and its key."""
    crt, key = folder / f"{name}.pem", folder / f"{name}.key"
    made = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -addext subjectAltName="
    subprocess.run(
        [*f"{made}DNS:localhost,IP:127.0.0.1 -subj /CN={name} -keyout".split(), str(key), "-out", str(crt)],
        check=True,
        capture_output=True,
    )
    return crt, key
