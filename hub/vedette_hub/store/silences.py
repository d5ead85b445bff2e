"""Silences in the store."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from vedette_hub.alerts.matching import Matchers
from vedette_hub.alerts.suppression import Silence
from vedette_hub.errors import HubError
from vedette_hub.store.alerts import renew
from vedette_hub.store.schema import silences

MAX_SILENCES = 500
"""Most silences that hold now or will; those of the past are kept up to the same number, the newest."""


class TooManySilencesError(HubError):
    """There is no room for another silence."""


def add_silence(
    connection: Connection, matchers: Matchers, start: float, end: float, *, by: str, now: float, comment: str = ""
) -> Silence:
    """Silence these alerts from `start` until before `end`.

    Raises:
        TooManySilencesError: `MAX_SILENCES` hold now or will.
    """
    coming = select(func.count()).select_from(silences).where(silences.c.end > now)
    if int(connection.execute(coming).scalar_one()) >= MAX_SILENCES:
        raise TooManySilencesError(f"there are {MAX_SILENCES} silences already; end some that are not needed any more")
    past = select(silences.c.number).where(silences.c.end <= now).order_by(silences.c.end.desc(), silences.c.number)
    old = connection.execute(past.offset(MAX_SILENCES).limit(1_000)).scalars().all()
    connection.execute(delete(silences).where(silences.c.number.in_(old)))
    values = {"matchers": json.dumps(matchers.patterns()), "start": start, "end": end, "comment": comment}
    query = insert(silences).values(**values, created=now, created_by=by).returning(silences.c.number)
    number = int(connection.execute(query).scalar_one())
    return Silence(number, matchers, start, end, comment, by, now)


def list_silences(connection: Connection, now: float, *, past: bool = False) -> list[Silence]:
    """Silences that hold now or will, those that end first first; or, with `past`, the others, the newest first."""
    query = select(silences)
    if past:
        query = query.where(silences.c.end <= now).order_by(silences.c.end.desc(), silences.c.number.desc())
    else:
        query = query.where(silences.c.end > now).order_by(silences.c.end, silences.c.number)
    return [_silence(row) for row in connection.execute(query.limit(MAX_SILENCES))]


def silences_ended(connection: Connection, after: float, until: float) -> list[Silence]:
    """Silences that ended after one moment, and not after another."""
    query = select(silences).where(silences.c.end > after, silences.c.end <= until).order_by(silences.c.end)
    return [_silence(row) for row in connection.execute(query.limit(2 * MAX_SILENCES))]


def find_silence(connection: Connection, number: int) -> Silence | None:
    """One silence; None when it is not there."""
    row = connection.execute(select(silences).where(silences.c.number == number)).first()
    return None if row is None else _silence(row)


def end_silence(connection: Connection, number: int, *, by: str, now: float) -> Silence | None:
    """End a silence now; one that is over stays as it is. None when it is not there.

    Alerts that it was for are looked at again by those who tell people.
    """
    found = find_silence(connection, number)
    if found is None or found.end <= now:
        return found
    # One that has not begun yet never holds.
    values = {"start": min(found.start, now), "end": now, "ended_by": by}
    connection.execute(update(silences).where(silences.c.number == number).values(**values))
    renew(connection, [found.matchers])
    return find_silence(connection, number)


def _silence(row: Row[Any]) -> Silence:
    return Silence(
        row.number,
        Matchers.of(json.loads(row.matchers)),
        row.start,
        row.end,
        row.comment,
        row.created_by,
        row.created,
        row.ended_by,
    )
