"""DiskRoom: room on the disk that is taken before it is needed, so that a disk which others fill stops no alert.

On a full disk SQLite can neither delete nor checkpoint: both write. So the pages of the database are made beforehand,
by filling a table and emptying it again: they stay in the file as free ones. The write-ahead log is stretched to its
full length, and is overwritten in place from then on. Closing the database deletes the log; therefore a reserve file
keeps as much room as it takes to start on a full disk: it is given up when it is needed, and made again when there is
room.
"""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

from vedette_agent.delivery.database import LOG_BYTES, PAGE_BYTES, FullError, OutboxError

if TYPE_CHECKING:
    from pathlib import Path

    from vedette_agent.delivery.database import Database

logger = logging.getLogger(__name__)

RESERVE = ".reserve"
"""Behind the database's name."""
RESERVE_BYTES = 2 * LOG_BYTES
CHUNK_BYTES = 1024 * 1024
LEFT_TO_OTHERS = 32 * 1024 * 1024
"""Bytes of the disk that are never taken beforehand."""
_SLACK_BYTES = 4 * CHUNK_BYTES
"""Not taken, so that the outbox can grow while everything else is filled."""
_MOST_DELETED = 8
"""Chunks emptied at once."""


class Reserve:
    """A file that only takes room."""

    def __init__(self, database: Path) -> None:
        self.path = database.with_name(database.name + RESERVE)

    @property
    def kept(self) -> bool:
        """Whether it is there in its full size."""
        try:
            return self.path.stat().st_size >= RESERVE_BYTES
        except OSError:
            return False

    def make(self) -> bool:
        """Take the room, if the disk has more than that; return whether it is there."""
        if self.kept:
            return True
        try:
            system = os.statvfs(self.path.parent)
            if system.f_bavail * system.f_frsize < RESERVE_BYTES + LOG_BYTES:
                return False
            self.path.unlink(missing_ok=True)  # smaller, and perhaps the log under another name
            _stretch(self.path, RESERVE_BYTES)
        except OSError as error:
            logger.debug("%s: %s", self.path, error)
            self.release()
            return False
        return True

    def release(self) -> bool:
        """Give the room back; return whether there was any."""
        try:
            self.path.unlink()
        except OSError:
            return False
        return True

    def open_the_way(self, database: Path) -> None:
        """Before the database is opened: its log may need room again, since the last close has deleted it."""
        try:
            system = os.statvfs(database.parent)
        except OSError:
            return  # the database will say what is wrong
        if system.f_bavail * system.f_frsize < LOG_BYTES and not _log_of(database).exists():
            self.release()


class DiskRoom:
    """What the database takes beforehand. Every call belongs into the thread that uses the database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.reserve = Reserve(database.path)
        self.complete = False
        self.problem: str | None = None
        """What could not be taken, or had to be given up."""

    def prepare(self) -> None:
        """Stretch the log and make the reserve, as far as the disk allows."""
        self.stretch_log()
        self.reserve.make()
        self._look()

    def stretch_log(self) -> None:
        """Bring the log to its full length. Zeros at its end are no entries, as after every restart of the log."""
        log = _log_of(self._database.path)
        try:
            with self._database.transaction("stretch the log"):  # nobody else writes to it now
                if log.exists():
                    _stretch(log, LOG_BYTES)
        except OSError as error:
            logger.debug("%s: %s", log, error)
        except OutboxError as error:
            logger.warning("%s", error)

    def step(self) -> bool:
        """Take a little more beforehand, or give back what was filled; return whether there is nothing left to do.

        Raises:
            OutboxError: the database cannot be written.
        """
        database = self._database
        filled = database.number("SELECT coalesce(max(id), 0) FROM filler")
        short = (database.pages - database.number("PRAGMA page_count")) * PAGE_BYTES
        if self.complete or short < _SLACK_BYTES or not self._may_take():
            if not filled:
                self.complete = short < _SLACK_BYTES
                self._look()
                return True
            with database.transaction("free what was taken beforehand") as connection:
                connection.execute("DELETE FROM filler WHERE id > ?", (filled - _MOST_DELETED,))
            return False
        try:
            with database.transaction("take room beforehand") as connection:
                # a little less, for the pages have heads
                connection.execute("INSERT INTO filler (room) VALUES (zeroblob(?))", (CHUNK_BYTES * 63 // 64,))
        except FullError:
            self.complete = True  # as far as it goes; the next step frees it
        return False

    def give_way(self) -> bool:
        """The disk is full: give up the reserve. Returns whether that may help."""
        if self._database.free_bytes() >= LOG_BYTES or not self.reserve.release():
            return False
        logger.warning("%s: given up, since the disk is full", self.reserve.path)
        self._look()
        return True

    def maintain(self) -> None:
        """Make what had to be given up again, when there is room."""
        if not self.reserve.kept and self.reserve.make():
            logger.info("%s: made again", self.reserve.path)
            self.stretch_log()
        self._look()

    def before_close(self) -> None:
        """The log is about to be deleted: under another name its room stays ours, with no moment for others to take it.

        Where the reserve is there, it will do.
        """
        if self.reserve.path.exists():
            return
        try:
            self.reserve.path.hardlink_to(_log_of(self._database.path))
        except OSError as error:  # a file system without links, or there is no log
            logger.debug("%s: %s", self.reserve.path, error)

    def _may_take(self) -> bool:
        return self._database.free_bytes() > LEFT_TO_OTHERS + 4 * CHUNK_BYTES

    def _look(self) -> None:
        self.problem = None
        path = self._database.path
        if not self.reserve.kept:
            self.problem = (
                f"{path.parent}: the disk is full, and what was kept in reserve for that is used; free space, "
                f"{(RESERVE_BYTES + LOG_BYTES) >> 20} MiB at least"
            )


def _log_of(database: Path) -> Path:
    return database.with_name(f"{database.name}-wal")


def _stretch(path: Path, size: int) -> None:
    """Make a file take so much of the disk, without writing to it where the file system can do that.

    Raises:
        OSError: there is not so much room.
    """
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    try:
        there = os.fstat(file).st_size
        if there < size:
            os.posix_fallocate(file, there, size - there)
            os.fsync(file)
    finally:
        os.close(file)
