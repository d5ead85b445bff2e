"""When a message is tried again, and when a channel is left alone for a while. Pure."""

from __future__ import annotations

from dataclasses import dataclass

BREAK_AFTER = 5
"""Failures in a row, of any messages, after which a channel is left alone."""
BREAK_FIRST, BREAK_LONGEST = 30.0, 900.0
"""Seconds it is left alone: twice as long each time. Then one message is tried."""


@dataclass(frozen=True)
class Breaker:
    """The circuit breaker of a channel."""

    failures: int = 0
    """In a row."""
    open_until: float = 0.0
    """Nothing is tried before this time, in seconds since 1970 UTC."""

    def is_open(self, now: float) -> bool:
        """Whether the channel is left alone."""
        return now < self.open_until

    def after_failure(self, now: float) -> Breaker:
        """The breaker after a message could not be delivered."""
        failures = self.failures + 1
        if failures < BREAK_AFTER:
            return Breaker(failures)
        return Breaker(failures, now + min(BREAK_FIRST * 2.0 ** min(failures - BREAK_AFTER, 20), BREAK_LONGEST))


def wait(tries: int, first: float, longest: float, chance: float) -> float:
    """Seconds until the next try after `tries` that failed: twice as long each time, with a fifth of chance.

    Args:
        tries: 1 and more.
        first: seconds after the first.
        longest: seconds at most.
        chance: a random number from 0 to 1, so that what failed together does not come back together.
    """
    return float(min(first * 2.0 ** min(tries - 1, 30), longest) * (0.9 + 0.2 * chance))
