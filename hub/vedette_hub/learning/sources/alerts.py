"""What alerts in the store tell about training data: when which device was at fault, and what people said of it."""

from __future__ import annotations

import math
from collections.abc import Callable

from sqlalchemy import Connection

from vedette_hub.learning.hygiene import Mark, Period
from vedette_hub.store.alert_periods import AlertPeriod, alert_periods
from vedette_models.topics import encode

MAX_ALERTS = 100_000
"""Alerts of a profile that are looked at, the newest."""
SENSOR_FAULTS = frozenset({"silent", "stuck", "impossible", "jump", "clock"})
"""Kinds of alerts that are about a sensor, not about its device."""
BY_SENSOR_FAULT = "sensor fault"
"""How an anomaly was cleared that turned out to be one."""
_SAID = {"true": Mark.ANOMALOUS, "false": Mark.FALSE_ALARM, "normal": Mark.FALSE_ALARM}


def of_gateways(connection: Connection, profile: str) -> tuple[Period, ...]:
    """Periods of devices named as `store.read` names them: a device is known by its name only on its own gateway."""
    return _periods(connection, profile, device_name)


def of_any_gateway(connection: Connection, profile: str) -> tuple[Period, ...]:
    """Periods of devices by their own names, as a file has them."""
    return _periods(connection, profile, lambda gateway, device: device)


def device_name(gateway: str, device: str) -> str:
    """A device's name among those of all gateways; encoded, no two names become one."""
    return f"{encode(gateway)}/{encode(device)}"


def _periods(connection: Connection, profile: str, name: Callable[[str, str], str]) -> tuple[Period, ...]:
    found = []
    for alert in alert_periods(connection, profile, MAX_ALERTS):
        mark = _mark(alert)
        if mark is not None:
            last = math.inf if alert.cleared is None else max(alert.opened, alert.cleared)
            found.append(Period(name(alert.gateway, alert.device), alert.opened, last, mark))
    return tuple(found)


def _mark(alert: AlertPeriod) -> Mark | None:
    if alert.kind == "test":
        return None
    said = None if alert.label is None else _SAID[alert.label]
    if said is Mark.FALSE_ALARM:
        return said
    if alert.kind in SENSOR_FAULTS or (said is None and alert.cleared_by == BY_SENSOR_FAULT):
        return Mark.FAULT
    return Mark.SUSPECT if said is None else said
