"""Making a backup while the hub serves: database, signing keys, first token and password in one file."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from vedette_hub import state
from vedette_hub.config import Config
from vedette_hub.keeping import archive, database_copy
from vedette_hub.keeping.contents import DATABASE, FORMAT, FORMAT_VERSION, Contents, Part, digest, secrets_of
from vedette_hub.keeping.errors import KeepingError
from vedette_hub.version import VERSION
from vedette_models.keys import KeyFileError, key_id, parse_signing_key


def back_up(config: Config, target: Path, now: float, *, with_database: bool = True) -> Contents:
    """Write a backup to `target`, which must not be there yet: readable for its owner only, and read again.

    Raises:
        KeepingError: it cannot be made; there is no file then.
    """
    database = database_copy.sqlite_file(config.database_url)
    if with_database and database is None:
        raise KeepingError(
            "the database is on a PostgreSQL server, whose own tools back it up: pg_dump --format=custom "
            "--file=hub.dump, with the address in database.url. For the signing key and the other files: "
            "vedette-hub backup --without-database"
        )
    secrets = secrets_of(config.state_dir)
    signing_key = _signing_key_id(config.state_dir, secrets.get(state.SIGNING_KEY_FILE))
    with _reserved(target), _scratch(target) as (copied, packed):
        found = database_copy.Found("", {})
        parts = [Part(name, len(text), hashlib.sha256(text).hexdigest()) for name, text in secrets.items()]
        sources: dict[str, Path | bytes] = {**secrets}
        if with_database and database is not None:
            database_copy.copy(database, copied)
            found = database_copy.check(copied)
            parts.append(msgspec.structs.replace(digest(copied), name=DATABASE))
            sources[DATABASE] = copied
        if not parts:
            raise KeepingError(f"{config.state_dir}: there is nothing to back up; is this the hub's state directory?")
        contents = Contents(FORMAT, FORMAT_VERSION, now, VERSION, found.schema, signing_key, found.counts, tuple(parts))
        try:
            archive.write(packed, contents, sources)
            archive.read(packed)
            packed.replace(target)
            _sync_folder(target.parent)
        except OSError as error:
            raise KeepingError(f"{target}: {error.strerror or error}; is the disk full?") from error
    return contents


def _signing_key_id(state_dir: Path, text: bytes | None) -> str:
    if text is None:
        return ""
    try:
        return key_id(parse_signing_key(text.decode()).verify_key)
    except (UnicodeDecodeError, KeyFileError) as error:
        raise KeepingError(
            f"{state_dir / state.SIGNING_KEY_FILE}: {error}; a backup of it would be worth nothing: put the key back "
            "that gateways follow"
        ) from error


@contextmanager
def _reserved(target: Path) -> Iterator[None]:
    """Hold the name with an empty file, so that nothing of anybody's is overwritten; given up when this fails."""
    try:
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        raise KeepingError(f"{target}: there is a file already; choose another name") from None
    except OSError as error:
        raise KeepingError(f"{target}: {error.strerror}; choose a folder that this user may write to") from error
    try:
        yield
    except BaseException:
        target.unlink(missing_ok=True)
        raise


@contextmanager
def _scratch(target: Path) -> Iterator[tuple[Path, Path]]:
    """Two files beside the target, for its owner only: the copied database, and the archive in the making."""
    files: list[Path] = []
    try:
        for what in ("database", "new"):
            descriptor, name = tempfile.mkstemp(f".{what}", f".{target.name}.", target.parent)
            os.close(descriptor)
            files.append(Path(name))
        yield files[0], files[1]
    except OSError as error:
        raise KeepingError(f"{target}: {error.strerror or error}") from error
    finally:
        for file in files:
            for each in (file, *(file.with_name(file.name + ending) for ending in database_copy.BESIDE)):
                each.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
