"""Watches: which devices somebody looks at, when their gateways are asked again, and what became of it. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

RENEW_SECONDS = 10.0
LEASE_SECONDS = 30.0
"""What a gateway is asked for: it stops by itself when nobody asks again."""
SILENT_SECONDS = 12.0
"""Without a message for so long, the gateway does not answer."""

Key = tuple[str, str]
"""(gateway, device); without a device: the scores of all of them."""

MESSAGES = {
    "asked": "the gateway has been asked",
    "streaming": "readings come as the gateway gets them",
    "unknown device": "the gateway has not heard of this device since it started",
    "refused": "too many devices are looked at; try again when others have finished",
    "off": "this gateway does not stream: [live] in its agent.toml",
    "no answer": "the gateway does not answer: is it online, and its agent new enough?",
    "ended": "nobody looks at it any more",
}
"""By state, for people."""


@dataclass
class _Watch:
    state: str
    since: float
    """When it was asked for, or last heard."""
    asked: float
    sockets: set[int] = field(default_factory=set)
    until: float = 0.0
    """Asked for until then by somebody without a socket."""


class Watches:
    """At most `devices` at a time, and of one socket at most `each`."""

    def __init__(self, devices: int, each: int) -> None:
        self._limit, self._each = devices, each
        self._watches: dict[Key, _Watch] = {}

    def __len__(self) -> int:
        return len(self._watches)

    def add(self, key: Key, now: float, *, socket: int | None = None, seconds: float = 0.0) -> str:
        """Watch a device for a socket, or for so many seconds; its state, `refused` when there are too many."""
        self._forget(now)
        watch = self._watches.get(key)
        if socket is not None and len(list(self.of(socket))) >= self._each and key not in self.of(socket):
            return "refused"
        if watch is None:
            if len(self._watches) >= self._limit:
                return "refused"
            watch = self._watches[key] = _Watch("asked", now, -RENEW_SECONDS)
        if socket is not None:
            watch.sockets.add(socket)
        watch.until = max(watch.until, now + seconds)
        return watch.state

    def remove(self, key: Key, socket: int) -> bool:
        """A socket looks there no more; whether it did."""
        watch = self._watches.get(key)
        if watch is None or socket not in watch.sockets:
            return False
        watch.sockets.discard(socket)
        return True

    def leave(self, socket: int) -> None:
        """A socket is gone."""
        for watch in self._watches.values():
            watch.sockets.discard(socket)

    def of(self, socket: int) -> Iterator[Key]:
        """What a socket watches."""
        return (key for key, watch in self._watches.items() if socket in watch.sockets)

    def sockets(self, key: Key) -> set[int]:
        """Who watches a device."""
        watch = self._watches.get(key)
        return set() if watch is None else set(watch.sockets)

    def due(self, now: float) -> list[Key]:
        """Those whose gateways are to be asked now; what nobody watches any more is forgotten."""
        self._forget(now)
        due = [key for key, watch in self._watches.items() if now - watch.asked >= RENEW_SECONDS]
        for key in due:
            self._watches[key].asked = now
        return due

    def _forget(self, now: float) -> None:
        self._watches = {key: one for key, one in self._watches.items() if one.sockets or one.until > now}

    def heard(self, key: Key, state: str, now: float) -> bool:
        """A gateway has answered; whether that is news."""
        watch = self._watches.get(key)
        if watch is None:
            return False
        watch.since, news = now, watch.state != state
        watch.state = state
        return news

    def fallen_silent(self, now: float) -> list[Key]:
        """Those that do not answer, told once."""
        silent = [
            key
            for key, watch in self._watches.items()
            if watch.state in ("asked", "streaming") and now - watch.since > SILENT_SECONDS
        ]
        for key in silent:
            self._watches[key].state = "no answer"
        return silent
