"""What a version was trained with is remembered in a few numbers, and tells how far later data lies from it."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vedette_hub.learning import drift

NAN = np.nan


def normal(seed: int, shift: float = 0.0, readings: int = 5000) -> np.ndarray:
    return np.random.default_rng(seed).normal(20.0 + shift, 2.0, (readings, 1))


def compared(before: np.ndarray, after: np.ndarray) -> dict[str, object]:
    remembered = json.loads(json.dumps(drift.summary(before, ["heat"]), allow_nan=False))
    (found,) = drift.of_channels(remembered, after, ["heat"])
    return found


@pytest.mark.parametrize(("shift", "level"), [(0.0, "none"), (0.8, "some"), (2.0, "strong"), (-2.0, "strong")])
def test_a_shift_is_told_by_its_size_in_either_direction(shift: float, level: str) -> None:
    found = compared(normal(1), normal(2, shift))
    assert found["level"] == level
    assert found["median"] == pytest.approx(20.0 + shift, abs=0.2)


def test_the_index_is_the_sum_it_is_defined_as() -> None:
    before, after = normal(1), normal(2, 0.8)
    edges = np.quantile(before, np.linspace(0.0, 1.0, 11))
    found = np.histogram(np.clip(after, edges[0], edges[-1]), edges)[0] / len(after)
    expected = float(((found - 0.1) * np.log(found / 0.1)).sum())
    assert compared(before, after)["psi"] == pytest.approx(expected, abs=0.01)


def test_the_distance_is_that_of_the_distribution_functions() -> None:
    assert compared(normal(1), normal(2, 2.0))["ks"] == pytest.approx(0.383, abs=0.03)
    assert compared(normal(1), normal(1))["ks"] == pytest.approx(0.0, abs=0.001)


@pytest.mark.parametrize("moved", [4.0, 6.0])
def test_a_constant_that_moves_up_or_down_is_strong_drift(moved: float) -> None:
    assert compared(np.full((500, 1), 5.0), np.full((500, 1), moved))["level"] == "strong"
    assert compared(np.full((500, 1), 5.0), np.full((500, 1), 5.0))["level"] == "none"


def test_a_channel_that_falls_silent_is_drift_though_nothing_can_be_compared() -> None:
    found = compared(normal(1), np.full((500, 1), NAN))
    assert (found["psi"], found["missing"], found["level"]) == (None, 1.0, "strong")


def test_too_few_values_say_nothing() -> None:
    assert compared(normal(1, readings=99), normal(2, 5.0))["psi"] is None
    assert compared(normal(1), normal(2, 5.0, readings=99))["psi"] is None


def test_the_channel_that_moved_most_comes_first() -> None:
    before = np.hstack([normal(1), normal(2), normal(3)])
    after = np.hstack([normal(4), normal(5, 3.0), normal(6, 0.8)])
    names = ["a", "b", "c"]
    assert [one["channel"] for one in drift.of_channels(drift.summary(before, names), after, names)] == ["b", "c", "a"]


@settings(derandomize=True, max_examples=60, deadline=None)
@given(
    st.lists(st.floats(-1e9, 1e9), min_size=100, max_size=150),
    st.lists(st.sampled_from([NAN, -1e9, 0.0, 1.0, 2.0, 1e9]), min_size=100, max_size=150),
)
def test_figures_are_finite_whatever_the_data(before: list[float], after: list[float]) -> None:
    found = compared(np.array(before)[:, None], np.array(after)[:, None])
    json.dumps(found, allow_nan=False)
    if found["psi"] is not None:
        assert isinstance(found["psi"], float)
        assert isinstance(found["ks"], float)
        assert found["psi"] >= 0.0
        assert 0.0 <= found["ks"] <= 1.0
