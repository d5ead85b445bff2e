"""The example of a plant keeps what it promises, and leaves files that the agent's own replay takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from examples import iot_monitoring
from examples.injected import Account, Outcome
from examples.iot_plant import Plant

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.slow
def test_it_keeps_its_promises_and_leaves_its_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert iot_monitoring.main(["--keep", str(tmp_path)]) == 0

    said = capsys.readouterr().out
    assert "found: " in said
    assert "pump: target 0.5, realised " in said
    assert (
        (tmp_path / "pump.csv").read_text().startswith("time,device,temperature,vibration,pressure\n2024-03-04T00:00")
    )
    assert f"vedette-agent replay --config {tmp_path}/agent.toml" in said


def test_the_same_seed_gives_the_same_plant_and_another_another() -> None:
    one, same, other = (Plant(seed).fleets[0].recordings[0].values for seed in (4, 4, 5))

    assert np.array_equal(one, same, equal_nan=True)
    assert not np.array_equal(one, other, equal_nan=True)


def test_a_missed_sensor_fault_breaks_the_promise_and_one_missed_failure_does_not() -> None:
    injected = Plant(1).injected

    def kept(*missed: str) -> bool:
        outcomes = tuple(Outcome(each, None) for each in injected if each.what in missed)
        return iot_monitoring.is_kept(Account(outcomes, (), 10.0))

    assert kept("runs dry")
    assert not kept("runs dry", "door left open")
    assert not kept("battery is empty")
