"""DeadLetterSamples: which dead letters are worth keeping to look at: some of everybody's, at a bounded rate. Pure.

All dead letters are counted. Samples cost a transaction, so that a device that sends nothing else would wear out the
flash, and slow down the others; and who sends the most would be the only one to be seen.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

AT_ONCE = 20
"""Samples of one source at once, and of one batch."""
EVERY = 30.0
"""Seconds until a source has room for another."""
SOURCES = 1_024
"""Sources that are told apart at most; then all begin anew."""


class DeadLetterSamples:
    """A token bucket for each source."""

    def __init__(self) -> None:
        self._left: dict[str, tuple[float, float]] = {}
        """By source: samples it may have, and the uptime at which that was so."""

    def choose(self, sources: Iterable[str], uptime: float) -> list[int]:
        """Positions in `sources` (N,) of the dead letters to keep, rising: of every source in turn."""
        by_source: dict[str, list[int]] = {}
        for position, source in enumerate(sources):
            waiting = by_source.setdefault(source, [])
            if len(waiting) < AT_ONCE:
                waiting.append(position)
        allowed = {source: self._allowed(source, uptime) for source in by_source}
        chosen: list[int] = []
        for turn in range(AT_ONCE):
            for source, waiting in by_source.items():
                if turn < len(waiting) and allowed[source] >= 1.0 and len(chosen) < AT_ONCE:
                    chosen.append(waiting[turn])
                    allowed[source] -= 1.0
        for source, left in allowed.items():
            self._left[source] = (left, uptime)
        return sorted(chosen)

    def _allowed(self, source: str, uptime: float) -> float:
        if source not in self._left and len(self._left) >= SOURCES:
            self._left.clear()
        left, since = self._left.get(source, (float(AT_ONCE), uptime))
        return min(float(AT_ONCE), left + (uptime - since) / EVERY)
