"""The benchmark of algorithms: fleets are what they say, and alerts are judged as people would."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks import scenarios
from benchmarks.algorithms import GAP, WINDOW, judge, trainers
from benchmarks.algorithms_plot import draw
from benchmarks.scenarios import DEVICES, SCENARIOS, Scenario, generate


@pytest.fixture(scope="module")
def fleet() -> Scenario:
    return generate("gaussian")


def flags(fleet: Scenario) -> np.ndarray:
    return np.zeros((len(fleet.watched[0]), DEVICES), bool)


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_fleet_is_the_same_for_the_same_seed_and_learns_without_faults(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scenarios, "DEVICES", 1)
    one, again, other = generate(name), generate(name), generate(name, seed=1)
    assert np.array_equal(one.watched[0], again.watched[0])
    assert one.events == again.events
    assert not np.array_equal(one.watched[0], other.watched[0])
    assert one.learnt.anomalous is None
    assert np.isfinite(one.watched[0]).all()
    starts = np.array([event.start for event in one.events])
    ends = np.array([event.end for event in one.events])
    assert (starts[1:] - ends[:-1] > WINDOW + GAP).all(), "what is found of one fault is not the next one's"
    assert len(one.batch()) == len(one.watched[0])
    assert one.batch().time[0] - one.history().time[-1] == scenarios.INTERVAL


def test_perfect_flags_are_perfect_and_none_are_nothing(fleet: Scenario) -> None:
    nothing = flags(fleet)
    assert judge(fleet, nothing) == (0.0, 0.0, 0.0, 0)
    for event in fleet.events:
        nothing[event.end - 1, event.device] = True
    assert judge(fleet, nothing) == (1.0, 1.0, 1.0, 0)


def test_a_false_alert_is_a_run_of_flags_far_from_every_fault(fleet: Scenario) -> None:
    found = flags(fleet)
    first = next(event for event in fleet.events if event.device == 0)
    found[first.start, 0] = True
    found[0:5, 0] = True
    found[5 + GAP - 2, 0] = True
    assert judge(fleet, found).false_alerts == 1
    found[5 + 3 * GAP, 0] = True
    verdict = judge(fleet, found)
    assert verdict.false_alerts == 2
    assert verdict.precision == pytest.approx(1 / 3, abs=1e-3)
    assert verdict.recall == round(1 / len(fleet.events), 4)


def test_every_algorithm_is_measured_and_the_picture_is_drawn(tmp_path: Path) -> None:
    assert {"isolation_forest", "lof", "one_class_svm", "one_class_svm_nystroem", "ensemble"} <= set(trainers())
    draw(tmp_path / "f1.svg", {"gaussian": {"lof": {"f1": 0.9}, "forecast": {"refused": "too short"}}})
    assert (tmp_path / "f1.svg").stat().st_size > 1_000
