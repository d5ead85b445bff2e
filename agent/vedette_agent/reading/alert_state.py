"""Alert state: what is known of one kind of alert on one device, as it is committed with its events. Pure."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from vedette_agent.reading.health.faults import RULES
from vedette_models.messages import SEVERITIES, Alert

ANOMALY = "anomaly"
KINDS = (ANOMALY, *RULES)
LATE = 3_600.0
"""A reading up to so many seconds older than what it follows was late, or comes again after a crash whose commit knew
the readings after it: it neither opens nor ends an alert. One that is older still comes from a clock that was set back.
"""


class AlertState(msgspec.Struct):
    """One kind of alert on one device: what is open, and what holds back the next."""

    alert: Alert | None = None
    """Its newest revision while it is open."""
    channel: int = -1
    """Column of the channel that raised it: only readings that report it can be quiet."""
    quiet: int = 0
    raised: int = 0
    """Alerts raised so far: makes the next id."""
    cleared: float | None = None
    cleared_severity: int = 0
    tokens: float | None = None
    """Left in the rate limit's bucket; None: full."""
    tokens_time: float = 0.0
    suppressed: int = 0
    """Held back since the newest alert."""
    holding: bool = False
    """The condition goes on, held back: counted once."""
    load: float | None = None
    """What earlier alerts weigh on the alert budget, in alerts; None: none was judged yet."""
    load_time: float = 0.0


class StateChange(NamedTuple):
    """State to be committed with the events it belongs to; None: forget it."""

    device: str
    kind: str
    state: AlertState | None


def cleared(alert: Alert, time: float, why: str) -> Alert:
    """The event that ends an alert."""
    return msgspec.structs.replace(
        alert, revision=alert.revision + 1, state="cleared", time=time, cleared=time, cleared_by=why
    )


def clear(state: AlertState, alert: Alert, time: float, why: str) -> Alert:
    """End the alert that is open, and return the event; its cooldown begins."""
    state.alert, state.quiet = None, 0
    state.cleared, state.cleared_severity = time, SEVERITIES.index(alert.severity)
    return cleared(alert, time, why)


def is_late(time: float, newest: float) -> bool:
    """Whether a reading is older than the event it comes after, and not by so much that its clock was set back."""
    return 0.0 < newest - time <= LATE
