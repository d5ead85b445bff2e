"""The power is cut: of what was not synced any part may be on the disk, whole, torn, in any order."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import mock

import pytest

from tests.faults import disk_shim
from tests.faults.power_cuts_media import cuts
from tests.faults.power_cuts_outbox import record, small_files, violations
from vedette_agent.delivery.database import Database

LONG = os.environ.get("FAULTS_LONG") == "1"
LIVES, STATES = (20, 500) if LONG else (2, 150)
STEPS = 120
needs_shim = pytest.mark.skipif(bool(disk_shim.unavailable()), reason=disk_shim.unavailable())


@contextmanager
def scratch(folder: Path) -> Iterator[Path]:
    """A folder in memory where there is one: what is cut is decided by the recording, not by this machine's disk."""
    memory = Path("/dev/shm")
    with TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else folder) as name:
        yield Path(name)


def every_violation(
    folder: Path, lives: int, states: int, *, early: bool = False, first: int = 1
) -> tuple[int, list[str]]:
    """How many states were looked at, and what was wrong in them."""
    looked, found = 0, []
    with small_files(), scratch(folder) as folder:
        for seed in range(first, first + lives):
            life, after = folder / f"life{seed}", folder / f"after{seed}"
            life.mkdir()
            after.mkdir()
            recording = record(life, seed, STEPS, early=early)
            for state in cuts(recording, states, seed):
                looked += 1
                found += [f"life {seed}, {state.about}: {what}" for what in violations(after, state)]
    return looked, found


@needs_shim
@pytest.mark.fault(
    fault="power cut while the outbox is written: unsynced sectors dropped, reordered, torn",
    expected="no damaged database; all that was acknowledged is there, delivered, or declared lost",
)
def test_a_power_cut_loses_nothing_that_was_acknowledged(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    looked, found = every_violation(tmp_path, LIVES, STATES)
    record_property("observed", f"{looked:,} states of {LIVES} recordings, {len(found)} violations")
    assert not found, found[:5]
    assert looked == LIVES * STATES


def _careless(self: Database) -> sqlite3.Connection:
    connection = _open(self)
    connection.execute("PRAGMA synchronous = OFF")
    return connection


def _normal(self: Database) -> sqlite3.Connection:
    connection = _open(self)
    connection.execute("PRAGMA synchronous = NORMAL")
    return connection


_open = Database._open


@needs_shim
@pytest.mark.parametrize("mistake", [_careless, _normal])
def test_a_database_that_does_not_sync_every_commit_is_found_out(
    tmp_path: Path, mistake: Callable[[Database], sqlite3.Connection]
) -> None:
    with mock.patch.object(Database, "_open", mistake):
        _, found = every_violation(tmp_path, 1, 100)
    assert found


@needs_shim
def test_an_acknowledgement_before_the_commit_is_found_out(tmp_path: Path) -> None:
    _, found = every_violation(tmp_path, 1, 100, early=True)
    assert found
