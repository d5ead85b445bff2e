"""A gateway's models on its disk: a kill at any point, and damage, leave a journal that can be trusted."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.agent.update.disk import Disk, Killed
from vedette_agent.update import journal as journals
from vedette_agent.update import model_store
from vedette_agent.update.journal import REPORTS_KEPT, Held, Journal, Running
from vedette_agent.update.model_store import COPY, FOLDER, JOURNAL, ModelStore
from vedette_models.manifest import Manifest, Release
from vedette_models.messages import Activation

A, B, C = ("a" * 64, "b" * 64, "c" * 64)


def release(sha256: str, version: int = 1) -> Release:
    return Release(version, "isolation_forest", sha256, 10)


def journal(counter: int, sha256: str = A) -> Journal:
    running = {"pump": Running(release(sha256), 1.5)}
    return Journal(counter, {"pump": release(sha256)}, running, running, {"fan": Held("", "rolled_back")}, "x", ())


def test_what_was_written_is_there_after_a_restart(tmp_path: Path) -> None:
    assert ModelStore(tmp_path).journal == Journal(), "a new gateway"
    assert not (tmp_path / FOLDER).exists(), "looking writes nothing"
    ModelStore(tmp_path).write(journal(7))
    assert ModelStore(tmp_path).journal == journal(7)
    ModelStore(tmp_path).write(Journal(counter=None))
    assert ModelStore(tmp_path).journal.counter is None


def test_a_kill_at_any_point_leaves_the_old_journal_or_the_new_one(tmp_path: Path, disk: Disk) -> None:
    seen = set()
    for operation in range(50):
        folder = tmp_path / str(operation)
        ModelStore(folder).write(journal(1))
        disk.kill_at(operation)
        try:
            ModelStore(folder).write(journal(2, B))
        except Killed:
            disk.kill_at(-1)
            found = ModelStore(folder).journal
            assert found in (journal(1), journal(2, B))
            seen.add(found.counter)
            ModelStore(folder).write(journal(3))
            assert ModelStore(folder).journal == journal(3), "what the kill left behind is in nobody's way"
        else:
            disk.kill_at(-1)
            break
    assert operation == 8, "opened, synced, renamed, synced; twice"
    assert seen == {1, 2}


def test_a_kill_during_the_first_write_leaves_a_new_gateway_or_one_that_knows(tmp_path: Path, disk: Disk) -> None:
    for operation in range(12):
        folder = tmp_path / str(operation)
        disk.kill_at(operation)
        try:
            ModelStore(folder).write(journal(1))
        except Killed:
            disk.kill_at(-1)
            assert ModelStore(folder).journal in (Journal(), journal(1))
        disk.kill_at(-1)


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "truncated": lambda data: data[: len(data) // 2],
    "one byte short": lambda data: data[:-1],
    "a flipped bit": lambda data: data[:-20] + bytes([data[-20] ^ 1]) + data[-19:],
    "a flipped bit of the checksum": lambda data: bytes([data[0] ^ 1]) + data[1:],
    "zeros": lambda data: bytes(len(data)),
    "something else": lambda _: b"{}",
    "longer": lambda data: data + b" ",
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
@pytest.mark.parametrize("name", [JOURNAL, COPY])
def test_one_damaged_journal_is_replaced_by_the_other(
    tmp_path: Path, damage: Callable[[bytes], bytes], name: str
) -> None:
    store = ModelStore(tmp_path)
    store.write(journal(7))
    path = store.folder / name
    path.write_bytes(damage(path.read_bytes()))
    again = ModelStore(tmp_path)
    assert again.journal == journal(7)
    again.write(journal(8))
    assert path.read_bytes() == (store.folder / JOURNAL).read_bytes(), "both are whole again"


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_with_both_damaged_the_counter_is_lost(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    store = ModelStore(tmp_path)
    store.write(journal(7))
    for name in (JOURNAL, COPY):
        path = store.folder / name
        path.write_bytes(damage(path.read_bytes()))
    assert ModelStore(tmp_path).journal == Journal(counter=None)


def test_artefacts_without_a_journal_mean_that_the_counter_is_lost(tmp_path: Path) -> None:
    store = ModelStore(tmp_path)
    store.write(journal(7))
    store.keep(A, b"bytes")
    for name in (JOURNAL, COPY):
        (store.folder / name).unlink()
    assert ModelStore(tmp_path).journal == Journal(counter=None)


@pytest.mark.parametrize("name", [JOURNAL, COPY])
def test_a_missing_journal_is_replaced_by_the_other(tmp_path: Path, name: str) -> None:
    store = ModelStore(tmp_path)
    store.write(journal(7))
    (store.folder / name).unlink()
    assert ModelStore(tmp_path).journal == journal(7)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.binary(max_size=200), st.binary(max_size=200))
def test_no_garbage_is_taken_for_a_journal(first: bytes, second: bytes) -> None:
    assert model_store._decode(first) is None
    body = hashed(second)
    assert model_store._decode(body) is None or isinstance(model_store._decode(body), Journal)


def hashed(body: bytes) -> bytes:
    return hashlib.sha256(body).hexdigest().encode() + b"\n" + body


def test_a_newer_journal_with_more_fields_is_read(tmp_path: Path) -> None:
    store = ModelStore(tmp_path)
    store.write(journal(7))
    body = msgspec.json.encode({**msgspec.to_builtins(journal(9)), "later": [1]})
    (store.folder / JOURNAL).write_bytes(hashed(body))
    assert ModelStore(tmp_path).journal == journal(9)


def test_a_disk_that_refuses_leaves_the_journal_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = ModelStore(tmp_path)
    store.write(journal(1))

    def full(_file: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            store.write(journal(2))
    assert store.journal == ModelStore(tmp_path).journal == journal(1)


# Artefacts


def test_an_artefact_is_kept_read_and_replaced(tmp_path: Path) -> None:
    store = ModelStore(tmp_path)
    assert store.read(A) is None
    store.keep(A, b"bytes")
    assert store.read(A) == b"bytes"
    store.keep(A, b"other bytes")
    assert store.read(A) == b"other bytes"


def test_only_what_is_ordered_running_or_the_one_before_stays(tmp_path: Path) -> None:
    store = ModelStore(tmp_path)
    running = {"pump": Running(release(B), 0.0)}
    store.write(Journal(1, {"pump": release(A)}, running, {"fan": Running(release(C), 0.0)}))
    for sha256 in (A, B, C, "d" * 64):
        store.keep(sha256, b"bytes")
    (store.folder / f"{A}.model.new").write_bytes(b"half writ")
    store.clean()
    kept = {path.name for path in store.folder.iterdir()}
    assert kept == {JOURNAL, COPY, *(f"{sha256}.model" for sha256 in (A, B, C))}


def test_a_kill_while_an_artefact_is_kept_leaves_nothing_or_all_of_it(tmp_path: Path, disk: Disk) -> None:
    for operation in range(6):
        store = ModelStore(tmp_path / str(operation))
        disk.kill_at(operation)
        try:
            store.keep(A, b"x" * 100_000)
        except Killed:
            disk.kill_at(-1)
            assert store.read(A) in (None, b"x" * 100_000)
        disk.kill_at(-1)


# How the journal changes


def activation(version: int) -> Activation:
    return Activation("pump", A, version, "activated")


def test_reports_wait_and_the_oldest_give_way() -> None:
    full = Journal()
    for version in range(REPORTS_KEPT + 5):
        full = journals.with_report(full, activation(version))
    assert [a.version for a in full.unreported] == list(range(5, REPORTS_KEPT + 5))


def test_nothing_lags_without_an_order() -> None:
    running = {"pump": Running(release(A), 0.0)}
    assert not journals.lags(Journal(current=running), "pump")
    assert not journals.lags(Journal(counter=None, ordered={"pump": release(B)}), "pump")
    assert journals.lags(Journal(3, {"pump": release(A)}), "pump")
    assert journals.lags(Journal(3, {}, running), "pump"), "none is ordered, one runs"
    assert not journals.lags(Journal(3, {"pump": release(A)}, running), "pump")


def test_a_failed_order_is_held_until_there_is_a_new_one() -> None:
    ordered = Journal(3, {"pump": release(B)}, {"pump": Running(release(A), 0.0)})
    held = journals.refused(ordered, "pump", release(B), "malformed")
    assert not journals.lags(held, "pump")
    assert journals.refused(ordered, "pump", release(A), "malformed") == ordered, "it was not what is ordered"
    again = journals.accepted(held, Manifest("gw", 4, 0.0, 1.0, {"pump": release(B)}), [activation(1)])
    assert journals.lags(again, "pump")
    assert (again.counter, again.unreported) == (4, (activation(1),))


@pytest.mark.parametrize("ordered", [{"pump": release(B)}, {"pump": release(C)}, {}])
def test_what_the_operator_decided_stays_whatever_was_ordered(ordered: dict[str, Release]) -> None:
    before = Journal(3, ordered, {"pump": Running(release(B), 0.0)}, {"pump": Running(release(A), 0.0)})
    after = journals.held_by_operator(journals.activated(before, "pump", Running(release(A), 1.0)), "pump")
    assert not journals.lags(after, "pump")
    assert (after.current["pump"].release, after.previous["pump"].release) == (release(A), release(B))


def test_the_reason_of_a_failed_order_outlives_a_rollback() -> None:
    before = Journal(3, {"pump": release(C)}, {"pump": Running(release(B), 0.0)})
    after = journals.held_by_operator(journals.refused(before, "pump", release(C), "too_deep"), "pump")
    assert after.held == {"pump": Held(C, "too_deep")}
