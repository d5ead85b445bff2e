"""What keeps an alert from being told: a silence, or a maintenance window. Pure.

An alert that is suppressed is stored, listed and counted as any other; nobody is woken by it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from vedette_hub.alerts.lifecycle import AlertRecord
from vedette_hub.alerts.maintenance import Window
from vedette_hub.alerts.matching import Matchers


@dataclass(frozen=True)
class Silence:
    """Somebody does not want to hear of these alerts for some time; times are seconds since 1970 UTC."""

    number: int
    matchers: Matchers
    start: float
    end: float
    """It holds until before this moment; a silence that somebody has lifted ended then."""
    comment: str = ""
    created_by: str = ""
    created: float = 0.0
    ended_by: str = ""
    """Who lifted it before its time; empty: nobody has."""

    def holds(self, now: float) -> bool:
        """Whether it is in force."""
        return self.start <= now < self.end


def suppressed_by(
    record: AlertRecord, silences: Iterable[Silence], windows: Iterable[Window], now: float
) -> Silence | Window | None:
    """What suppresses an alert at this time: the silence that holds longest, else such a window; None: nothing does."""
    silence = max(
        (one for one in silences if one.holds(now) and one.matchers.match(record.event, record.severity)),
        key=lambda one: one.end,
        default=None,
    )
    if silence is not None:
        return silence
    open_windows = [
        (period[1], -one.number, one)
        for one in windows
        if (period := one.period(now)) is not None and one.matchers.match(record.event, record.severity)
    ]
    return max(open_windows)[2] if open_windows else None
