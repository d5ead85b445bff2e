"""FileClock: what time it is in a file, and which device is ahead of it: pure.

A file has no arrivals, but its lines have an order. The time is that of the newest reading, unless its device has just
leapt away from all others while they are still heard from. By how much a device is ahead of the newest of the others is
known at its first reading after one of theirs that is newer than all before; what is usual for it is taken off.
"""

from __future__ import annotations

import math
from typing import NamedTuple

APART = 3_600.0
"""Seconds by which a device must have leapt away from all others not to be believed."""
ALONE = 50
"""Readings in a row of one device after which the others are heard from no more."""
KNOWN = 8
"""Readings that say how far a device usually is ahead of the others."""
READINGS = 32.0


class Moment(NamedTuple):
    """When a reading was, as far as the file knows."""

    newest: float
    """The time in the file by then; never falls."""
    ahead: float
    """Seconds by which its device is ahead of all others, beyond what is usual; NaN where it is not known."""


class _Device:
    """What is known of one device."""

    __slots__ = ("known", "last", "usual")

    def __init__(self) -> None:
        self.last, self.usual, self.known = math.nan, 0.0, 0


class FileClock:
    """The time in a file; one small object per device."""

    def __init__(self) -> None:
        self._devices: dict[int, _Device] = {}
        self._first = self._second = (-1, -math.inf)
        """The newest device and its time, and the newest of the others."""
        self._newest = -math.inf
        self._risen: dict[int, float] = {}
        """By device: the newest of the others when it was last compared with them."""
        self._suspect, self._in_a_row, self._before = -1, 0, -1

    @property
    def alone(self) -> bool:
        """Whether there was one device only, so far."""
        return len(self._devices) < 2

    def read(self, row: int, time: float) -> Moment:
        """A reading of the device in `row`, in the order of the file."""
        device = self._devices.setdefault(row, _Device())
        others = (self._second if self._first[0] == row else self._first)[1]
        ahead = self._ahead(row, device, time, others)
        self._in_a_row = self._in_a_row + 1 if row == self._before else 1
        self._before = row
        if row == self._suspect:
            if time - others <= APART or self._in_a_row > ALONE:
                self._suspect = -1
        elif time - device.last > APART and time - others > APART and others > -math.inf:
            self._suspect = row
        if row != self._suspect:
            self._newest = max(self._newest, time)
        device.last = time
        if row == self._first[0]:
            self._first = (row, max(time, self._first[1]))
        elif time > self._first[1]:
            self._first, self._second = (row, time), self._first
        elif time > self._second[1]:
            self._second = (row, time)
        return Moment(self._newest if self._newest > -math.inf else time, ahead)

    def _ahead(self, row: int, device: _Device, time: float, others: float) -> float:
        if not others > self._risen.get(row, -math.inf):
            return math.nan
        self._risen[row] = others
        ahead = time - others
        if device.known < KNOWN:
            device.known += 1
            device.usual += (ahead - device.usual) / device.known
            return math.nan
        beyond = ahead - device.usual
        if abs(beyond) < APART:
            device.usual += beyond / READINGS
        return beyond
