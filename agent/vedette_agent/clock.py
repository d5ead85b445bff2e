"""Clock: the two times a gateway has, one that people set and one that nobody does; a simulation brings its own."""

from __future__ import annotations

import time

from vedette_agent.kernel_clock import steering

EARLIEST, LATEST = 1_767_225_600.0, 4_102_444_800.0
"""2026, when this program was written, and 2100: no true time lies outside."""
_UPTIME = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""Where there is no CLOCK_BOOTTIME, time asleep does not count."""


class Clock:
    """The machine's clocks."""

    def now(self) -> float:
        """Seconds since 1970 UTC, as this machine believes: it may start in 1970 and be set at any time."""
        return time.time()

    def uptime(self) -> float:
        """Seconds of a clock that nobody sets and that goes on while the machine sleeps: what timers go by."""
        return time.clock_gettime(_UPTIME)

    def steered(self) -> bool | None:
        """Whether a time server steers `now`; None where nobody says."""
        return steering().synchronised

    def quality(self) -> int:
        """What is known against `now`, as `readings.Quality`: by itself nothing; `gateway_clock` judges."""
        return 0


SYSTEM = Clock()
