"""What people do about alerts: the lifecycle applied to the store, state and history in one transaction."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Engine

from vedette_hub.alerts import lifecycle
from vedette_hub.alerts.lifecycle import AlertRecord
from vedette_hub.store.alert_rows import StoredAlert
from vedette_hub.store.alerts import Action, Key, add_actions, load_alerts, save_alerts
from vedette_hub.store.database import writing


def act(engine: Engine, key: Key, action: Action) -> StoredAlert | None:
    """Do something about an alert, and keep who did it; the alert afterwards, or None when there is none.

    Doing the same again changes nothing but the history.
    """
    return act_on_all(engine, [key], action).get(key)


def act_on_all(engine: Engine, keys: Sequence[Key], action: Action) -> dict[Key, StoredAlert]:
    """Do the same about several alerts, about all or none; those that there are, as they are afterwards."""
    with writing(engine) as connection:
        found = load_alerts(connection, keys, to_change=True)
        changed = [
            (record, stored.serial)
            for stored in found.values()
            if (record := _changed(stored.record, action)) is not stored.record
        ]
        save_alerts(connection, changed, {}, action.time)
        add_actions(connection, list(found), action)
        return load_alerts(connection, list(found))


def _changed(record: AlertRecord, action: Action) -> AlertRecord:
    match action.action:
        case "acknowledge":
            return lifecycle.acknowledge(record, action.by, action.time)
        case "unacknowledge":
            return lifecycle.unacknowledge(record)
        case "resolve":
            return lifecycle.resolve(record, action.by, action.time)
        case "label":
            return lifecycle.label(record, action.label, action.by, action.time)
        case "assign":
            return lifecycle.assign(record, action.assignee, action.by, action.time)
        case "comment":
            return record
