"""Maintenance windows in the store."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from vedette_hub.alerts.maintenance import Window
from vedette_hub.alerts.matching import Matchers
from vedette_hub.errors import HubError
from vedette_hub.store.alerts import renew
from vedette_hub.store.schema import maintenance_windows

MAX_WINDOWS = 500


class TooManyWindowsError(HubError):
    """There is no room for another maintenance window."""


def add_window(connection: Connection, window: Window) -> Window:
    """Keep a window, under a number of its own.

    Raises:
        TooManyWindowsError: there are `MAX_WINDOWS`.
    """
    count = select(func.count()).select_from(maintenance_windows)
    if int(connection.execute(count).scalar_one()) >= MAX_WINDOWS:
        raise TooManyWindowsError(f"there are {MAX_WINDOWS} maintenance windows; delete some that are over")
    values = {**_values(window), "created": window.created, "created_by": window.created_by}
    query = insert(maintenance_windows).values(**values).returning(maintenance_windows.c.number)
    return replace(window, number=int(connection.execute(query).scalar_one()))


def list_windows(connection: Connection) -> list[Window]:
    """All windows, in the order in which they were made."""
    return [_window(row) for row in connection.execute(select(maintenance_windows).order_by(_number))]


def find_window(connection: Connection, number: int) -> Window | None:
    """One window; None when it is not there."""
    row = connection.execute(select(maintenance_windows).where(_number == number)).first()
    return None if row is None else _window(row)


def change_window(connection: Connection, window: Window) -> bool:
    """Write over the window with the same number, except who made it when; whether it is there.

    Alerts that it was for are looked at again by those who tell people.
    """
    before = find_window(connection, window.number)
    if before is None:
        return False
    connection.execute(update(maintenance_windows).where(_number == window.number).values(**_values(window)))
    renew(connection, [before.matchers])
    return True


def delete_window(connection: Connection, number: int) -> bool:
    """Delete a window; whether it was there. Alerts that it was for are looked at again by those who tell people."""
    before = find_window(connection, number)
    if before is None:
        return False
    connection.execute(delete(maintenance_windows).where(_number == number))
    renew(connection, [before.matchers])
    return True


_number = maintenance_windows.c.number


def _values(window: Window) -> dict[str, Any]:
    return {
        "name": window.name,
        "matchers": json.dumps(window.matchers.patterns()),
        "start": window.start,
        "end": window.end,
        "weekly": window.weekly,
        "timezone": window.timezone,
        "until": window.until,
        "comment": window.comment,
    }


def _window(row: Row[Any]) -> Window:
    return Window(
        row.number,
        row.name,
        Matchers.of(json.loads(row.matchers)),
        row.start,
        row.end,
        bool(row.weekly),
        row.timezone,
        row.until,
        row.comment,
        row.created_by,
        row.created,
    )
