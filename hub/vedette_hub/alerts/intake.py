"""Intake: events of alerts become records, by revision and under the severity rules, with their history."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection

from vedette_hub.alerts import lifecycle
from vedette_hub.alerts.severity import by_rules
from vedette_hub.store.alerts import Key, add_events, load_alerts, save_alerts
from vedette_hub.store.severity_rules import list_rules
from vedette_models.messages import Alert


def take_events(connection: Connection, events: Sequence[tuple[Alert, str]], now: float, keep: int) -> None:
    """Apply events, each with the JSON it came as, in any order; of an alert so many revisions are kept."""
    if not events:
        return
    stored = load_alerts(connection, {(event.gateway, event.id) for event, _ in events}, to_change=True)
    records = {key: alert.record for key, alert in stored.items()}
    rule = by_rules([one.rule for one in list_rules(connection)])
    newest: dict[Key, str] = {}
    for event, raw in events:
        key = (event.gateway, event.id)
        before = records.get(key)
        records[key] = lifecycle.apply(before, event, rule)
        if records[key] is not before:
            newest[key] = raw
    changed = [(records[key], stored[key].serial if key in stored else None) for key in newest]
    save_alerts(connection, changed, newest, now)
    add_events(connection, events, now, keep)
