"""Telemetry: MQTT → batches of raw messages, acknowledged only when told to.

    async for batch in telemetry:
        ...                    # decode, score, commit what must be durable
        batch.acknowledge()

The session outlives us: the broker keeps what arrives while we are away, and sends again what we have not
acknowledged. What was settled but whose acknowledgement was lost comes again marked as a duplicate, is recognised by
packet id and content, and is not handed out a second time as new.
"""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import TYPE_CHECKING

from vedette_agent.clock import SYSTEM, Clock
from vedette_agent.mqtt.connection import Connection
from vedette_agent.mqtt.message import SettledKey
from vedette_agent.mqtt.transport import NotConnected, Will
from vedette_agent.reading.settled import Settled, digest
from vedette_models import topics

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from vedette_agent.config import Broker
    from vedette_agent.mqtt.message import Message

logger = logging.getLogger(__name__)

WAITING_BYTES = 8 * 2**20
"""What waits to be processed at most, and one read of the socket: beyond, we stop reading, and the broker keeps it.

Mosquitto 2.0.11 forgets the receive maximum when it works off what waited for us, so that this is the bound that holds.
"""
BATCH_BYTES = 4 * 2**20
"""Payloads and topics of a batch at most, unless a single message has more."""


class Batch:
    """Messages in order of receipt."""

    def __init__(
        self,
        received: list[Message],
        settled: list[bool],
        arrived: float,
        settle: Callable[[Batch], None],
        uptime: float = 0.0,
        quality: int = 0,
    ) -> None:
        self.received = received
        self.messages = [m for m, done in zip(received, settled, strict=True) if not done]
        """To be processed."""
        self.duplicates = [m for m, done in zip(received, settled, strict=True) if done]
        """Processed before; they only want their acknowledgement."""
        self.arrived = arrived
        """Seconds since 1970."""
        self.uptime = uptime
        """Seconds of a clock that nobody sets, when it arrived."""
        self.quality = quality
        """`readings.Quality` of `arrived`: what is known of our own clock."""
        self._settle = settle

    def keys(self) -> list[SettledKey]:
        """What a redelivery of these messages would look like, for the transaction that commits their effects."""
        return [SettledKey(m.packet_id, digest(m)) for m in self.messages if m.packet_id]

    def acknowledge(self) -> None:
        """The effects are durable: tell the broker, in order of receipt."""
        self._settle(self)


class Telemetry:
    """The devices' broker: an async iterator of batches, and a place to publish alerts and status."""

    def __init__(
        self,
        broker: Broker,
        filters: Sequence[str],
        *,
        previous_filters: Sequence[str] = (),
        settled: Sequence[SettledKey] = (),
        batch: int = 512,
        will: Will,
        alerts_filter: str,
        on_connected: Callable[[], None],
        on_retained_alert: Callable[[str], None],
        remember_filters: Callable[[Sequence[str]], None],
        clock: Clock = SYSTEM,
    ) -> None:
        self._clock = clock
        self.filters = list(dict.fromkeys(filters))
        self._removed = [f for f in previous_filters if f not in self.filters]
        self._remember_filters = remember_filters
        self._alerts_filter = alerts_filter
        self._on_connected, self._on_retained_alert = on_connected, on_retained_alert
        self._limit = batch
        self._waiting: list[Message] = []
        self._bytes = 0
        """Of what waits."""
        self._settled = Settled(settled)
        self._some = asyncio.Event()
        self.subscribed = False
        """Whether the broker has granted every filter on this connection."""
        self.last_arrival: float | None = None
        """Seconds since 1970, by a clock that may have been set since."""
        self._heard: float | None = None
        """Uptime of the last arrival."""
        self.connection = Connection("devices", broker, self, will, clock=clock)

    @property
    def passed(self) -> int:
        """Messages settled since the last commit that was told of it."""
        return self._settled.passed

    def committed(self) -> None:
        """What is settled is known on disk, too."""
        self._settled.passed = 0

    def __aiter__(self) -> AsyncIterator[Batch]:
        return self._batches()

    async def _batches(self) -> AsyncIterator[Batch]:
        while True:
            await self._some.wait()
            await asyncio.sleep(0)  # the heartbeat and the others get their turn, however much waits
            taken = self._take()
            if not self._waiting:
                self._some.clear()
            if not self._is_full():
                self.connection.resume()
            if not taken:
                continue
            generation = self.connection.generation
            settled = [m.duplicate and m in self._settled for m in taken]
            settle, clock = partial(self._settle, generation), self._clock
            yield Batch(taken, settled, clock.now(), settle, clock.uptime(), int(clock.quality()))

    def _take(self) -> list[Message]:
        """The next batch."""
        count = self._limit
        if self._bytes > BATCH_BYTES:
            room = BATCH_BYTES
            for position, message in enumerate(self._waiting[:count]):
                room -= _size(message)
                if room < 0:
                    count = max(1, position)
                    break
        taken, self._waiting = self._waiting[:count], self._waiting[count:]
        self._bytes = self._bytes - sum(map(_size, taken)) if self._waiting else 0
        return taken

    def _is_full(self) -> bool:
        return len(self._waiting) >= 2 * self._limit or self._bytes >= WAITING_BYTES

    def _settle(self, generation: int, batch: Batch) -> None:
        packet_ids = [m.packet_id for m in batch.received if m.packet_id]
        self._settled.add(batch.received)
        self.connection.acknowledge(packet_ids, generation)

    def quiet_for(self) -> float | None:
        """Seconds since anything arrived, asleep or awake; None: nothing has since the start."""
        return None if self._heard is None else self._clock.uptime() - self._heard

    # ---------------------------------------------------------- connection's listener

    def connected(self, session_present: bool) -> None:
        """Subscribe again at every connect, and give up the filters that were removed from the configuration."""
        if session_present:
            # the broker sends again what we had not acknowledged
            self._waiting = [m for m in self._waiting if not m.packet_id]
            self._bytes = sum(map(_size, self._waiting))
        else:
            # nothing comes again, and packet ids begin anew: what waits can no longer be acknowledged
            self._waiting = [m._replace(packet_id=0) for m in self._waiting]
            self._settled.clear()
        self._subscribing = asyncio.get_running_loop().create_task(self._subscribe(), name="subscribe")

    async def _subscribe(self) -> None:
        try:
            self.connection.unsubscribe(self._removed)
            await self.connection.subscribe([self._alerts_filter], own_echo=False, retained_always=True)
            await self.connection.subscribe(self.filters)
            self._remember_filters(self.filters)
            self._removed = []
            self.subscribed = True
        except NotConnected as error:
            if self.connection.up:  # refused; when it is gone, it knows better why
                logger.error("%s", error)
                self.connection.problem = str(error)
        self._on_connected()

    def disconnected(self) -> None:
        """Go on with what has arrived; settled and redelivered, it will be recognised."""
        self.subscribed = False

    def received(self, message: Message) -> None:
        """Queue telemetry; our own topics never are, even under the filter `#`."""
        if topics.is_own(message.topic):
            if message.retained and message.payload and topics.matches(self._alerts_filter, message.topic):
                self._on_retained_alert(message.topic)
            if message.packet_id:
                self.connection.acknowledge([message.packet_id], self.connection.generation)
            return
        self._waiting.append(message)
        self._bytes += _size(message)
        if self._bytes >= WAITING_BYTES:
            self.connection.pause()  # before the rest of what has arrived is read

    def drained(self) -> None:
        """Hand out what came, and stop reading while too much waits."""
        if self._waiting:
            self.last_arrival, self._heard = self._clock.now(), self._clock.uptime()
            self._some.set()
        if self._is_full():
            self.connection.pause()


def _size(message: Message) -> int:
    return len(message.payload) + len(message.topic)
