"""An alert rate beside its target, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vedette_models.messages import AlertRate

ENOUGH = 1.0
"""Device-weeks from which on alerts are told as a rate."""


def in_words(rate: AlertRate) -> str:
    """Realised rate, target, and how long was watched.

    >>> from vedette_models.messages import AlertRate
    >>> in_words(AlertRate(0.5, 3, 8.0))
    '0.38 alerts per device and week, at most 0.5 false ones are wanted (3 in 8.0 weeks of devices)'
    """
    count = f"{rate.alerts} in {rate.device_weeks:.1f} weeks of devices"
    target = "no budget, the threshold is fixed"
    if rate.target is not None:
        target = f"at most {rate.target:g} false ones are wanted"
    if rate.device_weeks < ENOUGH:
        return f"too early for alerts per device and week, {target} ({count})"
    return f"{rate.alerts / rate.device_weeks:.2f} alerts per device and week, {target} ({count})"
