"""Tables of the agent's database, the way from older ones, and what an older agent does with newer ones.

The table `step` says which changes a database has had, SQLite's own `user_version` which level an agent must have to
work with it. Nearly every change only adds, and keeps the level: an agent that is put back to an older version goes on
with the database as it is, and the newer one after it, too. A change that would mislead older agents raises the level,
and they refuse the database in words. A library for this (sqlite-utils was tried) costs a gateway several megabytes of
memory for good; see docs/adr/0005-plain-sqlite-on-the-gateway.md.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

FIRST = (
    # a row leaves when every sink has it
    """CREATE TABLE outbox (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        priority INTEGER NOT NULL, epoch TEXT NOT NULL, sequence INTEGER NOT NULL,
        written REAL NOT NULL, topic TEXT, body BLOB NOT NULL,
        local_done INTEGER NOT NULL, hub_done INTEGER NOT NULL,
        UNIQUE (priority, epoch, sequence)
    ) STRICT""",
    "CREATE INDEX outbox_local ON outbox (id) WHERE local_done = 0",
    "CREATE INDEX outbox_hub ON outbox (priority, id) WHERE hub_done = 0",
    # ranges of sequence numbers that will never come; reported_by: the outbox row that carries it, 0 once the hub
    # has it
    """CREATE TABLE loss (
        priority INTEGER NOT NULL, epoch TEXT NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,
        reason TEXT NOT NULL, reported_by INTEGER,
        PRIMARY KEY (priority, epoch, first)
    ) STRICT""",
    # the state of each device's alerts, so that a restart neither repeats nor forgets one
    """CREATE TABLE alert_state (
        profile TEXT NOT NULL, device TEXT NOT NULL, kind TEXT NOT NULL, body BLOB NOT NULL,
        PRIMARY KEY (profile, device, kind)
    ) STRICT, WITHOUT ROWID""",
    "CREATE TABLE settled (packet_id INTEGER PRIMARY KEY, digest BLOB NOT NULL, number INTEGER NOT NULL) STRICT",
    "CREATE INDEX settled_number ON settled (number)",
    "CREATE TABLE history (id INTEGER PRIMARY KEY AUTOINCREMENT, body BLOB NOT NULL) STRICT",
    """CREATE TABLE dead_letter (
        id INTEGER PRIMARY KEY AUTOINCREMENT, time REAL NOT NULL, topic TEXT NOT NULL, reason TEXT NOT NULL,
        detail TEXT NOT NULL, sample BLOB NOT NULL
    ) STRICT""",
    "CREATE TABLE subscription (filter TEXT PRIMARY KEY) STRICT, WITHOUT ROWID",
    # what another process asks of the running agent
    """CREATE TABLE request (
        id INTEGER PRIMARY KEY AUTOINCREMENT, verb TEXT NOT NULL, argument TEXT NOT NULL, asked REAL NOT NULL,
        answer TEXT
    ) STRICT""",
)
"""What must reach its sinks, what had to be given up, and what recognises repetitions."""

DEAD_LETTER_SOURCES = (
    "ALTER TABLE dead_letter ADD COLUMN source TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE dead_letter ADD COLUMN time_quality INTEGER NOT NULL DEFAULT 0",
    "CREATE INDEX dead_letter_source ON dead_letter (source, id)",
)
"""Who sent what could not be used, so that nobody crowds out the others, and how far its time is to be trusted."""

BOUNDS = (
    # what is done with is found without looking at all that waits, and so is what may be coalesced
    "CREATE INDEX outbox_done ON outbox (id) WHERE local_done = 1 AND hub_done = 1",
    "CREATE INDEX outbox_topic ON outbox (topic) WHERE priority = 0 AND hub_done = 0",
    # databases that were damaged; reported_by as for a loss
    """CREATE TABLE damage (
        id INTEGER PRIMARY KEY AUTOINCREMENT, body BLOB NOT NULL, reported_by INTEGER
    ) STRICT""",
    # room on the disk that is taken beforehand: filled, then emptied for the others to use
    "CREATE TABLE filler (id INTEGER PRIMARY KEY, room BLOB NOT NULL) STRICT",
)
"""What a full box, a full disk and a damaged file need."""


class Step(NamedTuple):
    """A change of the tables. What has been released is never changed."""

    needs: int
    """Oldest level of an agent that works with the tables afterwards; higher than that of the step before only when
    older agents would do harm, not when a table, an index or a column with a default is added."""
    statements: tuple[str, ...]


STEPS = (Step(1, FIRST), Step(1, DEAD_LETTER_SOURCES), Step(1, BOUNDS))


def level(steps: Sequence[Step] = STEPS) -> int:
    """The highest level of tables that an agent with these steps works with."""
    return steps[-1].needs


class TooNewError(Exception):
    """The database was written by a later version of the agent, and this one would do harm."""


def migrate(connection: sqlite3.Connection, steps: Sequence[Step] = STEPS) -> None:
    """Bring a database up to date, each step whole or not at all; steps of a later version that do no harm stay.

    Raises:
        TooNewError: nothing was changed.
        sqlite3.Error: the steps before the one that failed are done.
    """
    _refuse_newer(connection, steps)
    for number in _missing(connection, steps):
        connection.execute("BEGIN IMMEDIATE")
        try:
            if number in _missing(connection, steps):  # another process may have been first
                for statement in steps[number - 1].statements:
                    connection.execute(statement)
                connection.execute("CREATE TABLE IF NOT EXISTS step (number INTEGER PRIMARY KEY) STRICT")
                # those that a database without this table has had
                connection.executemany("INSERT OR IGNORE INTO step VALUES (?)", [(n,) for n in range(1, number + 1)])
                connection.execute(f"PRAGMA user_version = {steps[number - 1].needs}")
            connection.execute("COMMIT")
        except BaseException:
            connection.execute("ROLLBACK")
            raise


def missing(connection: sqlite3.Connection) -> bool:
    """Whether to open the database with this program would change its tables; it is only read."""
    return bool(_missing(connection, STEPS))


def differs(connection: sqlite3.Connection) -> bool:
    """Whether the tables are not as this program has made them, although it has; steps of later versions aside."""
    with closing(sqlite3.connect(":memory:")) as fresh:
        migrate(fresh)
        known = "SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL"
        made, found = dict(fresh.execute(known).fetchall()), dict(connection.execute(known).fetchall())
        steps = "SELECT number FROM step ORDER BY number"
        if fresh.execute(steps).fetchall() != connection.execute(steps).fetchall():
            return False
        return any(found.get(name) != sql for name, sql in made.items())


def _refuse_newer(connection: sqlite3.Connection, steps: Sequence[Step]) -> None:
    needed = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if needed > level(steps):
        raise TooNewError(f"it needs an agent of level {needed}, this one has level {level(steps)}")


def _missing(connection: sqlite3.Connection, steps: Sequence[Step]) -> list[int]:
    """Numbers of the steps that a database has not had."""
    if connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'step'").fetchone():
        done = {int(row[0]) for row in connection.execute("SELECT number FROM step")}
    else:  # the first versions counted in `user_version` alone
        done = set(range(1, int(connection.execute("PRAGMA user_version").fetchone()[0]) + 1))
    return [number for number in range(1, len(steps) + 1) if number not in done]
