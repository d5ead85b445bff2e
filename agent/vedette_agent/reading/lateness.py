"""Lateness: which readings come too late to be told from the present, in columns.

Every device has a watermark: the newest of its times that was believed. It is bounded, since a time too far in our
future is never believed, so that a clock that runs away takes nobody along, not even its own device for long. A reading
that is older than the watermark by more than `max_late` is late: its windows have moved on, and it is neither scored
nor learnt, and alerts nobody. Late times that keep pace with ours are not late but those of a clock that was set back:
after a few of them they are the time.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

SET_BACK = 8
"""Late readings in a row, none before the one before, that are those of a clock that was set back."""
AT_LEAST = 1.0
"""Seconds in which they arrive at least."""
PACE = 2.0
"""Times as fast as ours such a clock may seem at most: what was buffered comes much faster than it was measured."""


class _Run(NamedTuple):
    """Late readings in a row."""

    readings: int
    arrival: float
    """Uptime of the first."""
    first: float
    last: float
    """Times of the first and the last."""


class Lateness:
    """The watermarks of the devices of one profile."""

    def __init__(self, max_late: float | None) -> None:
        """`max_late` in seconds; None: nothing is late."""
        self._limit = math.inf if max_late is None else max_late
        self.newest = np.zeros(0)
        """(D,) watermarks, seconds since 1970; minus infinity where nothing is known."""
        self._runs: dict[int, _Run] = {}

    def late(self, device: NDArray[np.intp], time: NDArray[np.float64], uptime: float) -> NDArray[np.intp]:
        """Positions of the late readings, rising.

        `device` (N,): rows, with room made for them; `time` (N,): believed times, which are the arrival where it stands
        in. `uptime`: of the arrival.
        """
        before = self.newest.take(device)
        np.maximum.at(self.newest, device, time)
        suspicious = time < self.newest.take(device) - self._limit
        if not np.logical_or.reduce(suspicious):
            for row in self._runs.keys() & set(device.tolist()) if self._runs else ():
                del self._runs[row]
            return np.zeros(0, np.intp)
        found: list[int] = []
        for row in np.unique(device[suspicious]).tolist():
            at = np.flatnonzero(device == row).tolist()
            found += self._one(row, float(before[at[0]]), at, time[at].tolist(), uptime)
        return np.array(sorted(found), np.intp)

    def _one(self, row: int, newest: float, at: list[int], times: list[float], uptime: float) -> list[int]:
        """One device's readings in turn."""
        found = []
        for position, time in zip(at, times, strict=True):
            if time >= newest - self._limit:
                self._runs.pop(row, None)
            elif not self._is_set_back(row, time, uptime):
                found.append(position)
                continue
            else:
                newest = time
            newest = max(newest, time)
        self.newest[row] = newest
        return found

    def _is_set_back(self, row: int, time: float, uptime: float) -> bool:
        run = self._runs.get(row)
        if run is None or time < run.last:
            run = _Run(0, uptime, time, time)
        run = self._runs[row] = run._replace(readings=run.readings + 1, last=time)
        elapsed = uptime - run.arrival
        if run.readings < SET_BACK or elapsed < AT_LEAST or time - run.first > PACE * elapsed:
            return False
        del self._runs[row]
        return True

    def make_room(self, devices: int) -> None:
        """Rows for so many devices."""
        have = len(self.newest)
        if have < devices:
            more = max(devices - have, have // 16, 16)
            self.newest = np.concatenate([self.newest, np.full(more, -math.inf)])

    def forget(self, row: int) -> None:
        """Return a row to knowing nothing."""
        if row < len(self.newest):
            self.newest[row] = -math.inf
        self._runs.pop(row, None)

    def clock_set(self) -> None:
        """Our own clock was set: what stood in for times is of another one."""
        self.newest[:] = -math.inf
        self._runs.clear()
