"""Routes: which alerts go to which channels, when, and how often at most. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Literal, get_args
from zoneinfo import ZoneInfo

from vedette_hub.alerts.lifecycle import AlertRecord
from vedette_hub.alerts.matching import Matchers

Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DAYS: tuple[Day, ...] = get_args(Day)


@dataclass(frozen=True)
class Hours:
    """Times of the day and days of the week at which a route tells anything; by default always."""

    days: tuple[Day, ...] = ()
    """Empty: every day. What goes past midnight belongs to the day on which it begins."""
    start: str = "00:00"
    end: str = "00:00"
    """Until before this time; the same as `start`: 24 hours long."""
    timezone: str = "UTC"
    """IANA name."""

    def contains(self, now: float) -> bool:
        """Whether a time, in seconds since 1970 UTC, lies within.

        >>> Hours(("mon",), "22:00", "06:00").contains(4 * 86_400.0 + 23 * 3_600.0)  # Monday, 5 January 1970, 23:00
        True
        """
        if not self.days and self.start == self.end:
            return True
        today = datetime.fromtimestamp(now, UTC).astimezone(_zone(self.timezone)).date()
        return any(first <= now < last for first, last in map(self._period, (today - timedelta(days=1), today)) if last)

    def next_start(self, now: float) -> float:
        """When they begin next, after `now`."""
        today = datetime.fromtimestamp(now, UTC).astimezone(_zone(self.timezone)).date()
        begins = (self._period(today + timedelta(days=days)) for days in range(9))
        return min((first for first, last in begins if last and first > now), default=now + 86_400.0)

    def _period(self, day: date) -> tuple[float, float]:
        """From begin to end on this day; (0, 0) where it is none of the days."""
        if self.days and DAYS[day.weekday()] not in self.days:
            return 0.0, 0.0
        start, end = time.fromisoformat(self.start), time.fromisoformat(self.end)
        last = day if end > start else day + timedelta(days=1)
        zone = _zone(self.timezone)
        return datetime.combine(day, start, zone).timestamp(), datetime.combine(last, end, zone).timestamp()


@dataclass(frozen=True)
class Bounds:
    """How often a route tells a channel at most; 0: no bound. What is beyond waits, and is told if it still holds."""

    cooldown: float = 0.0
    """Seconds after any alert before another one."""
    device_cooldown: float = 0.0
    """Seconds after an alert before another one of the same device."""
    per_hour: int = 60
    """Messages within an hour."""
    device_per_hour: int = 0
    """Messages about one device within an hour."""


@dataclass(frozen=True)
class Route:
    """Alerts that match go to these channels."""

    name: str
    channels: tuple[str, ...]
    matchers: Matchers = field(default_factory=Matchers)
    hours: Hours = field(default_factory=Hours)
    bounds: Bounds = field(default_factory=Bounds)
    tell_worse: bool = True
    """Tell again when the severity rises."""
    tell_cleared: bool = True
    """Tell those who were told when it is over."""
    enabled: bool = True
    comment: str = ""
    number: int = 0
    """0: not stored yet."""
    created: float = 0.0
    created_by: str = ""

    def match(self, record: AlertRecord) -> bool:
        """Whether an alert goes this way, at any time of the day."""
        return self.enabled and self.matchers.match(record.event, record.severity)


@lru_cache(maxsize=256)
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)
