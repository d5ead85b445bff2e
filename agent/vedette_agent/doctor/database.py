"""Database: whether the agent's SQLite file is whole. Read only."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

from vedette_agent.clock import SYSTEM
from vedette_agent.delivery import quarantine, schema
from vedette_agent.doctor.finding import Finding

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_STEPS = 10_000
"""SQLite's own instructions between two looks at the clock."""


class Checked(NamedTuple):
    """What `PRAGMA quick_check` says."""

    exists: bool = True
    version: int = 0
    bytes: int = 0
    problem: str = ""
    """What is damaged; empty for nothing."""
    unread: str = ""
    """Why it could not be looked at."""
    newest: float = 0.0
    """When the newest row was written, seconds since 1970: no clock that is right is behind it."""
    subscribed: bool = False
    """The agent has been subscribed, so that brokers may keep a session for it."""
    set_aside: tuple[str, ...] = ()
    """Damaged databases beside it."""


def look(path: Path, seconds: float) -> Checked:
    """Check the file for so many seconds at most."""
    deadline = SYSTEM.uptime() + seconds
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        return Checked(exists=False)
    except OSError as error:
        return Checked(unread=error.strerror or str(error))
    version, newest = 0, 0.0
    subscribed = False
    try:
        connection = _open(path, lambda: SYSTEM.uptime() > deadline)
        try:
            version = int(connection.execute("PRAGMA user_version").fetchone()[0])
            problems = [str(row[0]) for row in connection.execute("PRAGMA quick_check(3)")]
            subscribed = _value(connection, "SELECT count(*) FROM subscription") > 0
            newest = max(
                _value(connection, "SELECT max(written) FROM outbox"),
                _value(connection, "SELECT max(time) FROM dead_letter"),
            )
        finally:
            connection.close()
    except sqlite3.OperationalError as error:
        return Checked(True, version, size, unread=_reason(error), newest=newest, subscribed=subscribed)
    except sqlite3.DatabaseError as error:
        return Checked(True, version, size, problem=str(error))
    problem = "" if problems == ["ok"] else "; ".join(problems)
    aside = tuple(file.name for file in quarantine.found(path))
    return Checked(True, version, size, problem, newest=newest, subscribed=subscribed, set_aside=aside)


def is_ours(path: Path) -> bool:
    """Whether this program would leave its tables as they are, since it is of the version that made them."""
    try:
        connection = _open(path, lambda: False)
        try:
            return not schema.missing(connection)
        finally:
            connection.close()
    except sqlite3.Error:
        return False


def _open(path: Path, late: Callable[[], bool]) -> sqlite3.Connection:
    # Without its log nobody has the file open, and SQLite could not make the log's index in a folder it may not write.
    alone = not path.with_name(f"{path.name}-wal").exists()
    connection = sqlite3.connect(f"file:{quote(str(path))}?mode=ro{'&immutable=1' if alone else ''}", uri=True)
    connection.set_progress_handler(late, _STEPS)
    return connection


def _value(connection: sqlite3.Connection, statement: str) -> float:
    """A number, 0 where there is no such table: this program may be of another version than the file."""
    try:
        return float(connection.execute(statement).fetchone()[0] or 0.0)
    except sqlite3.OperationalError as error:
        if "no such" in str(error):
            return 0.0
        raise


def _reason(error: sqlite3.OperationalError) -> str:
    return "it took too long" if "interrupted" in str(error) else str(error)


def judge(path: Path, seen: Checked) -> Finding:
    """Ok when SQLite finds nothing wrong with it."""
    if not seen.exists:
        return Finding(
            "database",
            "",
            "not tested",
            f"there is no {path} yet: no agent has run here.",
            "Start it: systemctl enable --now vedette-agent",
        )
    if seen.problem:
        return Finding(
            "database",
            "",
            "failed",
            f"{path} is damaged: {seen.problem}.",
            "The agent moves it aside and starts anew when it meets the damage, at the latest when it starts: "
            "systemctl restart vedette-agent",
        )
    if seen.version > schema.level():
        return Finding(
            "database",
            "",
            "failed",
            f"{path} needs a program of level {seen.version}, this one has level {schema.level()}.",
            "Install the newer release again; or let it run until its outbox is empty, then move the file away.",
        )
    if seen.unread:
        return Finding(
            "database",
            "",
            "not tested",
            f"{path} could not be checked: {seen.unread}.",
            "Run this as root: sudo vedette-agent doctor",
        )
    if seen.set_aside:
        return Finding(
            "database",
            "",
            "warning",
            f"{path} is whole; one before it was damaged and is set aside: {', '.join(seen.set_aside)}.",
            "See dmesg for errors of the disk, keep the file for support, then delete it.",
        )
    return Finding("database", "", "ok", f"{path} is whole, {seen.bytes / 2**20:.1f} MiB.")
