"""Quarantine: where damaged databases go: beside the new one, for whoever wants to look at them, and not too many."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

MARK = ".damaged-"
KEPT = 2
"""The newest; each may be as large as the outbox may become."""
_BESIDE = ("-wal", "-shm", "-journal", "")
"""What belongs to a database, the file itself last: a crash in between leaves a database without its log, which is
found damaged again, and never a new database with the log of another."""


def move(path: Path, now: float) -> Path:
    """Move a database that nobody has open aside, and delete the oldest beyond the bound; return where it is now.

    Raises:
        OSError: it is still there.
    """
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
    number, aside = 0, path.with_name(f"{path.name}{MARK}{stamp}")
    while aside.exists():  # two within a second
        number += 1
        aside = path.with_name(f"{path.name}{MARK}{stamp}.{number}")
    for suffix in _BESIDE:
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.rename(aside.with_name(aside.name + suffix))
    for old in found(path)[:-KEPT]:
        for suffix in _BESIDE:
            old.with_name(old.name + suffix).unlink(missing_ok=True)
    return aside


def found(path: Path) -> list[Path]:
    """The databases that were moved aside, in the order in which that happened."""
    every = (file for file in path.parent.glob(f"{path.name}{MARK}*") if not file.name.endswith(_BESIDE[:-1]))
    return sorted(every, key=lambda file: (file.stat().st_ctime_ns, file.name))
