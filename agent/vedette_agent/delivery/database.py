"""Database: the agent's SQLite file, opened so that what is committed stays, and errors that say what to do.

Write-ahead log and `synchronous = FULL`: a commit has reached the disk when it returns.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from vedette_agent.delivery import quarantine
from vedette_agent.delivery.schema import TooNewError, differs, migrate

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

FILE = "agent.db"
"""Its name in the state folder."""
BUSY_SECONDS = 10.0
PAGE_BYTES = 4096
CACHE_KIB = 512
LOG_BYTES = 8 * 1024 * 1024
"""What the write-ahead log takes on the disk, from the start and for good."""
SPARE_BYTES = 32 * 1024 * 1024
"""Room beside the outbox's rows: history, dead letters, alert states."""
_PASSING = (
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_INTERRUPT,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_CANTOPEN,
)
"""Primary result codes of a disk, or a machine, in trouble: they say nothing of what the file holds."""
ROW_BYTES = 320
"""What a row takes beside its body: ids, topic, and its places in the indices."""


class OutboxError(Exception):
    """The database cannot do what it must: says what, where, and what to do."""

    dealt_with = False
    """What could be done about it has been done."""


class FullError(OutboxError):
    """There is no room: on the disk, or in the file, which may take so much of it and no more."""


class DamagedError(OutboxError):
    """What the file holds is no database, or contradicts itself."""


def room(max_rows: int, max_bytes: int) -> int:
    """Bytes that the file may take for an outbox of so many rows and bytes; pages are never quite full."""
    return max_bytes * 3 // 2 + max_rows * ROW_BYTES + SPARE_BYTES


class Database:
    """One connection. Used by one thread at a time; other processes may open the file beside us."""

    def __init__(self, path: Path, max_bytes: int) -> None:
        """Open the file, or make it, and bring its tables up to date; `max_bytes`: what the file may take.

        Raises:
            DamagedError: it must be moved away.
            OutboxError: it cannot be opened.
        """
        self.path, self.pages = path, max_bytes // PAGE_BYTES
        self.connection = self._open()

    def _open(self) -> sqlite3.Connection:
        path, connection = self.path, None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=BUSY_SECONDS)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute(f"PRAGMA journal_size_limit = {LOG_BYTES}")
            connection.execute(f"PRAGMA max_page_count = {self.pages}")
            connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
            # Some builds overwrite what is deleted with zeros: every row would wear the flash twice.
            connection.execute("PRAGMA secure_delete = OFF")
            connection.execute("PRAGMA temp_store = MEMORY")  # a disk that is full has no room for temporary files
            migrate(connection)
        except TooNewError as error:
            _close(connection)
            raise OutboxError(
                f"{path}: {error}; run the newer agent until its outbox is empty, then move the file away; "
                "or go on with the newer agent"
            ) from error
        except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
            raised = self._explain("open", error, connection)
            _close(connection)
            raise raised from error
        except OSError as error:
            what = error.strerror or error
            raise OutboxError(f"{path}: {what}; the agent must be able to write its state_dir") from error
        return connection

    def close(self) -> None:
        """Close the file; everything committed is on disk."""
        self.connection.close()

    def replace(self, now: float) -> Path:
        """Move a damaged file aside and go on with a new one; return where it is now.

        Raises:
            OutboxError: it cannot be moved, or a new one cannot be made.
        """
        _close(self.connection)
        aside = set_aside(self.path, now)
        self.connection = self._open()
        return aside

    def select(self, statement: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """All rows of a query.

        Raises:
            OutboxError: the database cannot be read.
        """
        try:
            return self.connection.execute(statement, parameters).fetchall()
        except sqlite3.Error as error:
            raise self._explain("read", error, self.connection) from error

    def read_through(self, statement: str) -> None:
        """Read all rows of a query, and keep none.

        Raises:
            OutboxError: the database cannot be read.
        """
        try:
            for _ in self.connection.execute(statement):
                pass
        except sqlite3.Error as error:
            raise self._explain("read", error, self.connection) from error

    def number(self, statement: str) -> int:
        """The one number that a query answers.

        Raises:
            OutboxError: the database cannot be read.
        """
        ((found,),) = self.select(statement)
        if not isinstance(found, int):
            raise self.damaged("read", f"{found!r} where a number must be")
        return found

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
            try:
                self.connection.rollback()
            except sqlite3.Error as worse:
                raise self._explain(what, worse, self.connection) from error
            if isinstance(error, sqlite3.Error):
                raise self._explain(what, error, self.connection) from error
            raise

    def changed_elsewhere(self) -> int:
        """A number that changes when another process has written to the file."""
        return self.number("PRAGMA data_version")

    def free_bytes(self) -> int:
        """What the disk has left for us.

        Raises:
            OutboxError: it does not say.
        """
        try:
            system = os.statvfs(self.path.parent)
        except OSError as error:
            raise OutboxError(f"{self.path.parent}: {error.strerror or error}") from error
        return system.f_bavail * system.f_frsize

    def whole(self) -> bool:
        """Whether SQLite finds nothing wrong with the whole file; takes as long as reading it."""
        return _is_whole(self.connection)

    def damaged(self, what: str, found: object) -> DamagedError:
        """The error that says so."""
        return DamagedError(
            f"{self.path}: cannot {what}: {found}; if the file is damaged, move it away and start again"
        )

    def _explain(self, what: str, error: Exception, connection: sqlite3.Connection | None) -> OutboxError:
        """What to raise for an error of SQLite's."""
        code = getattr(error, "sqlite_errorcode", None)
        primary = code & 0xFF if code is not None else None
        said = f"{self.path}: cannot {what}: {error}"
        if primary == sqlite3.SQLITE_FULL:
            return FullError(f"{said}; free space on its disk; nothing is acknowledged until it can be written")
        if primary in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return OutboxError(f"{said}; another process holds it for too long")
        if primary in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN):
            return OutboxError(f"{said}; the agent must be able to write its state_dir")
        if primary == sqlite3.SQLITE_IOERR:
            return OutboxError(f"{said}; the disk fails or is full: look at df and dmesg")
        if primary in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB) or "decode to UTF-8" in str(error):
            return self.damaged(what, error)
        # A row that is there twice, a type that cannot be: either our mistake, or a sign of damage.
        if connection is not None and not _is_whole(connection):
            return self.damaged(what, error)
        return OutboxError(f"{said}; this should not happen, please report it")


def set_aside(path: Path, now: float) -> Path:
    """Move a damaged file, which nobody has open, out of the way; return where it is now.

    Raises:
        OutboxError: it is still there.
    """
    try:
        return quarantine.move(path, now)
    except OSError as error:
        raise OutboxError(f"{path}: is damaged and cannot be moved aside: {error.strerror or error}") from error


def _is_whole(connection: sqlite3.Connection) -> bool:
    """Whether nothing wrong is found; a disk that does not let us look proves nothing."""
    try:
        if connection.in_transaction:
            connection.rollback()
        # the text that makes a table is no structure: SQLite checks it as little as what stands in the rows
        return connection.execute("PRAGMA integrity_check(1)").fetchall() == [("ok",)] and not differs(connection)
    except (sqlite3.Error, UnicodeDecodeError) as error:  # it quotes what it finds
        code = getattr(error, "sqlite_errorcode", None)
        return code is not None and code & 0xFF in _PASSING


def _close(connection: sqlite3.Connection | None) -> None:
    """Close what is given up either way."""
    if connection is not None:
        with suppress(sqlite3.Error):
            connection.close()
