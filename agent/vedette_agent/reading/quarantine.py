"""Quarantine: devices that send nothing but garbage are not listened to for a while. Pure: time is an argument.

A device is counted by what it sends: an unusable message is one up, a usable one is one down, and so is a minute. Who
reaches the limit is not listened to for a time that doubles with every relapse; then it is on probation: a few usable
messages release it, one unusable message sends it back. What a device in quarantine sends is a dead letter, unread.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vedette_models.messages import Restricted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from vedette_agent.reading.devices import DeviceTable

WATCHED = 1_024
"""Devices that are counted at most; another one is counted when there is room."""
MINUTE = 60.0
GOOD = 10
"""Usable messages that end a probation."""


@dataclass
class _Entry:
    score: float
    uptime: float
    """When the score was that."""
    length: float
    """Seconds of the next quarantine."""
    state: str = ""
    """Empty: only counted."""
    since: float = 0.0
    """When the state began, seconds since 1970."""
    until: float = 0.0
    """Uptime at which the quarantine ends."""
    reason: str = ""
    dead_letters: int = 0
    good: int = 0


class Quarantine:
    """Who is counted, and who is not listened to."""

    def __init__(self, after: int, first: float, longest: float) -> None:
        """`after`: unusable messages more than usable ones, 0: never; `first`, `longest`: seconds of a quarantine."""
        self._after, self._first, self._longest = after, first, longest
        self._entries: dict[str, _Entry] = {}
        self.names: set[str] = set()
        """Devices in quarantine now."""
        self._next = math.inf
        """Uptime at which the first quarantine ends."""
        self._looked = -math.inf

    def __len__(self) -> int:
        """Devices counted now."""
        return len(self._entries)

    def __contains__(self, device: object) -> bool:
        """Whether a device is counted."""
        return device in self._entries

    def bad(self, device: str, reason: str, now: float, uptime: float) -> None:
        """A device has sent something unusable; `now` in seconds since 1970."""
        if self._after == 0 or device in self.names:
            return
        entry = self._entries.get(device) or self._new(device, uptime)
        if entry is None:
            return
        entry.score = max(0.0, entry.score - (uptime - entry.uptime) / MINUTE) + 1.0
        entry.uptime, entry.reason = uptime, reason
        if entry.state or entry.score >= self._after:
            self._send(device, entry, now, uptime)

    def heard(self, device: NDArray[np.intp], table: DeviceTable, uptime: float) -> None:
        """Usable readings have come of `device` (N,), rows of `table`."""
        counted = {row: name for name in self._entries if (row := table.find(name)) is not None}
        if not counted:
            return
        rows, counts = np.unique(device, return_counts=True)
        for row, count in zip(rows.tolist(), counts.tolist(), strict=True):
            if (name := counted.get(row)) is not None:
                self.good(name, count, uptime)

    def good(self, device: str, messages: int, uptime: float) -> None:
        """A device that is counted has sent so many usable messages."""
        entry = self._entries[device]
        if entry.state:
            entry.good += messages
            if entry.good >= GOOD:
                # the length stays: a relapse lasts twice as long
                entry.state, entry.score, entry.uptime = "", 0.0, uptime
        else:
            entry.score -= messages
            if entry.score <= 0.0 and entry.length == self._first:
                del self._entries[device]
            else:
                entry.score = max(entry.score, 0.0)

    def unread(self, device: str) -> None:
        """A message of a device in quarantine has become a dead letter."""
        if (entry := self._entries.get(device)) is not None:
            entry.dead_letters += 1

    def pass_time(self, now: float, uptime: float) -> None:
        """End what has lasted long enough."""
        if uptime >= self._next:
            self._end_quarantines(now, uptime)
        if self._entries and uptime - self._looked > MINUTE:
            self._looked = uptime
            longest = max(self._longest, self._after * MINUTE)
            for device, entry in list(self._entries.items()):
                if entry.state != "quarantined" and uptime - entry.uptime > longest:
                    del self._entries[device]  # nothing was wrong with it for so long, or it was not heard

    def _end_quarantines(self, now: float, uptime: float) -> None:
        for device in [name for name in self.names if uptime >= self._entries[name].until]:
            entry = self._entries[device]
            self.names.discard(device)
            entry.state, entry.since, entry.good, entry.uptime = "probation", now, 0, uptime
        self._next = min((self._entries[name].until for name in self.names), default=math.inf)

    def release(self, device: str) -> bool:
        """Forget whatever is held against a device; whether there was anything."""
        self.names.discard(device)
        return self._entries.pop(device, None) is not None

    def listed(self, now: float, uptime: float) -> Iterator[Restricted]:
        """Those in quarantine and on probation."""
        for device, entry in self._entries.items():
            if entry.state:
                until = now + entry.until - uptime if entry.state == "quarantined" else None
                yield Restricted(device, entry.state, entry.since, until, entry.reason, entry.dead_letters)

    def _new(self, device: str, uptime: float) -> _Entry | None:
        if len(self._entries) >= WATCHED:
            free = [name for name, entry in self._entries.items() if not entry.state]
            if not free:
                return None
            del self._entries[min(free, key=lambda name: self._entries[name].score)]
        made = self._entries[device] = _Entry(0.0, uptime, self._first)
        return made

    def _send(self, device: str, entry: _Entry, now: float, uptime: float) -> None:
        entry.state, entry.since, entry.until, entry.score = "quarantined", now, uptime + entry.length, 0.0
        entry.length = min(2.0 * entry.length, self._longest)
        self.names.add(device)
        self._next = min(self._next, entry.until)
