"""Database: the agent's SQLite file, opened so that what is committed stays, and errors that say what to do.

Write-ahead log and `synchronous = FULL`: a commit has reached the disk when it returns.
"""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from vedette_agent.delivery.schema import TooNewError, migrate

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

FILE = "agent.db"
"""Its name in the state folder."""
BUSY_SECONDS = 10.0
PAGE_BYTES = 4096
CACHE_KIB = 512
LOG_BYTES = 8 * 1024 * 1024
SPARE_BYTES = 64 * 1024 * 1024
"""Room beside the outbox's rows: history, dead letters, alert states, indices."""


class OutboxError(Exception):
    """The database cannot do what it must: says what, where, and what to do."""


class Database:
    """One connection. Used by one thread at a time; other processes may open the file beside us."""

    def __init__(self, path: Path, max_bytes: int) -> None:
        """Open the file, or make it, and bring its tables up to date; `max_bytes`: what the outbox may hold.

        Raises:
            OutboxError: it cannot be opened.
        """
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=BUSY_SECONDS)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute(f"PRAGMA journal_size_limit = {LOG_BYTES}")
            connection.execute(f"PRAGMA max_page_count = {(2 * max_bytes + SPARE_BYTES) // PAGE_BYTES}")
            connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
            migrate(connection)
        except TooNewError as error:
            raise OutboxError(f"{path}: {error}; run the newer agent, or move the file away and start again") from error
        except sqlite3.DatabaseError as error:
            raise OutboxError(f"{path}: cannot open: {error}; {_hint(error)}") from error
        except OSError as error:
            what = error.strerror or error
            raise OutboxError(f"{path}: {what}; the agent must be able to write its state_dir") from error
        self.connection = connection

    def close(self) -> None:
        """Close the file; everything committed is on disk."""
        self.connection.close()

    def select(self, statement: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """All rows of a query.

        Raises:
            OutboxError: the database cannot be read.
        """
        try:
            return self.connection.execute(statement, parameters).fetchall()
        except sqlite3.Error as error:
            raise OutboxError(f"{self.path}: cannot read: {error}; {_hint(error)}") from error

    def number(self, statement: str) -> int:
        """The one number that a query answers.

        Raises:
            OutboxError: the database cannot be read.
        """
        return int(self.select(statement)[0][0])

    @contextmanager
    def transaction(self, what: str) -> Iterator[sqlite3.Connection]:
        """All or nothing.

        Raises:
            OutboxError: nothing of it was done.
        """
        try:
            # At once, since another process that writes after our first look would make our first change fail.
            self.connection.execute("BEGIN IMMEDIATE")
            yield self.connection
            self.connection.execute("COMMIT")
        except BaseException as error:
            self.connection.rollback()
            if isinstance(error, sqlite3.Error):
                raise OutboxError(f"{self.path}: cannot {what}: {error}; {_hint(error)}") from error
            raise

    def changed_elsewhere(self) -> int:
        """A number that changes when another process has written to the file."""
        return self.number("PRAGMA data_version")


def _hint(error: sqlite3.Error) -> str:
    text = str(error)
    if "full" in text:
        return "free space on its disk; nothing is acknowledged until it can be written"
    if "locked" in text:
        return "another process holds it for too long"
    if "readonly" in text or "unable to open" in text:
        return "the agent must be able to write its state_dir"
    return "if the file is damaged, move it away and start again"
