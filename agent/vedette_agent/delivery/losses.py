"""Losses: rows that were given up before the hub had them, as ranges of numbers, until a report has told it.

A damaged database is a loss of its own kind: nobody knows how many rows were in it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from vedette_models.messages import PRIORITIES, Damage, DeclaredLoss, Priority, Report

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Sequence

    from vedette_agent.delivery.database import Database

PER_REPORT = 100
REPORT_BYTES = 16_384
"""What a report of so many losses takes at most."""
KEPT = 1_000
DAMAGES_KEPT = 20
_TABLES = ("loss", "damage")


def declare(connection: sqlite3.Connection, rank: int, epoch: str, sequence: int, *, reason: str) -> None:
    """A row is given up."""
    declare_range(connection, rank, epoch, sequence, sequence, reason=reason)


def declare_range(connection: sqlite3.Connection, rank: int, epoch: str, first: int, last: int, *, reason: str) -> None:
    """Rows are given up; what lies before and after them becomes one range with them, unless a report carries it.

    Storms of many devices are given up in pieces that lie between each other: without this the pieces would outgrow
    what they speak of.
    """
    mine = "priority = ? AND epoch = ? AND reported_by IS NULL AND first ="
    after = connection.execute(f"DELETE FROM loss WHERE {mine} ? RETURNING last", (rank, epoch, last + 1)).fetchone()
    if after is not None:
        (last,) = after
    before = "(SELECT max(first) FROM loss WHERE priority = ? AND epoch = ? AND first < ?)"
    grown = connection.execute(
        f"UPDATE loss SET last = ? WHERE {mine} {before} AND last = ?",
        (last, rank, epoch, rank, epoch, first, first - 1),
    )
    if grown.rowcount == 0:
        connection.execute(
            "INSERT OR IGNORE INTO loss (priority, epoch, first, last, reason) VALUES (?, ?, ?, ?, ?)",
            (rank, epoch, first, last, reason),
        )


def declare_damage(connection: sqlite3.Connection, damage: Damage) -> None:
    """The database before this one was damaged."""
    connection.execute("INSERT INTO damage (body) VALUES (?)", (msgspec.json.encode(damage),))


def waiting(database: Database) -> bool:
    """Whether anything is to be reported."""
    return any(database.select(f"SELECT 1 FROM {table} WHERE reported_by IS NULL LIMIT 1") for table in _TABLES)


def next_report(database: Database, now: float, quality: int) -> tuple[Report, list[tuple[str, int]]]:
    """A report of losses that none carries yet, and the rows it is made of, for `reported`.

    `quality`: what is known of `now`, as `readings.Quality`.
    """
    lost = database.select(
        "SELECT rowid, priority, epoch, first, last, reason FROM loss WHERE reported_by IS NULL LIMIT ?", (PER_REPORT,)
    )
    damages = database.select("SELECT rowid, body FROM damage WHERE reported_by IS NULL LIMIT 1")
    try:
        report = Report(
            now,
            time_quality=quality,
            losses=tuple(DeclaredLoss(PRIORITIES[row[1]], *row[2:]) for row in lost),
            damages=tuple(msgspec.json.decode(body, type=Damage) for _, body in damages),
        )
    except (msgspec.MsgspecError, LookupError, TypeError) as error:
        raise database.damaged("declare losses", error) from error
    return report, [*(("loss", row[0]) for row in lost), *(("damage", row[0]) for row in damages)]


def reported(connection: sqlite3.Connection, rows: Iterable[tuple[str, int]], by: int) -> None:
    """A row of the outbox carries these."""
    for table, row in rows:
        connection.execute(f"UPDATE {table} SET reported_by = ? WHERE rowid = ?", (by, row))


def given_up(connection: sqlite3.Connection, row: int) -> None:
    """A row of the outbox goes: what it reported must be reported by another."""
    for table in _TABLES:
        connection.execute(f"UPDATE {table} SET reported_by = NULL WHERE reported_by = ?", (row,))


def arrived(connection: sqlite3.Connection, outbox_rows: str) -> None:
    """The hub has the reports among these rows (a query); the newest losses are kept for the operator."""
    for table, keep in zip(_TABLES, (KEPT, DAMAGES_KEPT), strict=True):
        connection.execute(f"UPDATE {table} SET reported_by = 0 WHERE reported_by IN ({outbox_rows})")
        connection.execute(
            f"DELETE FROM {table} WHERE reported_by = 0 AND rowid <= (SELECT max(rowid) FROM {table}) - ?", (keep,)
        )


def known_epochs(next_number: dict[Priority, int], epoch: str) -> Sequence[str]:
    """The epoch of this run, if it has had rows."""
    return (epoch,) if any(number > 1 for number in next_number.values()) else ()
