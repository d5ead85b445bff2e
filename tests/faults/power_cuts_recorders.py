"""Recorders: what SQLite, and what our own code, does to the files of a folder."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

from tests.faults.disk_shim import OK, installed
from tests.faults.power_cuts_media import Change, Create, Delete, Rename, Sync, SyncFolder, Truncate, Write


class SqliteRecorder:
    """A listener of the shim. Keys are paths within the folder."""

    def __init__(self, folder: Path, recording: list[Change]) -> None:
        self._folder, self._recording = folder, recording

    def _name(self, path: str) -> str:
        return str(Path(path).relative_to(self._folder))

    def opened(self, path: str, new: bool) -> int:
        if new:
            self._recording.append(Create(self._name(path)))
        return OK

    def write(self, path: str, offset: int, data: bytes) -> int:
        self._recording.append(Write(self._name(path), offset, data))
        return OK

    def truncate(self, path: str, size: int) -> int:
        self._recording.append(Truncate(self._name(path), size))
        return OK

    def sync(self, path: str, folder: bool) -> int:
        self._recording.append(Sync(self._name(path)))
        if folder:
            self._recording.append(SyncFolder("."))
        return OK

    def delete(self, path: str, folder: bool) -> int:
        self._recording.append(Delete(self._name(path)))
        if folder:
            self._recording.append(SyncFolder("."))
        return OK

    def stretched(self, file: int, offset: int, size: int) -> None:
        """Our own code has made the log longer."""
        if (path := Path(f"/proc/self/fd/{file}").readlink()).name.endswith("-wal"):
            self._recording += [Truncate(self._name(str(path)), offset + size), Sync(self._name(str(path)))]


@contextmanager
def recording_sqlite(folder: Path, recording: list[Change]) -> Iterator[None]:
    """Everything that SQLite does to files in the folder while this lasts."""
    recorder = SqliteRecorder(folder, recording)
    with installed(recorder), mock.patch("os.posix_fallocate", _after(os.posix_fallocate, recorder.stretched)):
        yield


def _after(real: Callable[..., Any], note: Callable[..., None]) -> Callable[..., Any]:
    def call(*args: Any, **options: Any) -> Any:
        result = real(*args, **options)
        note(*args)
        return result

    return call


def _before(real: Callable[..., Any], note: Callable[..., None]) -> Callable[..., Any]:
    def call(*args: Any, **options: Any) -> Any:
        note(*args)
        return real(*args, **options)

    return call


class _OwnFiles:
    """Python's own file calls, recorded at those points at which a file may be looked at: sync, rename, stretch.

    What is written in between is seen as one write of all that is there, which may be torn at will.
    """

    def __init__(self, folder: Path, recording: list[Change]) -> None:
        self._folder, self._recording = folder, recording
        self._known: dict[str, bytes] = {}

    def _inside(self, path: str | os.PathLike[str]) -> str | None:
        where = Path(path)
        return str(where.relative_to(self._folder)) if where.is_relative_to(self._folder) else None

    def _seen(self, name: str) -> None:
        content = (self._folder / name).read_bytes()
        if name not in self._known:
            self._recording.append(Create(name))
        if self._known.get(name) != content:
            self._recording += [Truncate(name, 0), Write(name, 0, content)]
        self._known[name] = content

    def fsync(self, file: int) -> None:
        path = Path(f"/proc/self/fd/{file}").readlink()
        name = self._inside(path)
        if name is None:
            return
        if path.is_dir():
            self._recording.append(SyncFolder(name))
            return
        self._seen(name)
        self._recording.append(Sync(name))

    def mkdir(self, path: Any, *_: object) -> None:
        if (name := self._inside(path)) is not None:
            self._recording.append(Create(name, folder=True))

    def replace(self, old: Any, new: Any) -> None:
        source, target = self._inside(old), self._inside(new)
        if source is not None and target is not None:
            self._seen(source)
            self._recording.append(Rename(source, target))
            self._known[target] = self._known.pop(source)

    def unlink(self, path: Any) -> None:
        if (name := self._inside(path)) is not None and self._known.pop(name, None) is not None:
            self._recording.append(Delete(name))


@contextmanager
def recording_own_files(folder: Path, recording: list[Change]) -> Iterator[None]:
    """What our own code does to files in the folder, and below it, while this lasts."""
    files = _OwnFiles(folder, recording)
    with (
        mock.patch("os.fsync", _after(os.fsync, files.fsync)),
        mock.patch("os.mkdir", _after(os.mkdir, files.mkdir)),
        mock.patch("os.replace", _before(os.replace, files.replace)),
        mock.patch("os.rename", _before(os.rename, files.replace)),
        mock.patch("os.unlink", _before(os.unlink, files.unlink)),
    ):
        yield
