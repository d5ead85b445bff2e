from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from vedette_models.detectors.base import StateError
from vedette_models.features import FEATURES, WindowFeatures
from vedette_models.readings import ReadingBatch

bounded = settings(max_examples=60, deadline=None, derandomize=True)


def two_pass(window: list[float]) -> list[float]:
    """The features of one full window, naively but exactly: sums without rounding, the mean before the squares."""
    n = len(window)
    mean = math.fsum(window) / n
    deviation = math.sqrt(math.fsum((x - mean) ** 2 for x in window) / n)
    steps = [abs(b - a) for a, b in pairwise(window)]
    return [mean, deviation, min(window), max(window), window[-1] - mean, math.fsum(steps) / len(steps)]


def batch_of(values: NDArray[np.float64], device: NDArray[np.intp] | None = None) -> ReadingBatch:
    n = len(values)
    return ReadingBatch.of(np.zeros(n, np.intp) if device is None else device, np.arange(n) * 60.0, values)


@bounded
@given(
    offset=st.sampled_from([0.0, 1013.25, -1e6, 1e9]),
    scale=st.sampled_from([1e-2, 1.0, 1e3]),
    width=st.integers(2, 30),
    noise=st.lists(st.floats(-1, 1), min_size=31, max_size=90),
)
@example(offset=1013.25, scale=0.01, width=24, noise=[math.sin(i * i) for i in range(80)])
def test_features_equal_a_naive_two_pass_reference(offset: float, scale: float, width: int, noise: list[float]) -> None:
    x = [offset + scale * value for value in noise]
    vectors = WindowFeatures(1, width, 1).update(batch_of(np.array(x)[:, None]))
    assert np.isnan(vectors[: width - 1]).all()
    rounding = 4 * np.spacing(abs(offset) + scale)  # a mean on a large offset cannot be known better than its digits
    for i in range(width - 1, len(x)):
        assert vectors[i] == pytest.approx(two_pass(x[i - width + 1 : i + 1]), rel=1e-9, abs=rounding)


def test_a_pressure_keeps_its_digits_for_a_long_time() -> None:
    x = 1013.25 + 0.01 * np.random.default_rng(1).uniform(-1, 1, 20_000)
    features = WindowFeatures(1, 60, 1)
    for part in np.split(x, 100):
        vectors = features.update(batch_of(part[:, None]))
    assert vectors[-1] == pytest.approx(two_pass(x[-60:].tolist()), rel=1e-10, abs=1e-12)


def test_a_constant_channel_has_no_deviation_and_no_steps() -> None:
    vector = WindowFeatures(1, 7, 1).update(batch_of(np.full((20, 1), 0.1)))[-1]
    assert vector.tolist() == [0.1, 0.0, 0.1, 0.1, 0.0, 0.0]


def readings(n: int, channels: int, devices: int, seed: int) -> ReadingBatch:
    random = np.random.default_rng(seed)
    values = random.normal(1e3, 1, (n, channels))
    values[random.random(values.shape) < 0.2] = np.nan
    return batch_of(values, random.integers(0, devices, n))


@bounded
@given(seed=st.integers(0, 1_000), cuts=st.lists(st.integers(0, 200), max_size=12))
def test_any_split_into_batches_gives_the_same_vectors(seed: int, cuts: list[int]) -> None:
    batch = readings(200, channels=3, devices=4, seed=seed)
    whole = WindowFeatures(3, 5, 4).update(batch)
    features = WindowFeatures(3, 5, 4)
    edges = [0, *sorted(cuts), 200]
    split = [features.update(batch.take(slice(a, b))) for a, b in pairwise(edges)]
    assert np.array_equal(np.concatenate(split), whole, equal_nan=True)


def test_many_devices_in_one_batch_are_each_on_their_own() -> None:
    values = np.random.default_rng(2).normal(size=(4, 1_500, 2))
    features = WindowFeatures(2, 4, 1_500)
    for moment in values:
        vectors = features.update(batch_of(moment, np.arange(1_500)))
    for device in (0, 511, 512, 1_499):
        for channel in range(2):
            expected = two_pass(values[:, device, channel].tolist())
            assert vectors[device, channel * len(FEATURES) :][: len(FEATURES)] == pytest.approx(expected)


def test_a_channel_that_is_not_reported_keeps_its_window() -> None:
    features = WindowFeatures(2, 3, 1)
    x = np.array([[1.0, 10.0], [2.0, 20.0], [4.0, 40.0], [8.0, math.nan]])
    vectors = features.update(batch_of(x))
    assert vectors[3, 6:].tolist() == vectors[2, 6:].tolist()
    assert vectors[3, 3] == 8.0


def test_names_stand_as_the_columns_do() -> None:
    features = WindowFeatures(2, 3, 1)
    names = features.names(["flow", "pressure"])
    vector = features.update(batch_of(np.array([[1.0, 5.0], [2.0, 5.0], [3.0, 5.0]])))[-1]
    assert len(names) == len(vector) == 2 * len(FEATURES)
    named = dict(zip(names, vector.tolist(), strict=True))
    assert named["flow maximum"] == 3.0
    assert named["flow last minus mean"] == 1.0
    assert named["pressure mean"] == 5.0
    with pytest.raises(ValueError, match="3 names for 2 channels"):
        features.names(["a", "b", "c"])


def test_state_growth_and_forgetting() -> None:
    batch, later = readings(300, 2, 3, seed=4), readings(300, 2, 3, seed=5)
    features = WindowFeatures(2, 6, 0)
    features.resize(3)
    features.update(batch)
    other = WindowFeatures(2, 6, 8)
    other.restore(features.state())
    features.resize(10)
    assert features.devices == 10
    expected = features.update(later)
    assert np.array_equal(expected, other.update(later), equal_nan=True)

    other.restore({name: array[:3] for name, array in features.state().items()})
    other.forget(np.array([1]))
    again, fresh = other.update(later), WindowFeatures(2, 6, 3).update(later)
    mine = later.device == 1
    assert np.array_equal(again[mine], fresh[mine], equal_nan=True)
    assert not np.isnan(again[~mine]).any()

    for state in ({}, WindowFeatures(2, 7, 3).state(), {**features.state(), "count": np.full((10, 2), -1)}):
        with pytest.raises(StateError):
            WindowFeatures(2, 6, 10).restore(state)


def test_bad_input_is_refused_before_anything_changes() -> None:
    features = WindowFeatures(1, 2, 1)
    for device, value in ((0, math.inf), (1, 1.0), (-1, 1.0)):
        with pytest.raises(ValueError, match=r"finite|room"):
            features.update(
                ReadingBatch(
                    np.array([0, device]), np.zeros(2), np.array([[1.0], [value]]), np.zeros(2, np.uint8), np.arange(2)
                )
            )
        assert not features.state()["count"].any()
    with pytest.raises(ValueError, match="at least 1 reading"):
        WindowFeatures(1, 0)
    with pytest.raises(ValueError, match="at least 1 channel"):
        WindowFeatures(0, 2)
