"""Tables of the agent's database, as migrations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlite_utils import Migrations

if TYPE_CHECKING:
    from sqlite_utils import Database

migrations = Migrations("vedette-agent")


@migrations()
def m001_outbox(db: Database) -> None:
    """What must reach its sinks, what had to be given up, and what recognises repetitions."""
    for statement in (
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
    ):
        db.conn.execute(statement)
