"""The benchmark of forecasts measures what it says."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import forecast as benchmark
from tests.models.forecasts import following, forecast


def test_the_same_seed_gives_the_same_series_with_a_rhythm_of_day_and_week() -> None:
    one, again = benchmark.generate(3, 2), benchmark.generate(3, 2)
    assert np.array_equal(one.values, again.values)
    week = int(7 * benchmark.DAY / benchmark.EVERY)
    assert np.allclose(one.season[:week], one.season[week:])
    assert not np.allclose(one.season[: week // 7], one.season[3 * week // 7 : 4 * week // 7])


@pytest.mark.parametrize("kind", benchmark.KINDS)
def test_a_change_leaves_what_was_before_it_alone(kind: str) -> None:
    series = benchmark.generate(1, 2)
    values, within = benchmark.changed(series, kind, 300, np.random.default_rng(0))
    assert np.array_equal(values[:300], series.values[:300])
    assert np.abs(values - series.values)[300 : 300 + max(within, 48)].max() > 0.5
    assert within >= 1


def test_alerts_less_than_an_hour_apart_are_one() -> None:
    time = np.array([0.0, 1_800.0, 3_000.0, 9_000.0, 30_000.0])
    assert benchmark.episodes(time, np.array([True, True, True, True, False])) == 2
    assert benchmark.episodes(time, np.zeros(5, bool)) == 0


def test_a_model_that_knows_the_rhythm_beats_last_week_and_covers() -> None:
    time, values = following(16, every=1_800.0)
    detector = forecast(1, 1)
    figures = benchmark.accuracy(detector, time, values, 9 * 48)
    assert figures["mase"] < 1.0
    assert figures["mase_one_step"] < figures["mase"]
    assert figures["coverage"] > 0.99
    assert figures["coverage_day_ahead"] > 0.97
