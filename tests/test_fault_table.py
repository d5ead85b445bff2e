"""The fault table, made of tests of its own in a run of its own, with and without other processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import ROOT

TESTS = """
import pytest

def fault(name):
    return pytest.mark.fault(fault=name, expected="it goes on")

@fault("one that is survived")
def test_survived(record_property):
    record_property("observed", "nothing lost of 12")

@fault("one that is not")
def test_not_survived(record_property):
    record_property("observed", "lost 3")
    assert 9 == 12

@fault("one that breaks before it begins")
def test_broken(nothing_of_this_name):
    pass

@fault("one that needs more")
@pytest.mark.skipif(True, reason="no mounts here")
def test_needs_more():
    pass

@fault("one that finds out later")
def test_needs_more_at_runtime():
    pytest.skip("no root here")

@fault("one in parts")
@pytest.mark.parametrize("part", range(3))
def test_in_parts(part, record_property):
    record_property("observed", "0 of 10")

def test_that_is_no_fault():
    assert False
"""


@pytest.mark.parametrize("processes", ["0", "2"])
def test_every_row_is_told_and_the_last_line_counts_them(tmp_path: Path, processes: str) -> None:
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["tests.fault_table"]\n')
    (tmp_path / "test_some.py").write_text(TESTS)
    (tmp_path / "pytest.ini").write_text(f"[pytest]\nmarkers = fault\npythonpath = {ROOT}\n")
    command = [sys.executable, "-m", "pytest", "-m", "fault", "-n", processes, "-p", "no:cacheprovider", str(tmp_path)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 1
    *_, last = lines = done.stdout.rstrip().splitlines()
    assert last == "2 passed, 2 failed"
    table = "\n".join(lines[next(n for n, line in enumerate(lines) if "= faults =" in line) :])
    rows = {line.split(" | ")[0].strip(): line for line in lines if " | " in line}
    assert rows["one that is survived"].endswith("| nothing lost of 12                               | ok")
    assert rows["one that is not"].endswith("| FAILED")
    assert "lost 3" in table
    assert rows["one that breaks before it begins"].endswith("| FAILED")
    assert "0 of 10 (3 times)" in rows["one in parts"]
    assert "2 skipped:\n" in table
    assert "  one that needs more: no mounts here" in table
    assert "  one that finds out later: no root here" in table
    assert "no fault" not in table
