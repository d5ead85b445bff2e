"""The file that a backup is: a compressed tar archive that begins with `backup.json`. Nothing in it is executed."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import tarfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import msgspec

from vedette_hub.keeping.contents import FORMAT, FORMAT_VERSION, Contents, Part, may_hold
from vedette_hub.keeping.errors import KeepingError

INDEX = "backup.json"
LARGEST_INDEX = 65_536
_CHUNK = 1024 * 1024
_LEVEL = 3

Keep = Callable[[Part], IO[bytes] | None]
"""Where a part's bytes go; None: they are only checked."""


def write(path: Path, contents: Contents, sources: Mapping[str, Path | bytes]) -> None:
    """Write an archive into the file at `path`, which the caller has made; on the disk when this returns.

    Raises:
        OSError: it cannot be written.
    """
    with path.open("r+b") as file, gzip.GzipFile("", "wb", _LEVEL, file, contents.made) as packed:
        with tarfile.open(fileobj=packed, mode="w|", format=tarfile.PAX_FORMAT) as archive:
            index = msgspec.json.format(msgspec.json.encode(contents), indent=1)
            _add(archive, INDEX, len(index), contents.made, io.BytesIO(index))
            for part in contents.parts:
                source = sources[part.name]
                with io.BytesIO(source) if isinstance(source, bytes) else source.open("rb") as data:
                    _add(archive, part.name, part.bytes, contents.made, data)
        packed.close()
        file.flush()
        os.fsync(file.fileno())


def _add(archive: tarfile.TarFile, name: str, size: int, made: float, data: IO[bytes]) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode, entry.mtime = size, 0o600, int(made)
    archive.addfile(entry, data)


def read_contents(path: Path) -> Contents:
    """What a backup says of itself; nothing else of it is looked at.

    Raises:
        KeepingError: it is no backup, or one of a newer hub.
    """
    with _opened(path) as (_, archive):
        return _contents(path, archive)


def read(path: Path, keep: Keep = lambda _: None) -> Contents:
    """Read a backup to its end, and check every byte of it.

    Raises:
        KeepingError: it is no backup, one of a newer hub, damaged, or only a part of one.
        OSError: what `keep` gave cannot be written to.
    """
    with _opened(path) as (packed, archive):
        contents = _contents(path, archive)
        for part in contents.parts:
            entry = archive.next()
            if entry is None:
                raise KeepingError(f"{path}: only a part of a backup: {part.name} and what follows is missing")
            if (entry.name, entry.size, entry.isreg()) != (part.name, part.bytes, True):
                raise KeepingError(f"{path}: damaged: {entry.name!r} is where {part.name} should be")
            _copy(path, archive, entry, part, keep(part))
        if archive.next() is not None:
            raise KeepingError(f"{path}: holds more than it says; it is no backup of this program")
        while packed.read(_CHUNK):  # to the checksum at its end
            pass
        return contents


def _copy(path: Path, archive: tarfile.TarFile, entry: tarfile.TarInfo, part: Part, to: IO[bytes] | None) -> None:
    data = archive.extractfile(entry)
    assert data is not None  # noqa: S101  # it is a regular file
    found = hashlib.sha256()
    left = part.bytes
    while left and (chunk := data.read(min(_CHUNK, left))):
        left -= len(chunk)
        found.update(chunk)
        if to is not None:
            to.write(chunk)
    if left:
        raise KeepingError(f"{path}: only a part of a backup: {part.name} breaks off")
    if found.hexdigest() != part.sha256:
        raise KeepingError(f"{path}: damaged: {part.name} is not what was saved")


def _contents(path: Path, archive: tarfile.TarFile) -> Contents:
    entry = archive.next()
    if entry is None or entry.name != INDEX or not entry.isreg() or entry.size > LARGEST_INDEX:
        raise KeepingError(f"{path}: no backup of a vedette-hub; `vedette-hub backup` makes one")
    data = archive.extractfile(entry)
    assert data is not None  # noqa: S101  # it is a regular file
    try:
        named = msgspec.json.decode(text := data.read())
        if not isinstance(named, dict) or named.get("format") != FORMAT:
            raise KeepingError(f"{path}: no backup of a vedette-hub; `vedette-hub backup` makes one")
        if named.get("format_version") != FORMAT_VERSION:
            raise KeepingError(
                f"{path}: a backup of vedette-hub {named.get('version')}, in a form that this version does not know; "
                "restore it with the version that made it"
            )
        contents = msgspec.json.decode(text, type=Contents)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise KeepingError(f"{path}: damaged: {INDEX}: {error}") from error
    names = [part.name for part in contents.parts]
    if len(set(names)) != len(names) or not all(may_hold(name) for name in names):
        raise KeepingError(f"{path}: holds files that belong to no hub; it is no backup of this program")
    return contents


@contextmanager
def _opened(path: Path) -> Iterator[tuple[gzip.GzipFile, tarfile.TarFile]]:
    try:
        if path.stat().st_size == 0:
            raise KeepingError(f"{path}: empty; was the machine switched off while the backup was made?")
        with gzip.open(path, "rb") as packed, tarfile.open(fileobj=packed, mode="r|") as archive:
            yield packed, archive
    except EOFError as error:
        raise KeepingError(f"{path}: only a part of a backup: it breaks off; copy it once more") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        kind = "no backup of a vedette-hub" if "Not a gzipped file" in str(error) else "damaged"
        raise KeepingError(f"{path}: {kind}: {error}") from error
    except tarfile.TarError as error:
        raise KeepingError(f"{path}: no backup of a vedette-hub, or a damaged one: {error}") from error
    except FileNotFoundError as error:
        raise KeepingError(f"{path}: there is no such file") from error
    except IsADirectoryError as error:
        raise KeepingError(f"{path}: a folder; name the backup in it") from error
    except PermissionError as error:
        raise KeepingError(f"{error.filename or path}: {error.strerror}; run this as the hub's user") from error
