"""A broker as MQTT allows it to be: QoS 1, sessions, retained messages, wills; and all the ways in which it may fail.

It may lose what it has acknowledged, deliver twice, deliver late, and forget everything or go back to what it saved
last. It keeps the order of what it delivers once on one topic, as MQTT asks of it.
"""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import NamedTuple, Protocol

from tests.simulation.loop import VirtualLoop
from tests.simulation.network import INSTANT, Link
from vedette_models.topics import matches

PACKET_IDS = 40
"""Packet ids of a session: few, so that they come round again."""
QUEUED = 5_000


class Publication(NamedTuple):
    """A message on its way to a subscriber."""

    topic: str
    payload: bytes
    retained: bool = False
    again: bool = False
    """Delivered before under another packet id, or acknowledged before: the broker's fault, not its subscriber's."""


def as_it_is(_topic: str, payload: bytes) -> bytes:
    return payload


class Client(Protocol):
    """The other end of a connection."""

    client_id: str
    link: Link

    def accepted(self, session_present: bool) -> None: ...
    def delivered(self, packet_id: int, publication: Publication, duplicate: bool) -> None: ...
    def published(self, packet_id: int) -> None: ...
    def subscribed(self, packet_id: int, codes: list[int]) -> None: ...


@dataclass
class Session:
    """What a broker keeps of a client, connected or not."""

    filters: dict[str, bool] = field(default_factory=dict)
    """Filter → whether the client's own messages are left out."""
    queue: deque[Publication] = field(default_factory=deque)
    in_flight: dict[int, Publication] = field(default_factory=dict)
    last_id: int = 0


@dataclass
class Weather:
    """How badly a broker behaves: chances for each message it routes."""

    lost: float = 0.0
    twice: float = 0.0
    late: float = 0.0


class Broker:
    """One broker."""

    def __init__(self, name: str, loop: VirtualLoop, random: Random, *, receive_maximum: int = 12) -> None:
        self.name = name
        self.weather = Weather()
        self.down = False
        self.retained: dict[str, bytes] = {}
        self.sessions: dict[str, Session] = {}
        self.saw: Callable[[str, bytes, str], None] = lambda topic, payload, sender: None
        """Told of everything that is published."""
        self.acknowledged: Callable[[str, Publication], None] = lambda client, publication: None
        """Told of everything that a subscriber has acknowledged."""
        self.tampered: Callable[[str, bytes], bytes] = as_it_is
        """What somebody makes of what is published."""
        self._loop, self._random, self._receive_maximum = loop, random, receive_maximum
        self._clients: dict[str, Client] = {}
        self._wills: dict[str, tuple[str, bytes]] = {}
        self._saved: tuple[dict[str, bytes], dict[str, Session]] = ({}, {})
        self._not_before: dict[tuple[str, str], float] = {}
        """By session and topic: until when something that came before is held up."""

    # ------------------------------------------------------------ what may happen to it

    def save(self) -> None:
        """Write everything to its disk."""
        self._saved = copy.deepcopy((self.retained, self.sessions))

    def crash(self, *, forget: bool) -> None:
        """Stop; what was not saved is gone, or with `forget` everything."""
        self.down = True
        for client in list(self._clients.values()):
            client.link.cut(client_after=self._random.uniform(0.0, 0.1), why="the broker is gone")
        self._clients.clear()
        self._wills.clear()
        self.retained, self.sessions = ({}, {}) if forget else copy.deepcopy(self._saved)
        for session in self.sessions.values():  # it may have delivered any of these since
            session.queue = deque(publication._replace(again=True) for publication in session.queue)
            session.in_flight = {number: p._replace(again=True) for number, p in session.in_flight.items()}

    def restart(self) -> None:
        """Come back."""
        self.down = False

    # ------------------------------------------------------------ what clients say

    def connect(self, client: Client, will: tuple[str, bytes] | None) -> None:
        """A client wants its session."""
        if self.down:
            client.link.cut(why="connection refused")
            return
        name = client.client_id
        if (other := self._clients.get(name)) is not None:
            other.link.cut(why="another client uses this client id")
            self._gone(name, other)
        present = name in self.sessions
        session = self.sessions.setdefault(name, Session())
        self._clients[name] = client
        if will is not None:
            self._wills[name] = will
        client.link.broker_lost = lambda: self._gone(name, client)
        client.link.to_client(client.accepted, present)
        for packet_id, publication in session.in_flight.items():
            client.link.to_client(client.delivered, packet_id, publication, True)
        self._pump(name)

    def _gone(self, name: str, client: Client) -> None:
        if self._clients.get(name) is not client:
            return
        del self._clients[name]
        if (will := self._wills.pop(name, None)) is not None:
            self.publish(*will, retain=True, sender=name)

    def goodbye(self, client: Client) -> None:
        """A client leaves in order."""
        self._wills.pop(client.client_id, None)
        client.link.cut()

    def publish_from(self, client: Client, packet_id: int, topic: str, payload: bytes, retain: bool) -> None:
        """A client publishes at QoS 1."""
        if not self.down:
            self.publish(topic, payload, retain=retain, sender=client.client_id)
            client.link.to_client(client.published, packet_id)

    def subscribe(self, client: Client, packet_id: int, filters: list[str], own_echo: bool, always: bool) -> None:
        """A client wants what matches these filters, and what is retained of it."""
        session = self.sessions[client.client_id]
        new = [f for f in filters if f not in session.filters]
        session.filters.update(dict.fromkeys(filters, not own_echo))
        client.link.to_client(client.subscribed, packet_id, [1] * len(filters))
        for topic_filter in filters if always else new:
            for topic, payload in list(self.retained.items()):
                if matches(topic_filter, topic):
                    self._enqueue(client.client_id, Publication(topic, payload, retained=True))

    def unsubscribe(self, client: Client, filters: list[str]) -> None:
        """A client wants no more of these."""
        for topic_filter in filters:
            self.sessions[client.client_id].filters.pop(topic_filter, None)

    def acknowledge(self, client: Client, packet_id: int) -> None:
        """A subscriber has taken a message."""
        publication = self.sessions[client.client_id].in_flight.pop(packet_id, None)
        if publication is not None:
            self.acknowledged(client.client_id, publication)
            self._pump(client.client_id)

    # ------------------------------------------------------------------ routing

    def publish(self, topic: str, payload: bytes, *, retain: bool = False, sender: str = "") -> None:
        """Somebody publishes; `sender` empty: somebody outside."""
        if self.down:
            return
        payload = self.tampered(topic, payload)
        self.saw(topic, payload, sender)
        if retain:
            if payload:
                self.retained[topic] = payload
            else:
                self.retained.pop(topic, None)
        for name, session in self.sessions.items():
            own = [no_local for f, no_local in session.filters.items() if matches(f, topic)]
            if own and not (name == sender and all(own)):
                self._route(name, Publication(topic, payload))

    def _route(self, name: str, publication: Publication) -> None:
        weather, random = self.weather, self._random
        if random.random() < weather.lost:
            return
        if random.random() < weather.twice:
            self._loop.later(random.uniform(0.0, 40.0), self._enqueue, name, publication._replace(again=True))
        now, key = self._loop.now, (name, publication.topic)
        at = max(
            self._not_before.get(key, 0.0) + INSTANT, now + random.uniform(0.0, 3.0) * (random.random() < weather.late)
        )
        if at > now:  # later than what is published on other topics, never than what follows on this
            self._not_before[key] = at
            self._loop.later(at - now, self._enqueue, name, publication)
        else:
            self._enqueue(name, publication)

    def _enqueue(self, name: str, publication: Publication) -> None:
        session = self.sessions.get(name)
        if session is not None and not self.down and len(session.queue) < QUEUED:
            session.queue.append(publication)
            self._pump(name)

    def _pump(self, name: str) -> None:
        session, client = self.sessions[name], self._clients.get(name)
        while client is not None and session.queue and len(session.in_flight) < self._receive_maximum:
            while True:
                session.last_id = session.last_id % PACKET_IDS + 1
                if session.last_id not in session.in_flight:
                    break
            publication = session.queue.popleft()
            session.in_flight[session.last_id] = publication
            client.link.to_client(client.delivered, session.last_id, publication, False)
