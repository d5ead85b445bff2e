"""How right alerts were, as far as people have said. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

NORMAL_95 = 1.959964
"""Two-sided 95 % point of the normal distribution."""


@dataclass(frozen=True)
class Accuracy:
    """Labels of the alerts of a profile, a device or a detector."""

    name: str
    gateway: str | None = None
    """Of the device."""
    true: int = 0
    false: int = 0
    normal: int = 0
    unlabelled: int = 0
    device_weeks: float | None = None
    """How long devices were watched, all together; None: not known."""
    false_in_weeks: float | None = None
    """False alarms in that time; None: those labelled false or normal."""

    @property
    def labelled(self) -> int:
        """How many have a label."""
        return self.true + self.false + self.normal

    @property
    def false_alarms(self) -> int:
        """How many were labelled false, or normal for their device."""
        return self.false + self.normal

    @property
    def precision(self) -> float | None:
        """Share of those labelled true among all labelled; None: none is."""
        return self.true / self.labelled if self.labelled else None

    @property
    def false_per_device_week(self) -> float | None:
        """False alarms per device and week; None where it is not known how long devices were watched."""
        if not self.device_weeks:
            return None
        false = self.false_alarms if self.false_in_weeks is None else self.false_in_weeks
        return false / self.device_weeks

    def fields(self) -> dict[str, Any]:
        """What is told of it."""
        low, high = interval(self.true, self.labelled) if self.labelled else (None, None)
        return {
            "name": self.name,
            "gateway": self.gateway,
            "alerts": self.labelled + self.unlabelled,
            "true": self.true,
            "false": self.false,
            "normal": self.normal,
            "unlabelled": self.unlabelled,
            "precision": self.precision,
            "precision_low": low,
            "precision_high": high,
            "device_weeks": self.device_weeks,
            "false_per_device_week": self.false_per_device_week,
        }


def interval(hits: int, number: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share of `hits` among `number` ≥ 1 (Wilson 1927, JASA 22, 209–212).

    >>> [round(end, 3) for end in interval(8, 10)]
    [0.49, 0.943]
    """
    share, square = hits / number, NORMAL_95**2
    middle = share + square / (2 * number)
    half = NORMAL_95 * math.sqrt(share * (1 - share) / number + square / (4 * number**2))
    low, high = ((middle + sign * half) / (1 + square / number) for sign in (-1, 1))
    return max(low, 0.0) if hits else 0.0, min(high, 1.0) if hits < number else 1.0
