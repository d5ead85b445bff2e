"""A disk that fails, forgets or lies: errors, read-only, flipped bits, an old copy put back."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest

from tests.agent.alerts import alert
from tests.faults import disk_shim
from tests.faults.disk_faults import FailingDisk, ReadOnlyDisk
from tests.faults.disk_hub import Hub
from vedette_agent.config.models import OutboxLimits
from vedette_agent.delivery.database import OutboxError
from vedette_agent.delivery.outbox import Outbox
from vedette_agent.mqtt.message import SettledKey
from vedette_agent.reading import checkpoint
from vedette_agent.reading.checkpoint import Checkpoint, CheckpointError
from vedette_agent.reading.effects import AlertStateRow, DeadLetterRow, Effects
from vedette_models import messages
from vedette_models.messages import Alert, Report

LONG = os.environ.get("FAULTS_LONG") == "1"
FLIPS = 600 if LONG else 100
LIMITS = OutboxLimits(max_rows=400, max_bytes=256 * 1024)
needs_shim = pytest.mark.skipif(bool(disk_shim.unavailable()), reason=disk_shim.unavailable())
Observed = Callable[[str, object], None]


@contextmanager
def scratch() -> Iterator[Path]:
    memory = Path("/dev/shm")
    with TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as name:
        yield Path(name)


def open_box(folder: Path) -> Outbox:
    return Outbox(folder / "agent.db", "gw", LIMITS, to_hub=True, owner=True)


def something(number: int) -> Effects:
    """All that a batch can cause."""
    return Effects(
        alerts=[alert(id=f"a{number}", device=f"d{number}", reason="x" * 100)],
        states=[AlertStateRow("pump", f"d{number}", "anomaly", b"{}")],
        dead_letters=[DeadLetterRow(1.0, "t", "not_json", "why", b"x", f"d{number}")],
        settled=[SettledKey(1 + number % 60_000, b"d" * 16)],
    )


@needs_shim
@pytest.mark.fault(
    fault="the disk fails one write or sync in twenty (EIO), then is well again",
    expected="each failure said and harmless: what was committed is there, and no number is missing",
)
def test_a_failing_disk_costs_no_commit(record_property: Observed) -> None:
    disk = FailingDisk(seed=5)
    with scratch() as folder, disk_shim.installed(disk):
        box = open_box(folder)
        committed = refused = 0
        said: set[bool] = set()
        disk.share = 0.05
        for number in range(400):
            try:
                box.commit(something(number), 1.0)
            except OutboxError as error:
                said.add("the disk fails or is full" in str(error))
                refused += 1
            else:
                committed += 1
        disk.share = 0.0
        box.commit(something(1_000), 1.0)
        assert box.replaced == 0
        assert [row.sequence for row in box.pending_hub(1_000)] == list(range(1, committed + 2))
        assert box.database.select("PRAGMA integrity_check") == [("ok",)]
        box.close()
    record_property("observed", f"{disk.failed} failures, {refused} commits refused, {committed} made and kept")
    assert said == {True}
    assert refused > 10
    assert committed > 10


@needs_shim
@pytest.mark.fault(
    fault="the disk turns read-only under the running agent, then is writable again",
    expected="nothing is acknowledged meanwhile, and the reason said; then it goes on without a gap",
)
def test_a_disk_that_turns_read_only_stops_commits_and_nothing_else(record_property: Observed) -> None:
    disk = ReadOnlyDisk()
    with scratch() as folder, disk_shim.installed(disk):
        box = open_box(folder)
        for number in range(20):
            box.commit(something(number), 1.0)
        disk.read_only = True
        for _ in range(5):
            with pytest.raises(OutboxError, match="must be able to write its state_dir"):
                box.commit(something(20), 1.0)
            assert len(box.pending_hub(100)) == 20, "what waits can still be read, and sent"
            assert box.stats().rows == 20
        disk.read_only = False
        box.commit(something(20), 1.0)
        assert [row.sequence for row in box.pending_hub(100)] == list(range(1, 22))
        box.close()
    record_property("observed", "5 commits refused and said; 20 rows readable all the time; 21 after it")


def use(box: Outbox, number: int) -> None:
    """Everything that an agent does with its box."""
    box.commit(something(number), 1.0)
    box.declare_losses(1.0)
    box.local_done([row.id for row in box.pending_local(50)])
    box.pending_hub(1_000)
    box.alert_states(), box.settled_keys(), box.filters(), box.history(10), box.dead_letters(10), box.stats()


@pytest.mark.fault(
    fault="bits flipped anywhere in the pages of the database",
    expected="the agent goes on: with all of it, or with a new database, the damaged one set aside and declared",
)
def test_flipped_bits_stop_nothing_and_are_declared(record_property: Observed) -> None:
    rng = random.Random(11)
    replaced = 0
    with scratch() as folder:
        first = open_box(folder)
        for number in range(300):
            first.commit(something(number), 1.0)
        first.close()
        sound = (folder / "agent.db").read_bytes()
        for _ in range(FLIPS):
            for old in folder.glob("agent.db*"):
                old.unlink()
            data = bytearray(sound)
            for _ in range(rng.choice((1, 1, 3, 40))):
                data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
            (folder / "agent.db").write_bytes(data)
            replaced += goes_on(folder)
    record_property("observed", f"{FLIPS} damaged files: {replaced} replaced and declared, {FLIPS - replaced} usable")
    assert 0.05 * FLIPS < replaced < FLIPS


def goes_on(folder: Path) -> bool:
    """Use a damaged file; return whether it was replaced. Whatever fails must work when it is tried again."""
    box = open_box(folder)
    try:
        for number in range(1_000, 1_003):
            try:
                use(box, number)
            except OutboxError:
                use(box, number)
        if not box.replaced:
            return False
        assert list(folder.glob("agent.db.damaged-*"))
        assert box.stats().set_aside
        declared = [
            damage
            for row in box.pending_hub(1_000)
            if row.priority == "reports"
            for damage in messages.from_bytes(Report, row.body).damages
        ]
        assert len(declared) == box.replaced
        return True
    finally:
        box.close()


@pytest.mark.fault(
    fault="the database is destroyed under the running agent, which has rows that nobody has seen",
    expected="set aside; a new one under a new epoch; the hub told of a loss of unknown extent; alerts go on",
)
def test_a_destroyed_database_is_declared_to_the_hub(record_property: Observed) -> None:
    with scratch() as folder:
        box, hub = open_box(folder), Hub(folder / "hub")
        for number in range(10):
            box.commit(something(number), 1.0)
        hub.drain(box)
        for number in range(10, 60):
            box.commit(something(number), 1.0)
        old = box.epoch
        box.database.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        box.database.connection.execute("PRAGMA cache_size = 0")
        with (folder / "agent.db").open("r+b") as file:
            file.seek(0)
            file.write(b"\xa5" * (folder / "agent.db").stat().st_size)
        box.database.connection.execute("PRAGMA shrink_memory")
        with pytest.raises(OutboxError, match="cannot commit a batch"):
            box.commit(something(60), 1.0)
        box.commit(something(60), 1.0)
        assert box.replaced == 1
        assert box.epoch != old
        hub.drain(box)
        assert set(hub.unknown_losses()) == {(name, old) for name in messages.PRIORITIES}
        assert "a60" in hub.events()
        assert box.stats().rows == 0
        box.close()
        hub.close()
    record_property("observed", "10 delivered before, the loss on record by epoch and class, 1 of 1 delivered after it")


@pytest.mark.fault(
    fault="a commit fails for no known reason, and the file cannot be examined either",
    expected="refused and said; the sound database stays in use",
)
def test_what_cannot_be_examined_is_not_taken_for_damaged(tmp_path: Path, record_property: Observed) -> None:
    box = open_box(tmp_path)
    box.commit(something(1), 1.0)
    connection = box.database.connection
    connection.set_progress_handler(lambda: True, 1)
    with pytest.raises(OutboxError, match="should not happen"):
        box.commit(something(2), 2.0)
    connection.set_progress_handler(None, 0)
    assert box.replaced == 0
    box.commit(something(2), 2.0)
    assert [row.sequence for row in box.pending_hub(10)] == [1, 2]
    box.close()
    record_property("observed", "refused; not set aside; the next commit went through")


def test_of_many_damaged_databases_the_newest_two_are_kept(tmp_path: Path) -> None:
    for _ in range(5):
        (tmp_path / "agent.db").write_bytes(os.urandom(8192))
        box = open_box(tmp_path)
        assert box.replaced == 1
        box.close()
        (tmp_path / "agent.db").unlink()
    assert len(list(tmp_path.glob("agent.db.damaged-*"))) == 2


@pytest.mark.fault(
    fault="bits flipped in a checkpoint",
    expected="refused, or read as it was written; never other numbers",
)
def test_flipped_bits_in_a_checkpoint_are_found(tmp_path: Path, record_property: Observed) -> None:
    rng = random.Random(3)
    path = tmp_path / "pump.npz"
    state = {"d": {"a": np.arange(300.0).reshape(3, 100), "n": np.arange(3)}}
    checkpoint.save(path, Checkpoint(7.0, ("v",), ("d1", "d2", None), state))
    sound = path.read_bytes()
    refused = 0
    for _ in range(FLIPS):
        data = bytearray(sound)
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        path.write_bytes(data)
        try:
            found = checkpoint.load(path)
        except CheckpointError:
            refused += 1
            continue
        assert found is not None
        assert found[:3] == (7.0, ("v",), ("d1", "d2", None))
        assert set(found.detectors["d"]) == {"a", "n"}
        for name, array in state["d"].items():
            assert np.array_equal(found.detectors["d"][name], array)
    record_property("observed", f"{FLIPS} flips: {refused} refused, {FLIPS - refused} without effect")
    assert refused > 0.8 * FLIPS


@pytest.mark.fault(
    fault="an old copy of the database is put back, with rows that the hub has had since",
    expected="no new alert is taken for an old one, and none has two effects",
)
def test_a_restored_copy_reuses_no_number(record_property: Observed) -> None:
    with scratch() as folder:
        hub, copy = Hub(folder / "hub"), folder / "copy.db"
        state = folder / "state"
        box = open_box(state)
        for number in range(20):
            box.commit(something(number), 1.0)
        box.close()
        shutil.copy(state / "agent.db", copy)
        box = open_box(state)
        for number in range(20, 40):
            box.commit(something(number), 1.0)
        hub.drain(box)
        box.close()
        shutil.copy(copy, state / "agent.db")
        box = open_box(state)
        for number in range(40, 60):
            box.commit(something(number), 1.0)
        hub.drain(box)
        assert sorted(hub.events()) == sorted(f"a{number}" for number in range(60))
        assert (hub.counted(), hub.lost(), hub.gaps(), box.stats().rows) == (60, 0, [], 0)
        box.close()
        hub.close()
    record_property("observed", "20 rows sent again and recognised, 20 new ones taken, 60 alerts at the hub once")


@pytest.mark.fault(
    fault="an old copy is put back while a storm fills the box",
    expected="rows of the run before are never put together with others: the hub may have had them",
)
def test_rows_of_a_restored_copy_are_never_coalesced(record_property: Observed) -> None:
    with scratch() as folder:
        small = OutboxLimits(max_rows=50)
        box = Outbox(folder / "agent.db", "gw", small, to_hub=True, owner=True)
        box.commit(Effects(alerts=[alert(id=f"a{n}", score=float(n)) for n in range(30)]), 1.0)
        box.close()
        box = Outbox(folder / "agent.db", "gw", small, to_hub=True, owner=True)
        before = {(row.epoch, row.sequence): row.body for row in box._pending("epoch != '' ORDER BY id", 100)}
        for number in range(30, 200):
            box.commit(Effects(alerts=[alert(id=f"a{number}", state="cleared", score=float(number))]), 1.0)
        after = {(row.epoch, row.sequence): row.body for row in box._pending("epoch != '' ORDER BY id", 100)}
        old = [key for key in before if key in after]
        assert old
        assert all(before[key] == after[key] for key in old)
        assert all(messages.from_bytes(Alert, after[key]).coalesced is None for key in old)
        assert box.stats().coalesced > 100
        box.close()
    record_property("observed", f"{len(old)} rows of the run before untouched, those of this one put together")
