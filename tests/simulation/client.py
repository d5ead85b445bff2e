"""One connection of an MQTT client to a simulated broker: what agent and hub have in common."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from tests.simulation.broker import Broker, Publication
from tests.simulation.loop import Process, VirtualLoop
from tests.simulation.network import Network

REFUSED_AFTER = 0.05


class Connection:
    """Lives from `open` until `lost`; every future that waits for the broker fails then."""

    def __init__(self, loop: VirtualLoop, network: Network, broker: Broker, process: Process, client_id: str) -> None:
        self.client_id = client_id
        self._loop, self._network, self._broker, self._process = loop, network, broker, process
        self._opened: asyncio.Future[bool] = loop.create_future()
        self._publications: dict[int, asyncio.Future[None]] = {}
        self._subscriptions: dict[int, asyncio.Future[Sequence[int]]] = {}
        self._last_id = 0
        self.on_accepted: Callable[[bool], None] = lambda session_present: None
        self.on_message: Callable[[int, Publication, bool], None] = lambda *_: None
        self.on_lost: Callable[[str], None] = lambda why: None

    async def open(self, will: tuple[str, bytes] | None) -> bool:
        """Connect, or raise OSError; whether the broker kept the session."""
        if self._broker.down or not self._network.reachable(self._process.name, self._broker.name):
            await asyncio.sleep(REFUSED_AFTER)
            raise ConnectionRefusedError(f"{self._broker.name} cannot be reached")
        self.link = self._network.connect(self._process.name, self._broker.name, self._process.context)
        self.link.client_lost = self._lost
        self.link.to_broker(self._broker.connect, self, will)
        return await self._opened

    def publish(self, topic: str, payload: bytes, retain: bool) -> asyncio.Future[None]:
        """At QoS 1; done when the broker has acknowledged."""
        future: asyncio.Future[None] = self._loop.create_future()
        self._publications[self._next_id()] = future
        self.link.to_broker(self._broker.publish_from, self, self._last_id, topic, payload, retain)
        return future

    def subscribe(self, filters: Sequence[str], *, own_echo: bool, always: bool) -> asyncio.Future[Sequence[int]]:
        """The reason codes of the filters."""
        future: asyncio.Future[Sequence[int]] = self._loop.create_future()
        self._subscriptions[self._next_id()] = future
        self.link.to_broker(self._broker.subscribe, self, self._last_id, list(filters), own_echo, always)
        return future

    def unsubscribe(self, filters: Sequence[str]) -> None:
        """Nothing comes back."""
        self.link.to_broker(self._broker.unsubscribe, self, list(filters))

    def acknowledge(self, packet_id: int) -> None:
        """PUBACK."""
        self.link.to_broker(self._broker.acknowledge, self, packet_id)

    def goodbye(self) -> None:
        """DISCONNECT."""
        self.link.to_broker(self._broker.goodbye, self)

    def _next_id(self) -> int:
        self._last_id += 1
        return self._last_id

    # ------------------------------------------------------------ what the broker says

    def accepted(self, session_present: bool) -> None:
        if not self._opened.done():
            self._opened.set_result(session_present)
            self.on_accepted(session_present)

    def delivered(self, packet_id: int, publication: Publication, duplicate: bool) -> None:
        self.on_message(packet_id, publication, duplicate)

    def published(self, packet_id: int) -> None:
        _settle(self._publications.pop(packet_id, None), None)

    def subscribed(self, packet_id: int, codes: list[int]) -> None:
        _settle(self._subscriptions.pop(packet_id, None), codes)

    def _lost(self, why: str) -> None:
        waiting: list[asyncio.Future[Any]] = [self._opened, *self._publications.values(), *self._subscriptions.values()]
        for future in waiting:
            if not future.done():
                future.set_exception(ConnectionResetError(why))
                future.exception()
        self.on_lost(why)


def _settle(future: asyncio.Future[Any] | None, result: Any) -> None:
    if future is not None and not future.done():
        future.set_result(result)
