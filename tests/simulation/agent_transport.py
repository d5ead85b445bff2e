"""The agent's transport to a simulated broker, where the real ones stand (`vedette_agent.mqtt.transport`)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from random import Random

from tests.simulation.broker import Publication
from tests.simulation.client import Connection
from tests.simulation.loop import VirtualLoop
from vedette_agent.mqtt.message import Message
from vedette_agent.mqtt.transport import Closed, Inbox, NotConnected, Will


class SimulatedTransport:
    """Lingers as the real ones do, so that several messages are handed out together."""

    def __init__(
        self, loop: VirtualLoop, random: Random, connection: Connection, will: Will, inbox: Inbox,
        wrongly_acknowledged: Callable[[int], None],
    ) -> None:  # fmt: skip
        self.closed: asyncio.Future[Closed] = loop.create_future()
        self._loop, self._random, self._connection, self._will, self._inbox = loop, random, connection, will, inbox
        self._buffer: list[Message] = []
        self._unacknowledged: set[int] = set()
        """Packet ids that were handed out on this connection."""
        self._wrongly_acknowledged = wrongly_acknowledged
        self._paused = self._lingering = self._opened = False
        connection.on_accepted, connection.on_message, connection.on_lost = self._accepted, self._message, self._lost

    async def open(self) -> bool:
        self._opened = True
        return await self._connection.open(tuple(self._will))

    def publish(self, topic: str, payload: bytes, *, retain: bool) -> asyncio.Future[None]:
        return _as_not_connected(self._connection.publish(topic, bytes(payload), retain))

    def subscribe(
        self, filters: Sequence[str], *, own_echo: bool, retained_always: bool
    ) -> asyncio.Future[Sequence[int]]:
        return _as_not_connected(self._connection.subscribe(filters, own_echo=own_echo, always=retained_always))

    def unsubscribe(self, filters: Sequence[str]) -> None:
        self._connection.unsubscribe(filters)

    def acknowledge(self, packet_ids: Sequence[int]) -> None:
        for packet_id in packet_ids:
            if packet_id not in self._unacknowledged:
                self._wrongly_acknowledged(packet_id)
            self._unacknowledged.discard(packet_id)
            self._connection.acknowledge(packet_id)

    def pause(self) -> None:
        self._paused = True

    def resume(self) -> None:
        self._paused = False
        self._linger()

    async def close(self) -> None:
        if self._opened and hasattr(self._connection, "link") and not self.closed.done():
            self._connection.goodbye()
            await asyncio.wait((self.closed,), timeout=2.0)

    # ------------------------------------------------------------ what the broker says

    def _accepted(self, session_present: bool) -> None:
        self._inbox.accepted(session_present)

    def _message(self, packet_id: int, publication: Publication, duplicate: bool) -> None:
        topic, payload, retained, _ = publication
        self._buffer.append(Message(topic, payload, packet_id, retained, duplicate))
        self._linger()

    def _linger(self) -> None:
        if not self._lingering:
            self._lingering = True
            self._loop.call_later(self._random.uniform(0.0, 0.2), self._hand_out)

    def _hand_out(self) -> None:
        self._lingering = False
        if self._paused or self.closed.done() or not self._buffer:
            return
        messages, self._buffer = self._buffer, []
        self._unacknowledged.update(message.packet_id for message in messages)
        for message in messages:
            self._inbox.received(message)
        self._inbox.drained()

    def _lost(self, why: str) -> None:
        if not self.closed.done():
            self.closed.set_result(Closed(why, taken_over="another client" in why))


def _as_not_connected(future: asyncio.Future[object]) -> asyncio.Future[object]:
    """The same, failing as the seam says."""
    made: asyncio.Future[object] = future.get_loop().create_future()

    def settled(done: asyncio.Future[object]) -> None:
        if made.done():
            return
        if error := done.exception():
            made.set_exception(NotConnected(str(error)))
            made.exception()
        else:
            made.set_result(done.result())

    future.add_done_callback(settled)
    return made
