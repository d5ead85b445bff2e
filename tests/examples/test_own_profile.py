"""The example of a profile of one's own does what its README says."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.brokers import Mosquitto
from tests.processes import ROOT, eventually, run, running


@pytest.fixture
def example(tmp_path: Path) -> Path:
    """A copy of the example, which leaves its state beside it."""
    return Path(shutil.copytree(ROOT / "examples/own_profile", tmp_path / "own_profile"))


def test_the_configuration_is_sound(example: Path) -> None:
    checked = run("vedette-agent", "config", "check", "--config", "agent.toml", cwd=example)

    assert checked.returncode == 0, checked.stderr
    assert "warning" not in (checked.stdout + checked.stderr).lower()


def test_the_swarm_is_alerted(example: Path, mosquitto: Mosquitto, tmp_path: Path) -> None:
    environment = {"APIARY_BROKER": mosquitto.url, "VEDETTE_GATEWAY__HEARTBEAT": "1s"}

    def ask(*arguments: str) -> dict[str, object]:
        answer = run(
            "vedette-agent", *arguments, "--json", "--config", "agent.toml", cwd=example, environment=environment
        )
        return dict(json.loads(answer.stdout)) if answer.stdout else {}

    agent = ["vedette-agent", "run", "--config", "agent.toml"]
    with running(*agent, log=tmp_path / "agent.log", cwd=example, environment=environment):
        eventually(lambda: ask("status").get("ingest") == "waiting", "the agent listens")
        hive = run("examples/own_profile/hive.py", "127.0.0.1", mosquitto.port)
        assert hive.returncode == 0, hive.stderr
        history = eventually(lambda: _weights(ask("outbox")), "an alert about the weight")

    assert any("weight" in alert["reason"] for alert in history)


def _weights(outbox: dict[str, object]) -> list[dict[str, str]]:
    history = outbox.get("history", [])
    assert isinstance(history, list)
    return [alert for alert in history if alert["device"] == "hive-3" and "weight" in alert["reason"]]
