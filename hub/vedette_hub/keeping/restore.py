"""Bringing a backup back into a place where no hub is: all of it is checked before any of it is put there."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import IO

from sqlalchemy import delete
from sqlalchemy.exc import SQLAlchemyError

from vedette_hub import state
from vedette_hub.config import Config
from vedette_hub.errors import StoreError
from vedette_hub.keeping import archive, database_copy
from vedette_hub.keeping.contents import DATABASE, LARGEST_FILE, Contents, Part
from vedette_hub.keeping.errors import KeepingError
from vedette_hub.store import audit
from vedette_hub.store.audit import Entry
from vedette_hub.store.database import describe, open_store, writing
from vedette_hub.store.migrate import known_revisions, migrate
from vedette_hub.store.schema import sessions

ROOM = 1.2
"""Of a database's size, what bringing it to this version's schema may need besides."""


def check(path: Path) -> Contents:
    """Read a backup to its end and its database from end to end; nothing stays of it.

    Raises:
        KeepingError: it could not be restored by this version.
    """
    with tempfile.TemporaryDirectory(prefix="vedette-hub-") as folder:
        return _unpack(path, Path(folder), Path(folder))[0]


def restore(config: Config, path: Path, now: float, by: str) -> Contents:
    """Put a backup into the state directory and the database of this configuration, where there must be none.

    The database is brought to this version's schema, and the sessions in it end: whoever was signed in then may not be
    today. It is put there last, so that one that was interrupted can be run again.

    Raises:
        KeepingError: it is no sound backup, or something is there already; nothing was overwritten.
        HubError: a hub serves from this state directory, or it cannot be used.
    """
    contents = archive.read_contents(path)
    database = database_copy.sqlite_file(config.database_url)
    if contents.has_database and database is None:
        raise KeepingError(
            f"{path}: holds an SQLite database, and database.url names a server; leave database.url empty to restore "
            "it, or restore the server's own backup there with pg_restore"
        )
    if not contents.has_database and database is not None:
        raise KeepingError(
            f"{path}: holds no database, since it was on a PostgreSQL server; set database.url to the one that "
            "pg_restore has filled"
        )
    state.prepare(config.state_dir)
    with state.lock(config.state_dir), ExitStack() as stack:
        if database is not None:
            _refuse_old(database)
        folder = database.parent if database is not None else config.state_dir
        try:
            _refuse_full_disk(folder, contents)
            beside = stack.enter_context(_folder_in(folder))
            keys = stack.enter_context(_folder_in(config.state_dir))
            contents, names = _unpack(path, keys, beside)
            _refuse_other_files(config.state_dir, keys, names)
            if contents.has_database and database is not None:
                said = f"made by version {contents.version}, {contents.counts.get('alerts', 0)} alerts"
                _prepare(beside / DATABASE, Entry(now, by, "", "hub.restore", path.name, detail=said))
            for name in names:
                _place(keys / name, config.state_dir / name)
            if contents.has_database and database is not None:
                _place(beside / DATABASE, database)
        except OSError as error:
            raise KeepingError(f"{error.filename or folder}: {error.strerror or error}") from error
    return contents


def _refuse_old(database: Path) -> None:
    there = [database, *(database.with_name(database.name + ending) for ending in database_copy.BESIDE)]
    if found := [path for path in there if path.exists()]:
        raise KeepingError(
            f"{found[0]}: there is a database already, and a restore overwrites nothing; move "
            f"{' and '.join(path.name for path in found)} away first, or choose another hub.state_dir"
        )


def _refuse_other_files(state_dir: Path, unpacked: Path, names: list[str]) -> None:
    """A file that is the same already is what an interrupted restore has left."""
    for name in names:
        there = state_dir / name
        if there.exists() and there.read_bytes() != (unpacked / name).read_bytes():
            raise KeepingError(
                f"{there}: there is another one already, and a restore overwrites nothing; move it away first, or "
                "choose another hub.state_dir"
            )


def _refuse_full_disk(folder: Path, contents: Contents) -> None:
    needed = ROOM * sum(part.bytes for part in contents.parts)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise KeepingError(f"{folder}: {needed / 1e6:.0f} MB are needed, {free / 1e6:.0f} MB are free")


def _unpack(path: Path, keys: Path, beside: Path) -> tuple[Contents, list[str]]:
    """Unpack into two folders, checked; with the names of what is not the database."""
    names: list[str] = []
    with ExitStack() as stack:

        def keep(part: Part) -> IO[bytes]:
            if part.name != DATABASE:
                if part.bytes > LARGEST_FILE:
                    raise KeepingError(f"{path}: {part.name} is too large for what it should be")
                names.append(part.name)
            place = (beside if part.name == DATABASE else keys) / part.name
            return stack.enter_context(os.fdopen(os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb"))

        contents = archive.read(path, keep)
    if contents.has_database:
        try:
            found = database_copy.check(beside / DATABASE)
        except KeepingError as error:
            raise KeepingError(f"{path}: {error}") from error
        if found.schema not in known_revisions():
            raise KeepingError(
                f"{path}: made by vedette-hub {contents.version}, whose database (schema {found.schema!r}) is newer "
                "than this version knows; install that version"
            )
        if (found.schema, found.counts) != (contents.schema, contents.counts):
            raise KeepingError(f"{path}: damaged: its database does not hold what it says")
    return contents, names


def _prepare(database: Path, entry: Entry) -> None:
    """Bring a restored database to this version's schema, end its sessions, and write down where it came from."""
    try:
        engine = open_store(f"sqlite:///{database}")
        try:
            migrate(engine)
            with writing(engine) as connection:
                connection.execute(delete(sessions))
                audit.note(connection, entry)
        finally:
            engine.dispose()
        with closing(sqlite3.connect(database)) as settled:
            database_copy.settle(settled)
    except (StoreError, SQLAlchemyError, sqlite3.Error) as error:
        raise KeepingError(f"the restored database cannot be used: {describe(error)}") from error


def _place(unpacked: Path, target: Path) -> None:
    with unpacked.open("rb") as file:
        os.fsync(file.fileno())
    if os.geteuid() == 0:  # as root for a hub with a user of its own
        owner = target.parent.stat()
        os.chown(unpacked, owner.st_uid, owner.st_gid)
    unpacked.replace(target)
    descriptor = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _folder_in(folder: Path) -> Iterator[Path]:
    """On the same file system, so that what is in it can be moved into place; gone when this ends."""
    with tempfile.TemporaryDirectory(prefix=".restore-", dir=folder) as made:
        yield Path(made)
