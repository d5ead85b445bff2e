"""Clock: the two times a gateway has, one that people set and one that nobody does; a simulation brings its own."""

from __future__ import annotations

import time


class Clock:
    """The machine's clocks."""

    def now(self) -> float:
        """Seconds since 1970 UTC, as this machine believes: it may start in 1970 and be set at any time."""
        return time.time()

    def uptime(self) -> float:
        """Seconds of a clock that nobody sets and that goes on while the machine sleeps: what timers go by."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)


SYSTEM = Clock()
