"""What of an alert a channel has not been told yet, and whether it may be told now. Pure.

Not the change counts but the difference between what an alert is and what a channel knows of it. So a change that is
seen twice tells nothing twice, several changes at once make one message, and what had to wait is told when it may be,
if it still holds then.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from vedette_hub.alerts.lifecycle import AlertRecord
from vedette_hub.notify.routing import Route
from vedette_models.messages import SEVERITIES, AlertState, Severity

Cause = Literal["opened", "over", "worse", "again", "cleared", "test"]
"""`over`: it came and went before the hub could tell; `again`: it was said to be over, and is not; `test`: somebody
tries the channel."""

HOUR = 3600.0


@dataclass(frozen=True)
class Told:
    """What a channel knows of an alert."""

    severity: Severity | None = None
    """The highest it was told; None: it knows nothing, because it was held back so far."""
    state: AlertState = "active"
    route: int | None = None
    """By which route it was told."""
    held_until: float | None = None
    """It has something to be told then; None: it knows all there is to tell."""
    held_by: str = ""


@dataclass(frozen=True)
class Past:
    """What a route has told a channel lately: times in seconds since 1970 UTC; None: nothing."""

    last: float | None = None
    last_of_device: float | None = None
    """The newest alert, and the newest of this device, that cooldowns begin with."""
    at_bound: float | None = None
    at_device_bound: float | None = None
    """The oldest of the newest `per_hour` (`device_per_hour`) messages; None: there were not so many yet."""


@dataclass(frozen=True)
class Hold:
    """Not now: look again at this time."""

    until: float
    by: str


def cause_of(record: AlertRecord, told: Told | None, *, new: bool) -> Cause | None:
    """What a channel has to be told of an alert; None: nothing.

    Args:
        record: the alert as it is.
        told: what the channel knows of it; None: it never had to do with it.
        new: whether the alert has reached the hub since it last looked.
    """
    knows = told is not None and told.severity is not None
    if record.state == "cleared":
        if knows:
            return "cleared" if told is not None and told.state == "active" else None
        return "over" if new and told is None and not _seen_to(record) else None
    if _seen_to(record):
        return None
    if told is None or told.severity is None:
        return "opened"
    if told.state == "cleared":
        return "again"
    return "worse" if SEVERITIES.index(record.severity) > SEVERITIES.index(told.severity) else None


def wanted(route: Route, record: AlertRecord, told: Told | None, cause: Cause) -> bool:
    """Whether a route passes this on: what has cleared goes to those whom the route told, whatever matches now."""
    if cause == "cleared":
        return route.tell_cleared and told is not None and told.route == route.number
    if cause == "worse" and not route.tell_worse:
        return False
    return route.match(record)


def hold(route: Route, cause: Cause, past: Past, now: float) -> Hold | None:
    """Why a route does not tell it now, and until when; None: nothing is in the way."""
    bounds = route.bounds
    holds = []
    if cause != "cleared" and not route.hours.contains(now):
        holds.append(Hold(route.hours.next_start(now), "hours"))
    since: list[tuple[float | None, float, str]] = []
    if cause in ("opened", "over", "again"):
        since.append((past.last, bounds.cooldown, "cooldown"))
        since.append((past.last_of_device, bounds.device_cooldown, "cooldown of the device"))
    if bounds.per_hour:
        since.append((past.at_bound, HOUR, "messages per hour"))
    if bounds.device_per_hour:
        since.append((past.at_device_bound, HOUR, "messages of the device per hour"))
    # What lies ahead was made before the clock was set back, and says nothing.
    holds += [Hold(time + seconds, by) for time, seconds, by in since if time is not None and time <= now]
    return max((one for one in holds if one.until > now), key=lambda one: one.until, default=None)


def _seen_to(record: AlertRecord) -> bool:
    """Whether somebody has seen it, or said that it is none."""
    return record.acknowledged or (record.label is not None and record.label.value != "true")
