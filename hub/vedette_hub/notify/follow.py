"""Following alerts: what changed → what each channel is to be told → the queue, all in one transaction.

How far alerts have been followed is kept with what was queued: after a crash nothing is queued twice, nothing left out.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from sqlalchemy import Connection, Engine, func, select, update

from vedette_hub.alerts.maintenance import Window
from vedette_hub.alerts.suppression import Silence, suppressed_by
from vedette_hub.notify.decision import Cause, Hold, Told, cause_of, hold, wanted
from vedette_hub.notify.message import compose
from vedette_hub.notify.routing import Route
from vedette_hub.store import deliveries, told
from vedette_hub.store.alert_rows import StoredAlert
from vedette_hub.store.alerts import Key, alerts_changed, last_change, load_alerts
from vedette_hub.store.channels import Channel, list_channels
from vedette_hub.store.database import insert_new, reading, writing
from vedette_hub.store.deliveries import NewDelivery
from vedette_hub.store.maintenance import list_windows
from vedette_hub.store.routes import list_routes
from vedette_hub.store.schema import alerts, counters
from vedette_hub.store.silences import list_silences
from vedette_models.messages import SEVERITIES

BATCH = 50
"""Alerts looked at in one transaction: ingest waits for it, 4 ms of CPU for each that is told."""
MOST_QUEUED = 10_000
"""Messages that may wait for one channel; beyond it alerts are held back, and told when there is room, if they last."""
FULL_SECONDS = 60.0
MOST_HELD = 1_000
"""As far as alerts that are held back are counted for a message."""

_CHANGE, _SERIAL = "notify_change", "notify_serial"


@dataclass(frozen=True)
class Followed:
    """What one step did."""

    queued: int
    more: bool
    """There may be more to do at once."""


def step(engine: Engine, now: float, *, origin: str = "") -> Followed:
    """Look at some of the alerts that have changed, and at those held back until now; queue what is to be told.

    Args:
        engine: the store.
        now: seconds since 1970 UTC.
        origin: address of the console, for links.
    """
    if not _anything(engine, now):
        return Followed(0, more=False)
    with writing(engine) as connection:
        cursor = _cursor(connection)
        if cursor is None:
            # The first start: what has been there so far is no news.
            _move(connection, last_change(connection), _newest_serial(connection))
            return Followed(0, more=False)
        routes = [route for route in list_routes(connection) if route.enabled]
        channels = [channel for channel in list_channels(connection) if channel.enabled]
        if not routes or not channels:
            told.release_all(connection)
            _move(connection, last_change(connection), _newest_serial(connection))
            return Followed(0, more=False)
        changed = alerts_changed(connection, cursor[0], limit=BATCH)
        due = told.held_due(connection, now, limit=BATCH)
        rest = [key for key in due if key not in {_key(one) for one in changed}]
        found = [*changed, *load_alerts(connection, rest).values()]
        known = told.load_told(connection, [_key(one) for one in found])
        desk = _Desk(connection, routes, channels, known, now, cursor[1], origin)
        # The most severe first: where there is no room for all, they get it.
        for stored in sorted(found, key=_urgency):
            desk.look_at(stored)
        if changed:
            serial = max(cursor[1], *(one.serial for one in changed))
            _move(connection, changed[-1].changed, serial)
        return Followed(desk.queued, more=len(changed) == BATCH or len(due) == BATCH)


def _urgency(stored: StoredAlert) -> tuple[int, int]:
    return -SEVERITIES.index(stored.record.severity), stored.changed


@dataclass
class _Desk:
    """Decides for one alert after the other, in one transaction."""

    connection: Connection
    routes: Sequence[Route]
    channels: Sequence[Channel]
    known: Mapping[tuple[Key, int], Told]
    """What channels know of these alerts, by alert and number of the channel."""
    now: float
    last_serial: int
    """Alerts with a higher serial are new."""
    origin: str
    queued: int = 0
    full: dict[int, bool] = field(default_factory=dict)

    @cached_property
    def silences(self) -> list[Silence]:
        return list_silences(self.connection, self.now)

    @cached_property
    def windows(self) -> list[Window]:
        return list_windows(self.connection)

    def look_at(self, stored: StoredAlert) -> None:
        """Queue what channels are to be told of an alert, or hold it back."""
        key = _key(stored)
        suppressed: bool | None = None
        for channel in self.channels:
            before = self.known.get((key, channel.number))
            cause = cause_of(stored.record, before, new=stored.serial > self.last_serial)
            ways = [] if cause is None else self._ways(stored, channel, before, cause)
            if cause is not None and ways and cause != "cleared":
                if suppressed is None:
                    suppressed = bool(suppressed_by(stored.record, self.silences, self.windows, self.now))
                # Its end changes the alert, so that it is looked at again.
                ways = [] if suppressed else ways
            if cause is None or not ways:
                self._release(key, channel, before)
            else:
                self._tell(stored, channel, before, cause, ways)

    def _ways(self, stored: StoredAlert, channel: Channel, before: Told | None, cause: Cause) -> list[Route]:
        leading = (route for route in self.routes if channel.name in route.channels)
        return [route for route in leading if wanted(route, stored.record, before, cause)]

    def _tell(
        self, stored: StoredAlert, channel: Channel, before: Told | None, cause: Cause, ways: Iterable[Route]
    ) -> None:
        key, device = _key(stored), stored.record.event.device
        holds: list[Hold] = []
        for route in ways:
            past = deliveries.past_of(self.connection, route, channel.number, key, device)
            held = hold(route, cause, past, self.now) or self._room(channel)
            if held is None:
                self._queue(stored, channel, route, cause)
                known = Told(stored.record.severity, stored.record.state, route.number)
                told.save_told(self.connection, key, channel.number, known, new=before is None)
                return
            holds.append(held)
        if cause == "over":
            return  # nobody waits for what is past
        first = min(holds, key=lambda one: one.until)
        known = replace(before or Told(), held_until=first.until, held_by=first.by)
        told.save_told(self.connection, key, channel.number, known, new=before is None)

    def _release(self, key: Key, channel: Channel, before: Told | None) -> None:
        """There is nothing more to tell: nothing is held back any more."""
        if before is None or before.held_until is None:
            return
        if before.severity is None:
            told.forget_told(self.connection, key, channel.number)
        else:
            known = replace(before, held_until=None, held_by="")
            told.save_told(self.connection, key, channel.number, known, new=False)

    def _queue(self, stored: StoredAlert, channel: Channel, route: Route, cause: Cause) -> None:
        record = stored.record
        held = told.count_held(self.connection, channel.number, most=MOST_HELD)
        deliveries.queue(
            self.connection,
            NewDelivery(
                new_id(),
                channel.number,
                route.number,
                route.name,
                _key(stored),
                record.event.device,
                cause,
                compose(record, cause, self.now, held=held, origin=self.origin),
                self.now,
            ),
        )
        self.queued += 1

    def _room(self, channel: Channel) -> Hold | None:
        if channel.number not in self.full:
            waiting = deliveries.count_queued(self.connection, channel.number, most=MOST_QUEUED)
            self.full[channel.number] = waiting >= MOST_QUEUED
        return Hold(self.now + FULL_SECONDS, "full queue") if self.full[channel.number] else None


def new_id() -> str:
    """The id of a message."""
    return f"msg_{secrets.token_hex(12)}"


def _anything(engine: Engine, now: float) -> bool:
    with reading(engine) as connection:
        cursor = _cursor(connection)
        return cursor is None or last_change(connection) > cursor[0] or bool(told.held_due(connection, now, limit=1))


def _key(stored: StoredAlert) -> Key:
    return stored.record.event.gateway, stored.record.event.id


def _cursor(connection: Connection) -> tuple[int, int] | None:
    """(number of the last change that was looked at, highest serial of an alert then); None before the first start."""
    query = select(counters.c.name, counters.c.value).where(counters.c.name.in_([_CHANGE, _SERIAL]))
    found: dict[str, int] = {row.name: row.value for row in connection.execute(query)}
    return (found[_CHANGE], found.get(_SERIAL, 0)) if _CHANGE in found else None


def _move(connection: Connection, change: int, serial: int) -> None:
    insert_new(connection, counters, [{"name": name, "value": 0} for name in (_CHANGE, _SERIAL)])
    for name, value in ((_CHANGE, change), (_SERIAL, serial)):
        connection.execute(update(counters).where(counters.c.name == name).values(value=value))


def _newest_serial(connection: Connection) -> int:
    return int(connection.execute(select(func.max(alerts.c.serial))).scalar() or 0)
