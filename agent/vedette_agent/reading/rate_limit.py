"""RateLimit: a token bucket for every device of a profile, in columns, so that a flood of one costs the others nothing.

A device may send `rate` readings a second for long, and `burst` at once. What was gathered while a device, or we, could
not be heard comes all at once and is no flood: where a device sends its own time, its bucket is refilled by the time
that its readings span since the newest one known, if that is more than has passed; and while we were away, everybody's
is refilled as if we had not been.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


class RateLimit:
    """Which readings are too many."""

    def __init__(self, rate: float, burst: int, *, any_age: bool = False) -> None:
        """`rate`: readings per second and device, more than 0; `any_age`: history is welcome, also of who is new."""
        self._any_age = any_age
        self._rate, self._burst = rate, float(burst)
        self._away, self._back = 0.0, 0.0
        self._tokens = np.zeros(0)
        """(D,) readings that each device may send now."""
        self._heard = np.zeros(0)
        """(D,) uptime of the last refill."""
        self._told = np.zeros(0)
        """(D,) newest own time that a bucket was refilled by, at first that of our coming to know the device: what lies
        before was never missed."""

    def over(
        self,
        device: NDArray[np.intp],
        time: NDArray[np.float64],
        newest: NDArray[np.float64],
        now: float,
        uptime: float,
    ) -> NDArray[np.intp]:
        """Positions of the readings beyond their device's rate, rising.

        `device` (N,): rows, with room made for them. `time` (N,): times as the devices said them, NaN where they said
        none. `newest` (D,): the newest time of each device before, minus infinity where there is none. `now`: of the
        arrival, seconds since 1970; `uptime`: the same by a clock that nobody sets.
        """
        elapsed = uptime - self._heard.take(device)
        tokens = self._tokens.take(device)
        # what is beyond a burst stays: it was given for our absence
        self._tokens[device] = np.maximum(tokens, np.minimum(self._burst, tokens + self._rate * elapsed))
        self._heard[device] = uptime
        np.subtract.at(self._tokens, device, 1.0)
        short = self._tokens.take(device) < 0.0
        if not np.logical_or.reduce(short):
            return np.zeros(0, np.intp)
        beyond = []
        for row in np.unique(device[short]).tolist():
            at = np.flatnonzero(device == row)
            passed = min(float(elapsed[at[0]]), self._burst / self._rate)
            gathered = self._gathered(row, time[at], float(newest[row]), now) - passed
            left = self._tokens[row] + self._rate * max(0.0, gathered)
            too_many = min(len(at), math.ceil(max(0.0, -left)))
            beyond.append(at[len(at) - too_many :])
            self._tokens[row] = min(left + too_many, self._burst)
        return np.sort(np.concatenate(beyond))

    def _gathered(self, row: int, time: NDArray[np.float64], newest: float, now: float) -> float:
        """Seconds of its own time that a device's readings are on from the newest that is known."""
        until = np.fmax.reduce(time)
        if until != until:
            return 0.0
        since = max(newest, float(self._told[row]))
        self._told[row] = max(float(self._told[row]), min(float(until), now))
        return max(0.0, min(float(until), now) - since)

    def absent(self, seconds: float, uptime: float) -> None:
        """We could not be reached for so long, until `uptime`: what was sent meanwhile comes now."""
        self._away, self._back = seconds, uptime
        np.maximum(self._tokens, self._burst + self._rate * seconds, out=self._tokens)

    def _absence(self, uptime: float) -> float:
        """Seconds of our absence that those who are new may still make up for."""
        return max(0.0, self._away - (uptime - self._back))

    def make_room(self, devices: int, now: float, uptime: float) -> None:
        """Rows for so many devices; a new one has all it may have, and may have gathered what we missed."""
        have = len(self._tokens)
        if have >= devices:
            return
        more = max(devices - have, have // 16, 16)
        absence = self._absence(uptime)
        self._tokens = np.concatenate([self._tokens, np.full(more, self._burst + self._rate * absence)])
        self._heard = np.concatenate([self._heard, np.full(more, uptime)])
        self._told = np.concatenate([self._told, np.full(more, self._unmissed(now - absence))])

    def forget(self, row: int) -> None:
        """Return a row to knowing nothing."""
        if row < len(self._tokens):
            self._tokens[row] = self._burst

    def clock_set(self, now: float) -> None:
        """Our own clock was set to `now`: the times known are of another one."""
        self._told[:] = self._unmissed(now)

    def _unmissed(self, time: float) -> float:
        return -math.inf if self._any_age else time
