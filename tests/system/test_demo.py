"""The demo from end to end, in short."""

from __future__ import annotations

import fcntl
import json
from pathlib import Path

from tests.processes import run


def test_readings_are_accounted_for_alerts_reach_the_hub_and_a_model_comes_back(tmp_path: Path) -> None:
    environment = {"DEMO_SECONDS": "25", "DEMO_FOLDER": str(tmp_path / "demo")}

    demo = run("-m", "examples.demo", environment=environment, timeout=400)

    assert demo.returncode == 0, demo.stdout + demo.stderr
    last = demo.stdout.splitlines()[-1]
    assert last.startswith("demo: ")
    result = json.loads(last.removeprefix("demo: "))
    assert result["published"] == result["scored"] > 0
    assert result["lost"] == 0
    assert result["alerts_raised"] == result["alerts_stored"] >= 1
    assert result["faults_found"] >= 1
    assert (result["versions_trained"], result["swaps"]) == (1, 1)
    steps = ("the hub trains a first model", "version 1 is trained", "the agent has verified it", "version 1 runs;")
    places = [demo.stdout.find(step) for step in steps]
    assert -1 not in places, demo.stdout
    assert places == sorted(places)


def test_a_second_demo_leaves_the_first_one_alone(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    folder.mkdir()
    (folder / "agent.toml").write_text("of the first demo")
    with (folder / "lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        demo = run("-m", "examples.demo", environment={"DEMO_FOLDER": str(folder)})

    assert demo.returncode == 1
    assert demo.stderr.startswith(f"demo: another demo runs in {folder}: ")
    assert (folder / "agent.toml").read_text() == "of the first demo"


def test_a_wrong_setting_is_refused_before_anything_starts(tmp_path: Path) -> None:
    demo = run("-m", "examples.demo", environment={"DEMO_SECONDS": "soon", "DEMO_FOLDER": str(tmp_path / "demo")})

    assert (demo.returncode, demo.stdout) == (2, "")
    assert demo.stderr == 'demo: DEMO_SECONDS="soon" must be a number of seconds above 0, at most 86400\n'
    assert not (tmp_path / "demo").exists()
