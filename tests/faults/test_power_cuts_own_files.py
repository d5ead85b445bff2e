"""The power is cut while our own code replaces a file: checkpoints, and the journal with the manifest's counter."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest import mock

import numpy as np
import pytest

from tests.faults.power_cuts_media import Change, Mark, State, cuts
from tests.faults.power_cuts_outbox import restore
from tests.faults.power_cuts_recorders import recording_own_files
from vedette_agent.reading import checkpoint
from vedette_agent.reading.checkpoint import Checkpoint
from vedette_agent.update.journal import Journal
from vedette_agent.update.model_store import ModelStore

LONG = os.environ.get("FAULTS_LONG") == "1"
STATES = 5_000 if LONG else 300
WRITES = 12
ARTEFACT = bytes(range(256)) * 20
NAME = "ab" * 32


@contextmanager
def in_memory() -> Iterator[Path]:
    memory = Path("/dev/shm")
    with TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as name:
        yield Path(name)


def write_checkpoints(folder: Path, recording: list[Change]) -> None:
    """One after the other, each of its own number."""
    for number in range(1, WRITES):
        state = {"d": {"a": np.full((3, 100), number)}}
        taken = Checkpoint(float(number), ("v",), ("d1", "d2", "d3"), state)
        checkpoint.save(checkpoint.path_of(folder / "checkpoints", "pump"), taken)
        recording.append(Mark(number))


def checkpoint_violations(folder: Path, promised: int) -> Iterator[str]:
    """The newest saved, or the one that was being saved."""
    try:
        found = checkpoint.load(checkpoint.path_of(folder / "checkpoints", "pump"))
    except checkpoint.CheckpointError as error:
        yield str(error)
        return
    number = int(found.time) if found else 0
    if not promised <= number <= promised + 1:
        yield f"checkpoint {number}, when {promised} was saved"
    elif found and not (found.detectors["d"]["a"] == number).all():
        yield f"checkpoint {number} holds another's numbers"


def write_journals(folder: Path, recording: list[Change]) -> None:
    """Counters that only rise; an artefact before the first."""
    store = ModelStore(folder)
    store.keep(NAME, ARTEFACT)
    recording.append(Mark(0))
    for counter in range(1, WRITES):
        store.write(Journal(counter=counter))
        recording.append(Mark(counter))


def journal_violations(folder: Path, promised: int) -> Iterator[str]:
    """A counter that goes back would let a replayed manifest in; one that is lost would only cost time."""
    store = ModelStore(folder)
    if store.journal.counter is None and promised:
        yield f"the counter is lost, when {promised} was written"
    elif (store.journal.counter or 0) not in (promised, promised + 1):
        yield f"counter {store.journal.counter}, when {promised} was written"
    if promised >= 0 and store.read(NAME) != ARTEFACT:
        yield "the artefact is not whole"


Program = Callable[[Path, list[Change]], None]
Check = Callable[[Path, int], Iterator[str]]


def every_violation(write: Program, check: Check, states: int) -> list[str]:
    recording: list[Change] = []
    with in_memory() as folder:
        life, after = folder / "life", folder / "after"
        life.mkdir()
        after.mkdir()
        with recording_own_files(life, recording):
            write(life, recording)
        found = []
        for state in cuts(recording, states, seed=1):
            restore(after, state)
            found += [f"{state.about}: {what}" for what in check(after, newest(state))]
        return found


def newest(state: State) -> int:
    return max((number for number in state.promised if isinstance(number, int)), default=-1)


def start_at_zero(check: Check) -> Check:
    """Before the first promise nothing need be there."""
    return lambda folder, promised: check(folder, max(0, promised)) if promised >= 0 else iter(())


CASES = {
    "checkpoints": (write_checkpoints, start_at_zero(checkpoint_violations)),
    "journal of models and trust counter": (write_journals, start_at_zero(journal_violations)),
}


@pytest.mark.parametrize(
    "what",
    [
        pytest.param(
            name,
            marks=pytest.mark.fault(
                fault=f"power cut while {name} are written: unsynced sectors and names dropped or torn",
                expected="what was saved last, or what was being saved, whole",
            ),
        )
        for name in CASES
    ],
)
def test_a_power_cut_leaves_the_old_file_or_the_new_one(
    what: str, record_property: Callable[[str, object], None]
) -> None:
    found = every_violation(*CASES[what], STATES)
    record_property("observed", f"{STATES:,} states, {len(found)} violations")
    assert not found, found[:5]


def without_folders(real: Callable[[int], None]) -> Callable[[int], None]:
    return lambda file: None if stat.S_ISDIR(os.fstat(file).st_mode) else real(file)


def without_files(real: Callable[[int], None]) -> Callable[[int], None]:
    return lambda file: real(file) if stat.S_ISDIR(os.fstat(file).st_mode) else None


@pytest.mark.parametrize("what", CASES)
@pytest.mark.parametrize("mistake", [without_folders, without_files])
def test_a_forgotten_sync_is_found_out(what: str, mistake: Callable[[Any], Any]) -> None:
    write, check = CASES[what]

    def careless(folder: Path, recording: list[Change]) -> None:
        with mock.patch("os.fsync", mistake(os.fsync)):
            write(folder, recording)

    assert every_violation(careless, check, 150)
