"""What belongs to a backup, and what it says of itself."""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec

from vedette_hub import state
from vedette_hub.keeping.errors import KeepingError

FORMAT = "vedette-hub backup"
FORMAT_VERSION = 1
DATABASE = "hub.db"
"""Name of the database inside a backup."""

FILES = (state.SIGNING_KEY_FILE, state.CHANNEL_KEY_FILE, state.TOKEN_FILE, state.PASSWORD_FILE)
"""Of the state directory. Not the key of the console's cookies: after a restore everybody signs in again."""
OLD_KEYS = f"{state.SIGNING_KEY_FILE}.*.old"
"""Signing keys that have been replaced; `vedette-hub key` keeps them."""
LARGEST_FILE = 65_536


class Part(msgspec.Struct, frozen=True):
    """A file of a backup."""

    name: str
    bytes: int
    sha256: str


class Contents(msgspec.Struct, frozen=True):
    """The first file of a backup, `backup.json`: what it is, and what must follow."""

    format: str
    format_version: int
    made: float
    """Seconds since 1970 UTC."""
    version: str
    """Of the hub that made it."""
    schema: str
    """The database's newest migration; empty without a database."""
    signing_key: str
    """Id of the key whose orders gateways follow; empty where there was none."""
    counts: dict[str, int]
    """Rows of the tables that people ask for."""
    parts: tuple[Part, ...]

    @property
    def has_database(self) -> bool:
        """Whether the database is in it, which one in PostgreSQL is not."""
        return any(part.name == DATABASE for part in self.parts)


def secrets_of(state_dir: Path) -> dict[str, bytes]:
    """The files of a state directory that belong to a backup, by name.

    Raises:
        KeepingError: one of them cannot be read, or is none of ours.
    """
    found: dict[str, bytes] = {}
    for path in [*(state_dir / name for name in FILES), *sorted(state_dir.glob(OLD_KEYS))]:
        try:
            with path.open("rb") as file:
                found[path.name] = file.read(LARGEST_FILE + 1)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise KeepingError(f"{path}: {error.strerror}; run this as the hub's user") from error
        if len(found[path.name]) > LARGEST_FILE:
            raise KeepingError(f"{path}: larger than {LARGEST_FILE} bytes; is this the hub's own file?")
    return found


def may_hold(name: str) -> bool:
    """Whether a backup may have a file of this name: names decide where a restore writes."""
    return name in (DATABASE, *FILES) or (Path(name).name == name and Path(name).match(OLD_KEYS))


def digest(path: Path) -> Part:
    """A file with its size and hash, by its own name."""
    with path.open("rb") as file:
        return Part(path.name, path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest())
