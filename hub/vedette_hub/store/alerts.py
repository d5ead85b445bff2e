"""Alerts in the store: what is known of each, the history of events, and what people did."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
from sqlalchemy import Connection, bindparam, insert, select, tuple_, update

from vedette_hub.alerts.lifecycle import AlertRecord, LabelValue
from vedette_hub.alerts.matching import Matchers
from vedette_hub.store.alert_rows import StoredAlert, columns_of, stored_alert
from vedette_hub.store.database import insert_new
from vedette_hub.store.schema import alert_actions, alert_events, alerts, counters
from vedette_models.messages import Alert

Key = tuple[str, str]
"""(gateway, alert id)"""

ActionName = Literal["acknowledge", "unacknowledge", "resolve", "label", "assign", "comment"]

RENEWED = 10_000
ACTIONS_KEPT = 500
"""Actions kept of each alert; they come from people, and programs that people wrote."""

_CHUNK = 400
_CHANGES = "alert_changes"
_decoder = msgspec.json.Decoder(Alert)


@dataclass(frozen=True)
class Event:
    """One revision of an alert, as it came."""

    received: float
    event: Alert


@dataclass(frozen=True)
class Action:
    """What somebody did about an alert."""

    action: ActionName
    time: float
    by: str
    comment: str = ""
    label: LabelValue | None = None
    """None with the action `label`: taken back."""
    assignee: str | None = None
    """None with the action `assign`: nobody any more."""


def load_alerts(connection: Connection, keys: Collection[Key], *, to_change: bool = False) -> dict[Key, StoredAlert]:
    """Those of the alerts that are there; `to_change`: nobody else changes them until this transaction ends."""
    found: dict[Key, StoredAlert] = {}
    wanted = sorted(keys)
    for start in range(0, len(wanted), _CHUNK):
        chosen = tuple_(alerts.c.gateway, alerts.c.alert).in_(wanted[start : start + _CHUNK])
        query = select(alerts).where(chosen)
        if to_change:  # SQLite has one writer, and no such words; in one order, so that nobody waits for each other
            query = query.order_by(alerts.c.gateway, alerts.c.alert).with_for_update()
        for row in connection.execute(query).mappings():
            found[(row["gateway"], row["alert"])] = stored_alert(row)
    return found


def save_alerts(
    connection: Connection, changed: Iterable[tuple[AlertRecord, int | None]], events: dict[Key, str], now: float
) -> None:
    """Write records: as new alerts, or over those with the serial given. `events` has the newest event as it came."""
    new: list[dict[str, Any]] = []
    old: list[dict[str, Any]] = []
    records = list(changed)
    numbers = _change_numbers(connection, len(records))
    for (record, serial), number in zip(records, numbers, strict=True):
        columns = columns_of(record)
        columns["updated"], columns["changed"] = now, number
        if (raw := events.get((record.event.gateway, record.event.id))) is not None:
            columns["event"] = raw
        if serial is None:
            new.append({**columns, "received": now})
        else:
            old.append({**columns, "at_serial": serial})
    if new:
        connection.execute(insert(alerts), new)
    if old:
        connection.execute(update(alerts).where(alerts.c.serial == bindparam("at_serial")), old)


def renew(connection: Connection, matchers: Iterable[Matchers]) -> int:
    """Let alerts that wait for attention and match one of these count as changed, for those who follow; how many did.

    Of very many alerts only the newest `RENEWED` are looked at.
    """
    wanted = list(matchers)
    waiting = select(alerts).where(alerts.c.state == "active", alerts.c.acknowledged.is_(False))
    rows = connection.execute(waiting.order_by(alerts.c.serial.desc()).limit(RENEWED)).mappings()
    found = [stored for stored in map(stored_alert, rows) if any(_match(one, stored.record) for one in wanted)]
    numbers = _change_numbers(connection, len(found))
    if found:
        changes = [{"at_serial": one.serial, "to": number} for one, number in zip(found, numbers, strict=True)]
        query = update(alerts).where(alerts.c.serial == bindparam("at_serial")).values(changed=bindparam("to"))
        connection.execute(query, changes)
    return len(found)


def _match(matchers: Matchers, record: AlertRecord) -> bool:
    return matchers.match(record.event, record.severity)


def last_change(connection: Connection) -> int:
    """The number of the newest change of an alert; 0: there was none."""
    query = select(counters.c.value).where(counters.c.name == _CHANGES)
    return int(connection.execute(query).scalar() or 0)


def alerts_changed(connection: Connection, after: int, *, limit: int) -> list[StoredAlert]:
    """Alerts that have changed after the change with this number, in that order, each once, as they are now."""
    query = select(alerts).where(alerts.c.changed > after).order_by(alerts.c.changed).limit(limit)
    return [stored_alert(row) for row in connection.execute(query).mappings()]


def _change_numbers(connection: Connection, many: int) -> range:
    """Numbers of the next changes. The row of the counter is locked until the commit, so that they come in order."""
    if not many:
        return range(0)
    insert_new(connection, counters, [{"name": _CHANGES, "value": 0}])
    more = update(counters).where(counters.c.name == _CHANGES).values(value=counters.c.value + many)
    last = int(connection.execute(more.returning(counters.c.value)).scalar_one())
    return range(last - many + 1, last + 1)


def add_events(connection: Connection, events: Iterable[tuple[Alert, str]], now: float, keep: int) -> None:
    """Add events to the history, each revision once; of every alert the first and the newest `keep` revisions stay."""
    rows: list[dict[str, Any]] = []
    full: set[Key] = set()
    for event, raw in events:
        rows.append(
            {
                "gateway": event.gateway,
                "alert": event.id,
                "revision": event.revision,
                "received": now,
                "event": raw,
            }
        )
        if event.revision > keep:
            full.add((event.gateway, event.id))
    insert_new(connection, alert_events, rows)
    if full:
        table, other = alert_events.c, alert_events.alias().c
        newest = select(other.revision).where(
            other.gateway == bindparam("of_gateway"), other.alert == bindparam("of_alert")
        )
        oldest_kept = newest.order_by(other.revision.desc()).limit(1).offset(keep - 1).scalar_subquery()
        connection.execute(
            alert_events.delete().where(
                table.gateway == bindparam("of_gateway"),
                table.alert == bindparam("of_alert"),
                table.revision > 1,
                table.revision < oldest_kept,
            ),
            [{"of_gateway": gateway, "of_alert": alert} for gateway, alert in full],
        )


def find_alert(connection: Connection, key: Key, *, to_change: bool = False) -> StoredAlert | None:
    """One alert; None when it is not there."""
    return load_alerts(connection, [key], to_change=to_change).get(key)


def history(connection: Connection, key: Key) -> tuple[list[Event], list[Action]]:
    """Everything that happened to an alert: events by revision, actions by time."""
    of_events = select(alert_events).where(alert_events.c.gateway == key[0], alert_events.c.alert == key[1])
    of_actions = select(alert_actions).where(alert_actions.c.gateway == key[0], alert_actions.c.alert == key[1])
    events = [
        Event(row["received"], _decoder.decode(row["event"]))
        for row in connection.execute(of_events.order_by(alert_events.c.revision)).mappings()
    ]
    actions = [
        Action(row["action"], row["time"], row["by"], row["comment"], row["label"], row["assignee"])
        for row in connection.execute(of_actions.order_by(alert_actions.c.number)).mappings()
    ]
    return events, actions


def add_actions(connection: Connection, keys: Collection[Key], action: Action) -> None:
    """Keep what somebody did about these alerts; of every alert the newest `ACTIONS_KEPT` stay."""
    rows = [{"gateway": gateway, "alert": alert, **vars(action)} for gateway, alert in keys]
    if not rows:
        return
    connection.execute(insert(alert_actions), rows)
    mine = alert_actions.alias()
    oldest_kept = (
        select(mine.c.number)
        .where(mine.c.gateway == bindparam("of_gateway"), mine.c.alert == bindparam("of_alert"))
        .order_by(mine.c.number.desc())
        .limit(1)
        .offset(ACTIONS_KEPT - 1)
        .scalar_subquery()
    )
    connection.execute(
        alert_actions.delete().where(
            alert_actions.c.gateway == bindparam("of_gateway"),
            alert_actions.c.alert == bindparam("of_alert"),
            alert_actions.c.number < oldest_kept,
        ),
        [{"of_gateway": gateway, "of_alert": alert} for gateway, alert in keys],
    )
