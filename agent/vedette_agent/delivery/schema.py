"""Tables of the agent's database, and the way from older ones.

SQLite's own `user_version` says which migrations a database has had. A library for this (sqlite-utils was tried) costs
a gateway several megabytes of memory for good; see docs/adr/0005-plain-sqlite-on-the-gateway.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3

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

MIGRATIONS: tuple[tuple[str, ...], ...] = (FIRST, DEAD_LETTER_SOURCES)
"""Statements by the version they lead to, the first to version 1. What has been released is never changed."""


class TooNewError(Exception):
    """The database was written by a later version of the agent."""


def migrate(connection: sqlite3.Connection) -> None:
    """Bring a database up to date, each step whole or not at all.

    Raises:
        TooNewError: nothing was changed.
        sqlite3.Error: the steps before the one that failed are done.
    """
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if version > len(MIGRATIONS):
        raise TooNewError(f"it is of version {version}, this agent knows versions up to {len(MIGRATIONS)}")
    for number, statements in enumerate(MIGRATIONS[version:], version + 1):
        connection.execute("BEGIN IMMEDIATE")
        try:
            if (
                int(connection.execute("PRAGMA user_version").fetchone()[0]) < number
            ):  # another process may have been first
                for statement in statements:
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {number}")
            connection.execute("COMMIT")
        except BaseException:
            connection.execute("ROLLBACK")
            raise
