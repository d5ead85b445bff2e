"""What each channel knows of each alert, in the store: the memory that keeps anything from being told twice."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import ColumnElement, Connection, delete, func, insert, select, tuple_, update

from vedette_hub.notify.decision import Told
from vedette_hub.store.alerts import Key
from vedette_hub.store.notify_schema import channels, told

_CHUNK = 400


def load_told(connection: Connection, keys: Collection[Key]) -> dict[tuple[Key, int], Told]:
    """What is known of these alerts: by alert and channel number."""
    found: dict[tuple[Key, int], Told] = {}
    wanted = list(keys)
    for start in range(0, len(wanted), _CHUNK):
        chosen = tuple_(told.c.gateway, told.c.alert).in_(wanted[start : start + _CHUNK])
        for row in connection.execute(select(told).where(chosen)):
            known = Told(row.severity, row.state, row.route, row.held_until, row.held_by)
            found[(row.gateway, row.alert), row.channel] = known
    return found


def save_told(connection: Connection, key: Key, channel: int, known: Told, *, new: bool) -> None:
    """Keep what a channel knows of an alert; `new`: it knew nothing so far."""
    columns = {
        "severity": known.severity,
        "state": known.state,
        "route": known.route,
        "held_until": known.held_until,
        "held_by": known.held_by,
    }
    if new:
        connection.execute(insert(told).values(gateway=key[0], alert=key[1], channel=channel, **columns))
    else:
        connection.execute(update(told).where(*_of(key, channel)).values(**columns))


def forget_told(connection: Connection, key: Key, channel: int) -> None:
    """A channel has no more to do with an alert."""
    connection.execute(delete(told).where(*_of(key, channel)))


def held_due(connection: Connection, now: float, *, limit: int) -> list[Key]:
    """Alerts of which something was held back from a channel that is in use until now, the longest due first."""
    query = select(told.c.gateway, told.c.alert).join(channels, channels.c.number == told.c.channel)
    query = query.where(told.c.held_until <= now, channels.c.enabled.is_(True)).order_by(told.c.held_until)
    return list(dict.fromkeys((row.gateway, row.alert) for row in connection.execute(query.limit(limit))))


def release_all(connection: Connection) -> None:
    """Nothing is held back any more: there is no way left by which it could be told."""
    held = told.c.held_until.is_not(None)
    connection.execute(delete(told).where(held, told.c.severity.is_(None)))
    connection.execute(update(told).where(held).values(held_until=None, held_by=""))


def bring_back(connection: Connection, now: float, furthest: float) -> None:
    """After the clock has been set back: nothing is held back until times that cannot be meant."""
    connection.execute(update(told).where(told.c.held_until > furthest).values(held_until=now))


def count_held(connection: Connection, channel: int, *, most: int) -> int:
    """Alerts of which a channel is still to be told something, `most` at most."""
    some = select(told.c.alert).where(told.c.channel == channel, told.c.held_until.is_not(None)).limit(most)
    return int(connection.execute(select(func.count()).select_from(some.subquery())).scalar_one())


def _of(key: Key, channel: int) -> tuple[ColumnElement[bool], ...]:
    return told.c.gateway == key[0], told.c.alert == key[1], told.c.channel == channel
