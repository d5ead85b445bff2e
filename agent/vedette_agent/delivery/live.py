"""LiveStream: readings, scores and bands to the hub while somebody looks at their device.

The hub asks on `down/request/live`, again and again while somebody looks; without a further request the stream ends by
itself. It is bounded in devices, in bytes a second and in time, and only one message is on its way at a time, so that a
slow line carries alerts first. What does not fit is left out and counted. Without a request nothing here runs.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from msgspec.structs import replace

from vedette_agent.clock import SYSTEM, Clock
from vedette_agent.mqtt.transport import NotConnected
from vedette_agent.reading.live import LiveTap
from vedette_models import messages, topics
from vedette_models.messages import LIVE_BYTES, LIVE_SECONDS, Live, LiveRequest, MessageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from vedette_agent.config.models import LiveSettings
    from vedette_agent.mqtt.connection import Connection
    from vedette_agent.reading.profile_watch import ProfileWatch
    from vedette_models.messages import LiveReading

logger = logging.getLogger(__name__)

EVERY = 0.5
"""Seconds between two looks for what is to be sent."""
SIGN_EVERY = 5.0
"""Without readings, a message at least so often: whoever looks knows that it is the device that is quiet."""
BURST_SECONDS = 2.0
"""Of the budget that is not used, so much may be made up for."""
PUBLISH_SECONDS = 10.0
"""How long the broker may take to acknowledge; the message does not matter any more then."""
SCORES_OF_ONE = 50
"""Devices named in a message, where the scores of all are asked for: those with the largest."""
LEAST_BYTES = 4 * 1024
"""A message may be so large whatever is left of the budget; then there is silence until it has recovered."""
REFUSALS = 16
"""Devices that wait to be refused."""


class LiveStream:
    """Listens on the hub's connection; `run` sends."""

    def __init__(
        self, gateway: str, settings: LiveSettings, watches: Mapping[str, ProfileWatch], *, clock: Clock = SYSTEM
    ) -> None:
        self._gateway, self._settings, self._watches, self._clock = gateway, settings, watches, clock
        self._request_topic = topics.gateway_down(gateway, topics.LIVE_REQUEST)
        self._until: dict[str, float] = {}
        """By device, when its stream ends."""
        self._refused: set[str] = set()
        self._signs: dict[str, float] = {}
        """By device, when something was last said of it."""
        self._room = 0.0
        """Bytes that may be sent now."""
        self._counted = clock.uptime()
        self._wanted = asyncio.Event()

    # ------------------------------------------------ who else listens on the hub's connection

    def topics(self) -> list[str]:
        """Where requests come."""
        return [self._request_topic]

    def connected(self) -> None:
        """The hub's broker has granted that."""

    def received(self, topic: str, payload: bytes) -> bool:
        """A request: True if it was one."""
        if topic != self._request_topic:
            return False
        try:
            request = messages.from_bytes(LiveRequest, payload)
        except MessageError as error:
            logger.warning("live: unusable request: %s", error)
            return True
        self._ask(request.device, min(request.seconds, LIVE_SECONDS))
        return True

    def _ask(self, device: str, seconds: float) -> None:
        now = self._clock.uptime()
        if device not in self._until and len(self._until) >= self._settings.devices:
            if len(self._refused) < REFUSALS:
                self._refused.add(device)
        elif seconds > 0.0:
            if not self._until:
                self._counted, self._room = now, BURST_SECONDS * self._settings.bytes_per_second
            self._until[device] = max(self._until.get(device, 0.0), now + seconds)
            for watch in self._watches.values():
                watch.live = LiveTap() if watch.live is None else watch.live
                watch.live.watch(device)
        if self._until or self._refused:
            self._wanted.set()

    # ------------------------------------------------ what is sent

    async def run(self, connection: Connection) -> None:
        """Stream while somebody looks, until cancelled."""
        while True:
            await self._wanted.wait()
            while self._until or self._refused:
                await self._send_all(connection)
                await asyncio.sleep(EVERY)
                self._end()
            self._wanted.clear()

    def _end(self) -> None:
        """End the streams that nobody has asked for again."""
        now = self._clock.uptime()
        for device in [device for device, until in self._until.items() if until <= now]:
            del self._until[device]
            self._signs.pop(device, None)
            for watch in self._watches.values():
                if watch.live is not None:
                    watch.live.leave(device)
                    watch.live = watch.live if watch.live else None

    async def _send_all(self, connection: Connection) -> None:
        now, rate = self._clock.uptime(), float(self._settings.bytes_per_second)
        self._room = min(BURST_SECONDS * rate, self._room + rate * (now - self._counted))
        self._counted = now
        if not connection.up:
            return
        for device in list(self._until):
            for message in list(self._due(device, now)):
                await self._send(connection, message)
        while self._refused and self._room > 0.0:
            await self._send(connection, Live(self._refused.pop(), "refused"))

    def _due(self, device: str, now: float) -> Iterator[Live]:
        """What is to be said of a device now; what there is no room for waits, and is counted when it is too much."""
        if self._room <= 0.0:
            return
        known = False
        for name, watch in self._watches.items():
            if watch.live is None:
                continue
            if not device:
                known = True
                if scores := watch.live.take_scores(name, watch.table):
                    self._signs[device] = now
                    yield Live(device, "streaming", scores=tuple(scores[:SCORES_OF_ONE]))
            elif watch.table.find(device) is not None:
                known = True
                taken = watch.live.take(device)
                if taken.readings or taken.skipped:
                    self._signs[device] = now
                    channels = watch.profile.channels
                    yield Live(
                        device,
                        "streaming",
                        name,
                        watch.profile.channel_names,
                        tuple(channel.unit for channel in channels),
                        tuple(taken.readings),
                        taken.skipped,
                    )
        if now - self._signs.get(device, float("-inf")) >= SIGN_EVERY:
            self._signs[device] = now
            yield Live(device, "streaming" if known else "unknown device")

    async def _send(self, connection: Connection, live: Live) -> None:
        payload = fitting(live, int(min(LIVE_BYTES, max(self._room, LEAST_BYTES))))
        self._room -= len(payload)
        try:
            async with asyncio.timeout(PUBLISH_SECONDS):
                await connection.publish(topics.gateway_up(self._gateway, topics.LIVE), payload)
        except (NotConnected, TimeoutError) as error:
            logger.debug("live: a message is lost: %s", error)


def fitting(live: Live, most: int) -> bytes:
    """A message of at most `most` bytes: as long as it is larger, of two readings in a row the one with the smaller
    score is left out, and of scores the smaller half.
    """
    while len(payload := messages.to_bytes(live)) > most and (live.readings or live.scores):
        kept = _halved(live.readings)
        skipped = live.skipped + len(live.readings) - len(kept)
        live = replace(live, readings=kept, scores=live.scores[: len(live.scores) // 2], skipped=skipped)
    return payload


def _halved(readings: Sequence[LiveReading]) -> tuple[LiveReading, ...]:
    if len(readings) < 2:
        return ()
    return tuple(max(readings[i : i + 2], key=lambda one: one.score) for i in range(0, len(readings), 2))
