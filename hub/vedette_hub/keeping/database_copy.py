"""A copy of an SQLite database that is in use, and whether a copy is sound."""

from __future__ import annotations

import hashlib
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from sqlalchemy.engine import make_url

from vedette_hub.keeping.errors import KeepingError
from vedette_hub.store.database import BUSY_SECONDS

COUNTED = ("alerts", "models", "users", "gateways", "samples", "audit")
BESIDE = ("-wal", "-shm", "-journal")
"""What SQLite keeps beside a database; of another database, it would destroy this one."""


@dataclass(frozen=True)
class Found:
    """What a sound database holds."""

    schema: str
    counts: dict[str, int]


def sqlite_file(url: str) -> Path | None:
    """The file of an SQLite database; None for one on a server."""
    parsed = make_url(url)
    return Path(parsed.database or "") if parsed.get_backend_name() == "sqlite" else None


def copy(source: Path, target: Path) -> None:
    """Copy a database as it is at one moment, while others go on writing to it.

    SQLite's online backup in a single step: in WAL mode it holds up no writer, and no writer makes it begin again.

    Raises:
        KeepingError: there is none, or it cannot be read or copied.
    """
    if not source.is_file():
        raise KeepingError(f"{source}: there is no database; is this the configuration of the hub that serves?")
    try:
        with (
            closing(sqlite3.connect(f"file:{quote(str(source))}?mode=rw", uri=True, timeout=BUSY_SECONDS)) as live,
            closing(sqlite3.connect(target)) as made,
        ):
            live.backup(made)
            settle(made)
    except sqlite3.Error as error:
        raise KeepingError(f"database {source}: {error}; is the disk full, or the database damaged?") from error


def settle(database: sqlite3.Connection) -> None:
    """Leave a database that is one file, without a log beside it; opened by the hub, it gets one again."""
    database.execute("PRAGMA journal_mode = DELETE")


def check(path: Path) -> Found:
    """Read a copy from end to end: its pages and indices, and every artefact against its name.

    Raises:
        KeepingError: it is no database of a hub, or damaged.
    """
    try:
        with closing(sqlite3.connect(path)) as database:
            problems = [row[0] for row in database.execute("PRAGMA integrity_check(3)")]
            if problems != ["ok"]:
                raise KeepingError(f"the database is damaged: {'; '.join(problems)}")
            tables = {row[0] for row in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            if "alembic_version" not in tables:
                raise KeepingError("the database is none of a vedette-hub")
            schema = database.execute("SELECT version_num FROM alembic_version").fetchone()
            if "models" in tables:
                _check_artefacts(database)
            counts = {
                name: int(database.execute(f"SELECT count(*) FROM {name}").fetchone()[0])  # noqa: S608  # our own names
                for name in COUNTED
                if name in tables
            }
            return Found(str(schema[0]) if schema else "", counts)
    except sqlite3.Error as error:
        raise KeepingError(f"the database is damaged: {error}") from error


def _check_artefacts(database: sqlite3.Connection) -> None:
    for profile, version, sha256, artefact in database.execute("SELECT profile, version, sha256, artefact FROM models"):
        if hashlib.sha256(artefact).hexdigest() != sha256:
            raise KeepingError(f"the database is damaged: model {profile} version {version} is not what its hash says")
