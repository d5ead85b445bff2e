"""Calibration: from "at most k false alerts per device-week" to a threshold for each device."""

from __future__ import annotations

from typing import NamedTuple


class Prior(NamedTuple):
    """How often a detector alerts in normal time, before anything is known about the devices at hand.

    A power law of the strength, that is of score / default threshold: `per_week * strength ** -exponent` episodes of
    alerting per device-week.

    >>> Prior(per_week=1.0, exponent=2.0).rate(2.0)
    0.25
    """

    per_week: float
    """Episodes per device-week of normal time at strength 1."""
    exponent: float
    """How fast they get rarer with strength."""

    def rate(self, strength: float) -> float:
        """Episodes per device-week whose peak exceeds this strength (> 0)."""
        return float(self.per_week * strength**-self.exponent)
