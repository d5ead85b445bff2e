"""File order: whether the lines of a file are in order of time, and the same lines so ordered, on disk."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

Line = tuple[int, list[str]]
"""Number in the file, and cells."""
SHARE = 0.3
"""Of readings that are older than the one before of their device: a clock that was set makes few, a file in reverse or
shuffled makes half of them and more."""
LATE = 3_600.0
"""Seconds by which a device may begin before the newest reading of the others: more is a file in order of devices."""
BLOCK = 4_096


class Order(NamedTuple):
    """How the readings of a file follow each other."""

    readings: int
    """With a usable time."""
    falls: int
    """That are older than the one before of the same device."""
    late: int
    """Devices whose first reading is older than what was read of others."""

    @property
    def is_by_time(self) -> bool:
        """Whether it may be read as it is."""
        return self.falls <= SHARE * self.readings and self.late == 0


def order_of(readings: Iterable[tuple[str, float]]) -> Order:
    """Of (device, time), in the order of the file; NaN and infinite times are passed over."""
    last: dict[str, float] = {}
    count = falls = late = 0
    newest = -np.inf
    for device, time in readings:
        if not np.isfinite(time):
            continue
        count += 1
        before = last.get(device)
        if before is None:
            late += time < newest - LATE
        elif time < before:
            falls += 1
        last[device] = time
        newest = max(newest, time)
    return Order(count, falls, late)


def by_time(lines: Iterable[tuple[float, Line]]) -> Iterator[Line]:
    """Lines in order of their times, those of the same time as they were; unusable times first.

    Kept in a temporary database of SQLite, which is a file as soon as it is large, and gone afterwards.
    """
    with closing(sqlite3.connect("")) as database:
        database.execute("PRAGMA temp_store = FILE")
        database.execute("CREATE TABLE line (time REAL, number INTEGER, cells TEXT)")
        database.executemany(
            "INSERT INTO line VALUES (?, ?, ?)",
            ((time if np.isfinite(time) else None, number, json.dumps(cells)) for time, (number, cells) in lines),
        )
        for number, cells in database.execute("SELECT number, cells FROM line ORDER BY time, number"):
            yield number, json.loads(cells)


def blocks(lines: Iterable[Line], size: int = BLOCK) -> Iterator[Sequence[Line]]:
    """Lines, some at a time."""
    some: list[Line] = []
    for line in lines:
        some.append(line)
        if len(some) == size:
            yield some
            some = []
    if some:
        yield some
