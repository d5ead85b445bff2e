"""Listeners of the shim that make a disk full, faulty or read-only."""

from __future__ import annotations

import random
from pathlib import Path

from tests.faults.disk_shim import FULL, IOERR_FSYNC, IOERR_WRITE, OK, READONLY, Passing


class FullDisk(Passing):
    """While `full`, files keep the room they have, and get no more."""

    def __init__(self) -> None:
        self.full = False
        self.refused = 0

    def write(self, path: str, offset: int, data: bytes) -> int:
        if self.full and offset + len(data) > Path(path).stat().st_size:
            self.refused += 1
            return FULL
        return OK


class FailingDisk(Passing):
    """A share of all writes and syncs fails."""

    def __init__(self, seed: int) -> None:
        self.share = 0.0
        self.failed = 0
        self._rng = random.Random(seed)

    def _fails(self) -> bool:
        fails = self._rng.random() < self.share
        self.failed += fails
        return fails

    def write(self, path: str, offset: int, data: bytes) -> int:
        return IOERR_WRITE if self._fails() else OK

    def sync(self, path: str, folder: bool) -> int:
        return IOERR_FSYNC if self._fails() else OK


class ReadOnlyDisk(Passing):
    """While `read_only`, nothing can be written, as when the kernel has given a disk up."""

    def __init__(self) -> None:
        self.read_only = False

    def write(self, path: str, offset: int, data: bytes) -> int:
        return READONLY if self.read_only else OK

    def truncate(self, path: str, size: int) -> int:
        return READONLY if self.read_only else OK
