"""Listening: a clock that runs only while readings arrive, so that nobody is missed while nothing can be heard.

It advances with every arrival by the time since the one before, but never by more than a few times the longest pause
that is usual for all devices together. An outage of the network, the broker or ourselves therefore takes hardly any
time, and a device is missed only when others were heard after it was due.
"""

from __future__ import annotations

import math

CAP = 3.0
"""Times the longest usual pause that a pause counts at most."""
KNOWN = 16
"""Pauses from which what is usual is known."""
MEMORY, MEMORY_SECONDS = 256, 3_600.0
"""The longest usual pause is that of the last one to two memories, each of so many pauses and seconds at least."""


class Listening:
    """Seconds of listening since it was made."""

    def __init__(self, at_first: float = math.inf) -> None:
        """`at_first`: what a pause counts at most as long as the usual ones are not known, in seconds."""
        self.clock = 0.0
        self._at_first = at_first
        self._arrival: float | None = None
        self._since = 0.0
        self._pauses = 0
        self._seen = 0
        # the two longest of this memory and of the one before: a single outage is not usual
        self._longest = self._second = self._earlier = self._earlier_second = 0.0

    def heard(self, arrival: float, *, alone: bool = False) -> float:
        """Something arrived at `arrival`, seconds of a clock that is never set: the time of listening by then.

        `alone`: in a file of one device nothing can be wrong with the listening, and every pause counts in full.
        """
        if self._arrival is None:
            self._arrival = self._since = arrival
        pause = arrival - self._arrival
        if pause > 0.0:
            self.clock += pause if alone else min(pause, self.cap)
            self._arrival = arrival
            self._learn(pause)
        return self.clock

    @property
    def cap(self) -> float:
        """Seconds that a pause counts at most."""
        if self._seen < KNOWN:
            return self._at_first
        return CAP * max(min(self._longest, self._earlier), self._second, self._earlier_second)

    def _learn(self, pause: float) -> None:
        self._seen += 1
        self._pauses += 1
        if pause > self._longest:
            self._longest, self._second = pause, self._longest
        elif pause > self._second:
            self._second = pause
        if self._arrival is not None and self._pauses >= MEMORY and self._arrival - self._since >= MEMORY_SECONDS:
            self._earlier, self._earlier_second = self._longest, self._second
            self._longest = self._second = 0.0
            self._pauses, self._since = 0, self._arrival
