from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from tests.agent.alerts import alert, cleared
from tests.agent.mqtt_ends import Device, Watching, broker_of, device, until, until_true
from tests.brokers import Mosquitto
from vedette_agent.config.models import OutboxLimits
from vedette_agent.delivery import local_alerts
from vedette_agent.delivery.database_thread import DatabaseThread
from vedette_agent.delivery.local_alerts import LocalAlerts
from vedette_agent.delivery.outbox import Outbox
from vedette_agent.reading.effects import Effects
from vedette_models import messages
from vedette_models.messages import Alert

ALERTS = "vedette/gw/+/alert/+"


class Gateway:
    """An outbox without a hub, and its local alerts."""

    def __init__(self, url: str, folder: Path, rows: int = 100_000) -> None:
        self.open: list[Alert] = []
        self.box = Outbox(folder / "agent.db", "gw", OutboxLimits(max_rows=rows), to_hub=False)
        self.database = DatabaseThread()
        self.watching = Watching(broker_of(url), ["plant/#"])
        self.local = LocalAlerts(
            "gw", self.box, self.database, self.watching.telemetry.connection, lambda: list(self.open)
        )
        self.watching.telemetry._on_connected = self.local.connected
        self.watching.telemetry._on_retained_alert = self.local.retained
        self._task = asyncio.create_task(self.local.run())

    async def commit(self, *events: Alert) -> None:
        """As the agent does."""
        for event in events:
            self.open = [a for a in self.open if (a.device, a.kind) != (event.device, event.kind)]
            if event.state == "active":
                self.open.append(event)
        await self.database(self.box.commit, Effects(alerts=events), 1.0)
        self.local.wake()

    async def emptied(self) -> None:
        async def empty() -> bool:
            return (await self.database(self.box.stats)).rows == 0

        await until_true(empty)

    async def stop(self) -> None:
        assert not self._task.done()
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self.watching.stop()
        self.database.close()
        self.box.close()


@contextlib.asynccontextmanager
async def running(url: str, folder: Path, rows: int = 100_000) -> AsyncIterator[Gateway]:
    gateway = Gateway(url, folder, rows)
    try:
        await until(lambda: gateway.watching.telemetry.connection.up)
        yield gateway
    finally:
        await gateway.stop()


def retained(port: int) -> dict[str, Alert]:
    """What a display that connects now sees."""
    with device(port) as display:
        display.subscribe("vedette/#")
        display.subscribe("marker/x")
        display.publish("marker/x", "end")
        wait_for(display, "marker/x")
        return {t: messages.from_bytes(Alert, p) for t, p, kept in display.messages if kept and "/alert/" in t}


def wait_for(display: Device, topic: str) -> None:
    import time

    deadline = time.monotonic() + 10
    while not any(t == topic for t, _, _ in display.messages):
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.fixture(autouse=True)
def short_retry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_alerts, "RETRY", 0.05)


@pytest.fixture
def mosquitto(start_mosquitto: Callable[..., Mosquitto]) -> Mosquitto:
    return start_mosquitto(persistence=True)


async def test_an_open_alert_is_retained_and_its_end_clears_the_topic(mosquitto: Mosquitto, tmp_path: Path) -> None:
    async with running(mosquitto.url, tmp_path) as gateway:
        await gateway.commit(alert(device="line 3/pump"))
        await gateway.emptied()
        assert retained(mosquitto.port) == {"vedette/gw/line%203%2Fpump/alert/anomaly": alert(device="line 3/pump")}
        worse = alert(device="line 3/pump", revision=2, severity="critical")
        await gateway.commit(worse)
        await gateway.emptied()
        assert list(retained(mosquitto.port).values()) == [worse]
        await gateway.commit(cleared(device="line 3/pump", revision=3))
        await gateway.emptied()
        assert retained(mosquitto.port) == {}


async def test_a_display_hears_raised_and_cleared_in_order(mosquitto: Mosquitto, tmp_path: Path) -> None:
    with device(mosquitto.port) as display:
        display.subscribe(ALERTS)
        async with running(mosquitto.url, tmp_path) as gateway:
            for i in range(150):  # more than are published at once
                await gateway.commit(alert(id=str(i), score=float(i + 1)), cleared(id=str(i)))
            await gateway.emptied()
            await until(lambda: len(display.messages) == 300)
    payloads = [payload for _, payload, _ in display.messages]
    assert payloads[1::2] == [b""] * 150
    assert [messages.from_bytes(Alert, p).score for p in payloads[::2]] == [float(i + 1) for i in range(150)]


async def test_an_event_that_a_full_box_gave_up_is_shown_all_the_same(mosquitto: Mosquitto, tmp_path: Path) -> None:
    async with running(mosquitto.url, tmp_path, rows=2) as gateway:
        await gateway.commit(alert(id="1", device="ends"))
        await gateway.emptied()
        await gateway.commit(
            alert(id="2", device="lasts"),
            cleared(id="1", device="ends", revision=2),
            alert(id="3", device="third"),
            alert(id="4", device="fourth"),
        )
        await until_true(lambda: shown(mosquitto.port, {"lasts", "third", "fourth"}))


async def shown(port: int, devices: set[str]) -> bool:
    kept = await asyncio.to_thread(retained_topics, port)
    return {topic.split("/")[2] for topic in kept} == devices


async def test_connecting_clears_what_is_not_open_and_publishes_what_is(mosquitto: Mosquitto, tmp_path: Path) -> None:
    with device(mosquitto.port) as other:
        other.publish("vedette/gw/ghost/alert/anomaly", messages.to_bytes(alert(device="ghost")), retain=True)
        other.publish("vedette/gw/real/alert/anomaly", b'{"stale":1}', retain=True)
        other.publish("vedette/gw/status", b"{}", retain=True)
        other.publish("vedette/neighbour/x/alert/anomaly", messages.to_bytes(alert(gateway="n")), retain=True)
    gateway = Gateway(mosquitto.url, tmp_path)
    gateway.open = [alert(device="real"), alert(device="unheard of")]
    try:
        await until(lambda: gateway.watching.telemetry.connection.up)
        wanted = {"gw/real", "gw/unheard%20of", "neighbour/x", "gw/status"}

        async def as_it_should() -> bool:
            kept = await asyncio.to_thread(retained_topics, mosquitto.port)
            return {"/".join(topic.split("/")[1:3]) for topic in kept} == wanted

        await until_true(as_it_should)
        kept = await asyncio.to_thread(retained_topics, mosquitto.port)
        assert messages.from_bytes(Alert, kept["vedette/gw/real/alert/anomaly"]) == alert(device="real")
        assert kept["vedette/gw/status"] == b"{}"
    finally:
        await gateway.stop()


def retained_topics(port: int) -> dict[str, bytes]:
    with device(port) as display:
        display.subscribe("vedette/#")
        display.subscribe("marker/x")
        display.publish("marker/x", "end")
        wait_for(display, "marker/x")
        return {topic: payload for topic, payload, kept in display.messages if kept}


async def test_what_happened_while_the_broker_was_away_is_made_up_for(mosquitto: Mosquitto, tmp_path: Path) -> None:
    async with running(mosquitto.url, tmp_path) as gateway:
        await gateway.commit(alert(device="ended"), alert(device="stays"))
        await gateway.emptied()
        mosquitto.kill()  # what it retained since its last save is lost
        await until(lambda: not gateway.watching.telemetry.connection.up)
        await gateway.commit(cleared(device="ended"), alert(device="new"))
        mosquitto.start()
        await gateway.emptied()

        async def as_it_should() -> bool:
            kept = await asyncio.to_thread(retained, mosquitto.port)
            return {a.device for a in kept.values()} == {"stays", "new"}

        await until_true(as_it_should)


async def test_a_row_of_a_newer_agent_does_not_hold_up_the_others(mosquitto: Mosquitto, tmp_path: Path) -> None:
    async with running(mosquitto.url, tmp_path) as gateway:
        with contextlib.closing(sqlite3.connect(gateway.box.database.path, isolation_level=None)) as other:
            other.execute(
                "INSERT INTO outbox (priority, epoch, sequence, written, topic, body, local_done, hub_done) "
                "VALUES (0, 'new', 1, 1.0, 'vedette/gw/odd/alert/anomaly', ?, 0, 1)",
                (b'{"unknown":1}',),
            )
        await gateway.commit(alert())
        await gateway.emptied()
        assert list(retained(mosquitto.port)) == ["vedette/gw/d1/alert/anomaly"]
