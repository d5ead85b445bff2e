"""Alerts in the store: what is known of each, the history of events, and what people did."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec
from sqlalchemy import Connection, RowMapping, Select, bindparam, func, insert, or_, select, tuple_, update

from vedette_hub.alerts.lifecycle import Acknowledgement, AlertRecord, Label, LabelValue, Resolution
from vedette_hub.store.database import insert_new
from vedette_hub.store.schema import alert_actions, alert_events, alerts
from vedette_models.messages import Alert

Key = tuple[str, str]
"""(gateway, alert id)"""

ActionName = Literal["acknowledge", "resolve", "label"]

_CHUNK = 400
_decoder = msgspec.json.Decoder(Alert)


@dataclass(frozen=True)
class StoredAlert:
    """An alert with its place in the store."""

    serial: int
    """Higher for an alert that reached the hub later."""
    received: float
    updated: float
    record: AlertRecord


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


@dataclass(frozen=True)
class AlertFilter:
    """Which alerts; an empty field lets everything through."""

    gateway: Collection[str] = ()
    device: Collection[str] = ()
    profile: Collection[str] = ()
    kind: Collection[str] = ()
    severity: Collection[str] = ()
    state: Collection[str] = ()
    acknowledged: bool | None = None
    label: Collection[str] = field(default=())
    """`none` stands for those without a label."""
    attention: bool | None = None
    """Whether it is active and nobody has acknowledged it."""
    since: float | None = None
    """Opened at this time or later."""
    until: float | None = None
    """Opened before this time."""


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
            found[(row["gateway"], row["alert"])] = _stored(row)
    return found


def save_alerts(
    connection: Connection, changed: Iterable[tuple[AlertRecord, int | None]], events: dict[Key, str], now: float
) -> None:
    """Write records: as new alerts, or over those with the serial given. `events` has the newest event as it came."""
    new: list[dict[str, Any]] = []
    old: list[dict[str, Any]] = []
    for record, serial in changed:
        columns = _columns(record)
        columns["updated"] = now
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


def list_alerts(
    connection: Connection, chosen: AlertFilter, *, limit: int, before: int | None = None, offset: int = 0
) -> list[StoredAlert]:
    """The newest alerts first, at most `limit`; `before` continues after the alert with that serial."""
    query = _where(select(alerts), chosen).order_by(alerts.c.serial.desc()).limit(limit).offset(offset)
    if before is not None:
        query = query.where(alerts.c.serial < before)
    return [_stored(row) for row in connection.execute(query).mappings()]


def count_alerts(connection: Connection, chosen: AlertFilter) -> int:
    """How many alerts there are."""
    return int(connection.execute(_where(select(func.count()).select_from(alerts), chosen)).scalar_one())


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
        Action(row["action"], row["time"], row["by"], row["comment"], row["label"])
        for row in connection.execute(of_actions.order_by(alert_actions.c.number)).mappings()
    ]
    return events, actions


def add_action(connection: Connection, key: Key, action: Action) -> None:
    """Keep what somebody did."""
    connection.execute(
        insert(alert_actions).values(
            gateway=key[0],
            alert=key[1],
            action=action.action,
            time=action.time,
            by=action.by,
            comment=action.comment,
            label=action.label,
        )
    )


def _where(query: Select[Any], chosen: AlertFilter) -> Select[Any]:
    for name in ("gateway", "device", "profile", "kind", "severity", "state"):
        if values := getattr(chosen, name):
            query = query.where(alerts.c[name].in_(list(values)))
    if chosen.acknowledged is not None:
        query = query.where(alerts.c.acknowledged.is_(chosen.acknowledged))
    if chosen.label:
        labels = [value for value in chosen.label if value != "none"]
        wanted = [alerts.c.label.in_(labels)] if labels else []
        if "none" in chosen.label:
            wanted.append(alerts.c.label.is_(None))
        query = query.where(or_(*wanted))
    if chosen.attention is not None:
        waits = (alerts.c.state == "active") & alerts.c.acknowledged.is_(False)
        query = query.where(waits if chosen.attention else ~waits)
    if chosen.since is not None:
        query = query.where(alerts.c.opened >= chosen.since)
    if chosen.until is not None:
        query = query.where(alerts.c.opened < chosen.until)
    return query


def _columns(record: AlertRecord) -> dict[str, Any]:
    event = record.event
    seen, resolution, label = record.acknowledgement, record.resolution, record.label
    return {
        "gateway": event.gateway,
        "alert": event.id,
        "revision": event.revision,
        "device": event.device,
        "profile": event.profile,
        "kind": event.kind,
        "state": record.state,
        "severity": event.severity,
        "acknowledged": record.acknowledged,
        "opened": event.opened,
        "acknowledged_by": seen.by if seen else None,
        "acknowledged_time": seen.time if seen else None,
        "acknowledged_severity": seen.severity if seen else None,
        "resolved_by": resolution.by if resolution else None,
        "resolved_time": resolution.time if resolution else None,
        "resolved_revision": resolution.revision if resolution else None,
        "label": label.value if label else None,
        "label_by": label.by if label else None,
        "label_time": label.time if label else None,
    }


def _stored(row: RowMapping) -> StoredAlert:
    seen = resolution = label = None
    if row["acknowledged_by"] is not None:
        seen = Acknowledgement(row["acknowledged_by"], row["acknowledged_time"], row["acknowledged_severity"])
    if row["resolved_by"] is not None:
        resolution = Resolution(row["resolved_by"], row["resolved_time"], row["resolved_revision"])
    if row["label"] is not None:
        label = Label(row["label"], row["label_by"], row["label_time"])
    record = AlertRecord(_decoder.decode(row["event"]), seen, resolution, label)
    return StoredAlert(row["serial"], row["received"], row["updated"], record)
