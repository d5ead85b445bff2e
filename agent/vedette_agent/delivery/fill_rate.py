"""FillRate: how fast the outbox is being filled, and how long it would last without the hub. Pure.

Two averages, of the last quarter of an hour and of the last day, both forgetting exponentially; the faster of the two
counts, so that a storm is seen at once and not forgotten at once.
"""

from __future__ import annotations

import math

SPANS = (900.0, 86_400.0)
"""Seconds over which rows are averaged."""
SHORTEST = 60.0
"""Seconds of watching at least, below which a rate says nothing: the first alert is no storm."""


class FillRate:
    """What has been appended lately."""

    def __init__(self, now: float) -> None:
        """At time `now`, seconds of a clock that nobody sets."""
        self._started = self._time = now
        self._rows = [0.0] * len(SPANS)
        self._bytes = [0.0] * len(SPANS)

    def add(self, rows: int, size: int, now: float) -> None:
        """So many rows, and bytes in them, were appended at time `now`."""
        passed = now - self._time
        if not 0.0 <= passed <= 2 * SPANS[-1]:
            self._started += passed
            passed = 0.0
        self._time = now
        for i, span in enumerate(SPANS):
            kept = math.exp(-passed / span)
            self._rows[i] = self._rows[i] * kept + rows
            self._bytes[i] = self._bytes[i] * kept + size

    def seconds_left(self, rows: int, size: int, now: float) -> float | None:
        """How long room for so many rows and bytes lasts; None while nothing fills it, or too little is known."""
        self.add(0, 0, now)
        watched = now - self._started
        if watched < SHORTEST:
            return None
        left = math.inf
        for i, span in enumerate(SPANS):
            weight = span * (1.0 - math.exp(-watched / span))  # of the time that was watched, in the average
            for room, filled in ((rows, self._rows[i]), (size, self._bytes[i])):
                if filled > 1e-3:
                    left = min(left, max(0, room) * weight / filled)
        return left if left < math.inf else None
