"""Maintenance windows: times at which alerts are expected, once or every week. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from vedette_hub.alerts.matching import Matchers

WEEK = timedelta(days=7)
LONGEST_SECONDS = 7 * 86_400.0
"""Longest window that comes every week; longer ones would overlap themselves."""


@dataclass(frozen=True)
class Window:
    """A time at which these alerts are expected; times are seconds since 1970 UTC."""

    number: int
    name: str
    matchers: Matchers
    start: float
    end: float
    """Of the first time: after this moment the window is over, or comes again a week after it began."""
    weekly: bool = False
    timezone: str = "UTC"
    """IANA name. A weekly window begins and ends at the same time of day there, also after the clocks have changed."""
    until: float | None = None
    """A weekly window does not begin any more at this time or later; None: it always does."""
    comment: str = ""
    created_by: str = ""
    created: float = 0.0

    def period(self, now: float) -> tuple[float, float] | None:
        """The time from begin to end that `now` is in; None outside of it.

        >>> Window(1, "w", Matchers(), 0.0, 3600.0, weekly=True).period(604_800.0 + 60.0)
        (604800.0, 608400.0)
        """
        if not self.weekly:
            return (self.start, self.end) if self.start <= now < self.end else None
        # Two clock changes may lie between, so that the one before and the one after are looked at too.
        passed = int((now - self.start) // WEEK.total_seconds())
        for week in range(max(passed - 1, 0), max(passed + 2, 0)):
            first, last = self._occurrence(week)
            if first <= now < last and (self.until is None or first < self.until):
                return first, last
        return None

    def next_start(self, now: float) -> float | None:
        """When it begins next, after `now`; None: never again."""
        if not self.weekly:
            return self.start if self.start > now else None
        week = max(int((now - self.start) // WEEK.total_seconds()) - 1, 0)
        while (first := self._occurrence(week)[0]) <= now:
            week += 1
        return first if self.until is None or first < self.until else None

    def ended(self, after: float, until: float) -> bool:
        """Whether it ended after one moment and not after another: so its alerts are to be looked at again.

        >>> window = Window(1, "w", Matchers(), 0.0, 3600.0, weekly=True)
        >>> window.ended(608_000.0, 608_399.0), window.ended(608_000.0, 608_400.0)
        (False, True)
        """
        if not self.weekly:
            return after < self.end <= until
        newest = int((until - self.start) // WEEK.total_seconds())
        if self.until is not None:
            newest = min(newest, int((self.until - self.start) // WEEK.total_seconds()))
        weeks = (self._occurrence(week) for week in range(max(newest - 1, 0), max(newest + 2, 0)))
        return any(after < last <= until and (self.until is None or first < self.until) for first, last in weeks)

    def over(self, now: float) -> bool:
        """Whether it will never be in force again."""
        return self.period(now) is None and self.next_start(now) is None

    def _occurrence(self, week: int) -> tuple[float, float]:
        zone = _zone(self.timezone)
        return _shifted(self.start, zone, week), _shifted(self.end, zone, week)


def _shifted(time: float, zone: ZoneInfo, weeks: int) -> float:
    """The same time of day, weeks later."""
    local = datetime.fromtimestamp(time, UTC).astimezone(zone)
    return (local + weeks * WEEK).timestamp()


@lru_cache(maxsize=256)
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)
