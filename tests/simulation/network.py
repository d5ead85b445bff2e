"""The network: connections that keep order in each direction, and lose what is on its way when they end."""

from __future__ import annotations

import contextvars
from collections.abc import Callable
from random import Random
from typing import Any

from tests.simulation.loop import VirtualLoop

LATENCY = (0.001, 0.080)
INSTANT = 1e-6
"""Timers of the same time go off in any order."""


class Link:
    """One connection between a client and a broker."""

    def __init__(self, loop: VirtualLoop, random: Random, client: contextvars.Context) -> None:
        self.up, self._dying = True, False
        self._loop, self._random, self._client = loop, random, client
        self._last = {"broker": 0.0, "client": 0.0}
        self.client_lost: Callable[[str], None] = lambda why: None
        self.broker_lost: Callable[[], None] = lambda: None

    def to_broker(self, call: Callable[..., None], *args: Any) -> None:
        """The client says something."""
        self._send("broker", self._loop.world, call, args)

    def to_client(self, call: Callable[..., None], *args: Any) -> None:
        """The broker says something."""
        self._send("client", self._client, call, args)

    def _send(self, end: str, context: contextvars.Context, call: Callable[..., None], args: tuple[Any, ...]) -> None:
        if self.up:
            arrival = max(self._last[end] + INSTANT, self._loop.now + self._random.uniform(*LATENCY))
            self._last[end] = arrival
            self._loop.call_at(arrival, self._arrive, end, call, args, context=context)

    def _arrive(self, end: str, call: Callable[..., None], args: tuple[Any, ...]) -> None:
        if self.up or (self._dying and end == "broker"):
            call(*args)

    def client_dies(self) -> None:
        """The client's program has ended: what it had written still arrives, and then the end."""
        if self.up:
            self.up, self._dying = False, True
            self._loop.later(max(0.0, self._last["broker"] - self._loop.now) + LATENCY[1], self.broker_lost)

    def cut(self, *, client_after: float = 0.0, broker_after: float = 0.0, why: str = "the connection is gone") -> None:
        """End it; each end learns so after so many seconds."""
        if not self.up:
            self._dying = False  # what a program wrote last does not outlive the broker it was meant for
            return
        self.up = False
        self._loop.call_at(self._loop.now + client_after, self.client_lost, why, context=self._client)
        self._loop.later(broker_after, self.broker_lost)


class Network:
    """Who can reach whom, and how well."""

    def __init__(self, loop: VirtualLoop, random: Random) -> None:
        self.loop, self.random = loop, random
        self.unreachable: set[tuple[str, str]] = set()
        """(client, broker) that cannot make a connection now."""
        self._links: dict[tuple[str, str], Link] = {}

    def connect(self, client: str, broker: str, context: contextvars.Context) -> Link:
        """A new connection; a client has one to each broker."""
        link = self._links[client, broker] = Link(self.loop, self.random, context)
        return link

    def reachable(self, client: str, broker: str) -> bool:
        """Whether a connection can be made now."""
        return (client, broker) not in self.unreachable

    def cut(self, client: str, broker: str, **how: Any) -> None:
        """End a connection, if there is one."""
        if (client, broker) in self._links:
            self._links[client, broker].cut(**how)

    def client_dies(self, client: str, broker: str) -> None:
        """A program has ended."""
        if (client, broker) in self._links:
            self._links[client, broker].client_dies()

    def part(self, client: str, broker: str) -> None:
        """Nothing comes through until `mend`; each end takes its time to notice."""
        self.unreachable.add((client, broker))
        self.cut(
            client, broker, client_after=self.random.uniform(0.0, 20.0), broker_after=self.random.uniform(0.0, 40.0)
        )

    def mend(self) -> None:
        """Everybody can reach everybody."""
        self.unreachable.clear()
