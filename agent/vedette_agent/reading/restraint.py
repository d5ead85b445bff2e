"""Restraint: what holds an alert back that would open: cooldown, alert budget and rate limit. Pure.

Cooldown: the same again, soon after it was over. Alert budget: each alert of a device makes its next one dearer for a
time. Rate limit: a token bucket.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from vedette_agent.reading.alert_state import is_late
from vedette_models.messages import SEVERITIES

if TYPE_CHECKING:
    from vedette_agent.reading.alert_state import AlertState
    from vedette_models.messages import Severity
    from vedette_models.profile import Decisions

DAY = 86_400.0
WEEK = 7 * DAY
DEARER, DEAREST = 1.7, 3.0
"""Each alert on the budget makes the next one of the device dearer: it must be so many times rarer, for up to so many
alerts. Without it a bad device is a bad device every day.
"""
DRAIN = 4.5
"""Alerts that leave the budget per week, as multiples of it: at 0.5 a week one is forgotten after three days."""


def is_cooling(state: AlertState, cooldown: float, severity: Severity, time: float) -> bool:
    """Within the cooldown or late, unless this is worse than the last one; a clock that was set back ends it."""
    if state.cleared is None or SEVERITIES.index(severity) > state.cleared_severity:
        return False
    return is_late(time, state.cleared) or 0.0 <= time - state.cleared < cooldown


def is_worth_it(state: AlertState, rules: Decisions, time: float, log_rarity: float) -> bool:
    """Whether it is rare enough after the alerts that were raised lately: each makes the next dearer for a time.

    What holds the budget of a bad device, and lets pass what is clearly worse than its everyday alerts.
    """
    if rules.threshold is not None:
        return True
    drain = DRAIN * rules.alerts_per_week / WEEK
    if state.load is None:
        state.load = 0.0
    else:
        state.load = max(0.0, state.load - drain * max(0.0, time - state.load_time))
    state.load_time = time
    return log_rarity >= math.log(DEARER) * min(state.load, DEAREST)


def take_token(state: AlertState, rules: Decisions, time: float) -> bool:
    """Token bucket: `burst` at once, refilled by `per_day`."""
    if state.tokens is None:
        state.tokens = float(rules.burst)
    else:
        refill = max(0.0, time - state.tokens_time) * rules.per_day / DAY
        state.tokens = min(float(rules.burst), state.tokens + refill)
    state.tokens_time = time
    if state.tokens < 1.0:
        return False
    state.tokens -= 1.0
    return True
