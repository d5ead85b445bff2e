"""What the page of an alert shows, read from the store in one transaction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine

from vedette_hub.api.alerts import alert_answers
from vedette_hub.api.answers import alert_answer, history_answer
from vedette_hub.store.alert_search import AlertFilter, list_alerts
from vedette_hub.store.alerts import Key, find_alert, history
from vedette_hub.store.database import reading
from vedette_hub.store.devices import find_device

OTHERS_SHOWN = 8
MARGIN_READINGS = 60
"""Readings before and after an alert that its chart shows, at least ..."""
LEAST_MARGIN = 1_800.0
"""... and seconds."""
_UNKNOWN_INTERVAL = 60.0


@dataclass(frozen=True)
class AlertDetail:
    """The page's content."""

    alert: dict[str, Any]
    history: list[dict[str, Any]]
    """The newest first."""
    others: list[dict[str, Any]]
    """Other alerts of the device, the newest first."""
    window: tuple[float, float]
    """The time that its chart shows: what led to it, the alert, and some time after."""


def read_alert_detail(engine: Engine, key: Key, now: float) -> AlertDetail | None:
    """Read what the page shows; None when there is no such alert."""
    with reading(engine) as connection:
        found = find_alert(connection, key)
        if found is None:
            return None
        events, actions = history(connection, key)
        event = found.record.event
        same = AlertFilter(gateway=(event.gateway,), device=(event.device,))
        others = [one for one in list_alerts(connection, same, limit=OTHERS_SHOWN + 1) if one.serial != found.serial]
        (answer,) = alert_answers(connection, [found])
        device = find_device(connection, (event.gateway, event.device))
    interval = device.interval if device is not None and device.interval is not None else _UNKNOWN_INTERVAL
    margin = max(LEAST_MARGIN, MARGIN_READINGS * interval)
    end = found.record.cleared if found.record.cleared is not None else event.time
    # A gateway whose clock was wrong may say anything.
    end = min(max(end, event.opened), event.opened + 14 * 86_400.0)
    return AlertDetail(
        answer,
        history_answer(events, actions)[::-1],
        [alert_answer(one) for one in others[:OTHERS_SHOWN]],
        (event.opened - margin, end + margin / 2),
    )
