from __future__ import annotations

import json
import os
import pickle
import stat
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vedette_agent.reading.checkpoint import Checkpoint, CheckpointError, load, path_of, save, set_aside

CHECKPOINT = Checkpoint(
    123.5,
    ("vibration", "Druck °C"),
    ("pump/1", None, "☃"),
    {"rangebreak": {"age": np.arange(6).reshape(3, 2), "mean": np.full((3, 2, 4), np.nan)}},
)


def same(one: Checkpoint, other: Checkpoint) -> bool:
    return one[:3] == other[:3] and all(
        np.array_equal(one.detectors[d][n], other.detectors[d][n], equal_nan=n == "mean")
        for d in one.detectors
        for n in one.detectors[d]
    )


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "not yet" / "pump.npz"
    save(path, CHECKPOINT)
    read = load(path)
    assert read is not None
    assert same(read, CHECKPOINT)


def test_no_file_is_no_checkpoint(tmp_path: Path) -> None:
    assert load(tmp_path / "pump.npz") is None


@pytest.mark.parametrize("profile", ["pump", "../../etc/passwd", "..", "a/b", "\U0001f600" * 64, "x" * 64])
def test_any_profile_has_a_file_of_its_own_in_the_folder(tmp_path: Path, profile: str) -> None:
    path = path_of(tmp_path, profile)
    assert path.parent == tmp_path
    assert path != path_of(tmp_path, profile[:-1] + "!")
    save(path, CHECKPOINT)
    assert load(path) is not None
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


@settings(
    max_examples=100, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(cut=st.integers(0, 5_000), at=st.integers(0, 5_000), bit=st.integers(0, 7), truncate=st.booleans())
def test_a_damaged_file_is_refused_or_whole(tmp_path: Path, cut: int, at: int, bit: int, truncate: bool) -> None:
    path = tmp_path / "pump.npz"
    save(path, CHECKPOINT)
    data = bytearray(path.read_bytes())
    if truncate:
        data = data[: cut % len(data)]
    else:
        data[at % len(data)] ^= 1 << bit
    path.write_bytes(data)
    try:
        read = load(path)
    except CheckpointError:
        return
    assert read is not None
    assert same(read, CHECKPOINT)


def with_about(path: Path, about: object) -> None:
    text = np.frombuffer(json.dumps(about).encode(), np.uint8)
    arrays: dict[str, Any] = {"about": text, "rangebreak/age": np.zeros((3, 2))}
    with path.open("wb") as file:
        np.savez(file, **arrays)


@pytest.mark.parametrize(
    ("about", "said"),
    [
        ({"format": 2}, "format 2, this version reads 1"),
        ({"format": "new"}, "format 'new', this version reads 1"),
        ([], "damaged"),
        ({}, "damaged"),
        ({"format": 1, "time": 0, "channels": ["a"]}, "damaged"),
        ({"format": 1, "time": 0, "channels": ["a"], "devices": [1, 2, {}]}, "must be names"),
        ({"format": 1, "time": 0, "channels": ["a"], "devices": ["x", "x", None]}, "each device once"),
        ({"format": 1, "time": 0, "channels": ["a"], "devices": ["x"]}, "there are 1 devices"),
        ({"format": 1, "time": None, "channels": ["a"], "devices": ["x", "y", "z"]}, "damaged"),
    ],
)
def test_a_newer_or_foreign_file_is_refused(tmp_path: Path, about: object, said: str) -> None:
    path = tmp_path / "pump.npz"
    with_about(path, about)
    with pytest.raises(CheckpointError, match=said):
        load(path)


def test_other_kinds_of_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "pump.npz"
    for data in (b"", b"hello", pickle.dumps({"about": 1}), b"\x93NUMPY"):
        path.write_bytes(data)
        with pytest.raises(CheckpointError):
            load(path)
    np.save(path.with_suffix(".npy"), np.zeros(3))
    path.with_suffix(".npy").replace(path)
    with pytest.raises(CheckpointError):
        load(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("about.npy", b"no array")
    with pytest.raises(CheckpointError):
        load(path)


def test_a_pickle_inside_is_not_executed(tmp_path: Path) -> None:
    path = tmp_path / "pump.npz"
    about = json.dumps({"format": 1, "time": 0, "channels": ["a"], "devices": ["x"]})
    evil = np.empty(1, object)
    evil[0] = Evil(str(tmp_path / "executed"))
    with path.open("wb") as file:
        arrays: dict[str, Any] = {"about": np.frombuffer(about.encode(), np.uint8), "rangebreak/age": evil}
        np.savez(file, **arrays)
    with pytest.raises(CheckpointError, match="pickle"):
        load(path)
    assert not (tmp_path / "executed").exists()


class Evil:
    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return (os.mkdir, (self.path,))


def test_a_failed_write_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "pump.npz"
    save(path, CHECKPOINT)
    path.with_name(f"{path.name}.new").mkdir()
    with pytest.raises(OSError, match="directory"):
        save(path, CHECKPOINT._replace(time=999.0))
    read = load(path)
    assert read is not None
    assert read.time == CHECKPOINT.time


def test_a_writer_killed_at_any_moment_leaves_a_whole_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "pump.npz"
    save(path, CHECKPOINT)
    writer = (
        "import sys, numpy as np; from pathlib import Path; from vedette_agent.reading.checkpoint import *\n"
        "for i in range(10**9):\n"
        "    save(Path(sys.argv[1]), Checkpoint(float(i), ('a',), ('x',) * 0, {'d': {'n': np.zeros((0, 9))}}))\n"
        "    print(i, flush=True)\n"
    )
    last = -1
    for _ in range(3):
        with subprocess.Popen([sys.executable, "-c", writer, str(path)], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            for line in process.stdout:
                last = int(line)
                if last >= 5:
                    process.kill()
                    break
            said = process.stdout.read().split()
            last = int(said[-1]) if said else last
        read = load(path)
        assert read is not None
        assert read.time in (last, last + 1.0), "the newest that was said to be durable, or the one after it"


def test_an_unusable_file_is_set_aside_for_a_look(tmp_path: Path) -> None:
    path = tmp_path / "pump.npz"
    path.write_bytes(b"damaged")
    set_aside(path)
    assert not path.exists()
    assert (tmp_path / "pump.unusable").read_bytes() == b"damaged"
    set_aside(path)  # nothing there: said, not raised


def test_a_checkpoint_is_not_for_everybody_to_write(tmp_path: Path) -> None:
    path = tmp_path / "pump.npz"
    save(path, CHECKPOINT)
    assert not path.stat().st_mode & stat.S_IWOTH
