"""What people do about alerts: the lifecycle applied to the store, state and history in one transaction."""

from __future__ import annotations

from sqlalchemy import Engine

from vedette_hub.alerts import lifecycle
from vedette_hub.store.alerts import Action, Key, StoredAlert, add_action, find_alert, save_alerts
from vedette_hub.store.database import writing


def act(engine: Engine, key: Key, action: Action) -> StoredAlert | None:
    """Do something about an alert, and keep who did it; the alert afterwards, or None when there is none.

    Doing the same again changes nothing but the history.
    """
    with writing(engine) as connection:
        found = find_alert(connection, key, to_change=True)
        if found is None:
            return None
        record = found.record
        match action.action:
            case "acknowledge":
                changed = lifecycle.acknowledge(record, action.by, action.time)
            case "resolve":
                changed = lifecycle.resolve(record, action.by, action.time)
            case "label":
                assert action.label is not None  # noqa: S101  # the caller's mistake, not a user's
                changed = lifecycle.label(record, action.label, action.by, action.time)
        if changed is not record:
            save_alerts(connection, [(changed, found.serial)], {}, action.time)
        add_action(connection, key, action)
        return find_alert(connection, key)
