"""The demo's processes end with it, and say why when they end before."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from examples.demo.broker import start
from examples.demo.children import Child, ChildError
from tests.processes import ROOT, eventually

PARENT = """
import sys, time
from pathlib import Path
from examples.demo.children import Child
child = Child("a child", [sys.executable, "-c", "import time; time.sleep(600)"], Path(sys.argv[1]))
print(child.pid, flush=True)
time.sleep(600)
"""


def is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except FileNotFoundError:
        return True


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends children with their parent")
def test_children_end_when_the_demo_is_killed(tmp_path: Path) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, tmp_path / "log"], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    assert not is_gone(child)

    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    parent.stdout.close()

    eventually(lambda: is_gone(child), "the child has ended")


def test_a_child_that_ends_on_its_own_is_reported_with_its_last_words(tmp_path: Path) -> None:
    child = Child("the hub", [sys.executable, "-c", "print('no room left'); raise SystemExit(3)"], tmp_path / "log")

    with pytest.raises(ChildError, match=r"(?s)the hub has ended with code 3.*no room left"):
        child.wait_until(lambda: False, "answers", 30.0)


def test_a_child_that_is_not_ready_in_time_is_reported(tmp_path: Path) -> None:
    child = Child("the hub", [sys.executable, "-c", "import time; time.sleep(600)"], tmp_path / "log")
    try:
        with pytest.raises(ChildError, match="the hub: answers not within 0 s"):
            child.wait_until(lambda: False, "answers", 0.0)
    finally:
        child.stop()


def test_an_unknown_broker_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ChildError, match='DEMO_BROKER="rabbit" is not known: use mosquitto or amqtt'):
        start(tmp_path / "broker", "rabbit")
