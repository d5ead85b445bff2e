"""DurableFile: replace a file so that a power cut at any point leaves the old one or the new one, whole."""

from __future__ import annotations

import os
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NEW = ".new"
"""Suffix of what is being written; left behind by a kill."""


def replace(path: Path, fill: Callable[[IO[bytes]], object]) -> None:
    """Replace `path` by what `fill` writes, durable when this returns; folders above it are made.

    Written under a temporary name beside it, synced, renamed, and the folder synced: a name is as perishable as what it
    stands for.

    Raises:
        OSError: the old one is still there.
    """
    make_folder(path.parent)
    temporary = path.with_name(path.name + NEW)
    try:
        with temporary.open("wb") as file:
            fill(file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)  # half of it would only take room
        raise
    _sync(path.parent)


def make_folder(path: Path) -> None:
    """Make a folder and those above it, durable when this returns.

    Raises:
        OSError: it is not there.
    """
    if not path.is_dir():
        make_folder(path.parent)
        path.mkdir(exist_ok=True)
        _sync(path.parent)


def _sync(folder: Path) -> None:
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
