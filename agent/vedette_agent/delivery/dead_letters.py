"""Samples of messages that could not be used: a bounded store in which nobody crowds out the others.

At the limit the sources with the most samples give up their oldest ones (max-min fairness): a device that sends nothing
but garbage fills what the others leave free, and no more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vedette_agent.reading.effects import DeadLetterRow

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from vedette_agent.delivery.database import Database


def shares(counts: Sequence[int], room: int) -> list[int]:
    """How many of its samples each source keeps, `counts` (S,) rising: all, or as many as anybody may keep.

    >>> shares([1, 3, 900], room=10)
    [1, 3, 6]
    """
    kept = []
    for place, count in enumerate(counts):
        kept.append(min(count, room // (len(counts) - place)))
        room -= kept[-1]
    return kept


def keep(connection: sqlite3.Connection, rows: Sequence[DeadLetterRow], most: int) -> None:
    """Add samples within a transaction; afterwards there are at most `most`."""
    connection.executemany(
        "INSERT INTO dead_letter (time, topic, reason, detail, sample, source, time_quality) "
        "VALUES (?, ?, ?, ?, ?, ?, ?)",
        rows,
    )
    found = connection.execute(
        "SELECT source, count(*) FROM dead_letter GROUP BY source ORDER BY count(*), max(id)"
    ).fetchall()
    for (source, count), share in zip(found, shares([count for _, count in found], most), strict=True):
        if count > share:
            connection.execute(
                "DELETE FROM dead_letter WHERE id IN (SELECT id FROM dead_letter WHERE source = ? ORDER BY id LIMIT ?)",
                (source, count - share),
            )


def newest(database: Database, limit: int) -> list[DeadLetterRow]:
    """The newest samples, newest first."""
    rows = database.select(
        "SELECT time, topic, reason, detail, sample, source, time_quality FROM dead_letter ORDER BY id DESC LIMIT ?",
        (limit,),
    )
    return [DeadLetterRow(*row) for row in rows]
