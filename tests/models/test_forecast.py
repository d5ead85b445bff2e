"""The forecast as a detector: what it expects, notices and forgives, and what it refuses to be built from."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.models.forecasts import (
    DAILY,
    NOISE,
    PASSING,
    START,
    following,
    forecast,
    of_one,
    rhythm,
    small_artifact,
    small_bytes,
)
from vedette_models import artifact
from vedette_models.detectors import forecast_filter as filtered
from vedette_models.detectors.base import StateError
from vedette_models.detectors.forecast import Forecast
from vedette_models.detectors.forecast_filter import Dynamics
from vedette_models.detectors.forecast_scores import ForecastScores
from vedette_models.detectors.forecast_season import DAY
from vedette_models.detectors.learnt import Learnt
from vedette_models.readings import ReadingBatch
from vedette_models.rejection import ArtifactRejected, Rejection

SPREAD = NOISE * np.hypot(1.0, PASSING)
CHANGE = 10 * 144
"""Reading from which a series changes: after ten days, one every ten minutes."""


def followed(values: NDArray[np.float64], time: NDArray[np.float64]) -> ForecastScores:
    return forecast(1, 1).score(of_one(time, values))


def ten_minutes(days: float, **options: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return following(days, every=600.0, **options)


def hot(scores: ForecastScores) -> NDArray[np.intp]:
    return np.flatnonzero(scores.total >= 1.0)


def aspects(scores: ForecastScores, rows: NDArray[np.intp]) -> set[str]:
    found = (scores.finding(int(row), 0) for row in rows)
    return {finding.aspect for finding in found if finding is not None}


def test_normal_time_stays_inside_its_band() -> None:
    time, values = ten_minutes(28)
    scores = followed(values, time)
    assert len(hot(scores)) <= 1
    error = np.abs(values - scores.expected[:, 0])[3 * 144 :]
    assert error.mean() < 0.9 * SPREAD
    assert 3.0 * NOISE < scores.half_band[3 * 144 :].mean() < 6.0 * SPREAD
    deviations = scores.deviations[0, 3 * 144 :, 0]
    assert 0.9 < deviations.std() < 1.1


def test_an_outlier_is_found_at_once_and_poisons_nothing() -> None:
    time, values = ten_minutes(20)
    usual = followed(values, time)
    values[CHANGE] += 100.0
    scores = followed(values, time)
    assert CHANGE in hot(scores)
    finding = scores.finding(CHANGE, 0)
    assert finding is not None
    assert (finding.aspect, finding.value) == ("value", values[CHANGE])
    assert finding.low < usual.expected[CHANGE, 0] < finding.high < finding.value
    after = slice(CHANGE + 1, CHANGE + 144)
    assert np.abs(scores.expected[after] - usual.expected[after]).max() < 3.0 * NOISE
    assert len(hot(scores)) <= 2


def test_a_level_shift_is_found_and_after_a_day_adopted() -> None:
    time, values = ten_minutes(20)
    values[CHANGE:] += 5.0
    scores = followed(values, time)
    rows = hot(scores)
    assert CHANGE <= rows[rows >= CHANGE][0] < CHANGE + 6
    assert any(aspect.startswith("mean of the last") for aspect in aspects(scores, rows))
    later = CHANGE + 2 * 144
    assert not (rows >= later).any()
    assert np.abs(scores.expected[later:, 0] - 55.0 - rhythm(time[later:])).mean() < 3.0 * NOISE


def test_a_change_of_trend_is_found() -> None:
    time, values = ten_minutes(24)
    values += np.maximum(time - time[CHANGE], 0.0) / DAY * 1.0
    scores = followed(values, time)
    rows = hot(scores)
    assert len(rows)
    assert rows[0] > CHANGE
    assert rows[0] < CHANGE + 7 * 144
    first = scores.finding(int(rows[0]), 0)
    assert first is not None
    assert first.aspect in ("change per day", "mean of the last 24 hours", "mean of the last 6 hours")


@pytest.mark.parametrize("broken", ["ends", "moves by a quarter of a day"])
def test_a_broken_season_is_found(broken: str) -> None:
    time, values = ten_minutes(20)
    other = 0.0 if broken == "ends" else rhythm(time + DAY / 4)
    values[CHANGE:] += (other - rhythm(time))[CHANGE:]
    scores = followed(values, time)
    rows = hot(scores)
    assert len(rows)
    assert CHANGE <= rows[0] < CHANGE + 144
    assert broken != "ends" or "swing over the last day" in aspects(scores, rows)


def test_a_new_device_brings_its_own_level_and_size() -> None:
    time, values = ten_minutes(28, level=-4_000.0, swing=2.0)
    scores = followed(values, time)
    late = slice(14 * 144, None)
    assert len(hot(scores)[hot(scores) >= 14 * 144]) <= 2
    expected = -4_000.0 + 2.0 * rhythm(time)
    assert np.abs(scores.expected[:, 0] - expected)[late].mean() < SPREAD


def test_a_noisier_device_gets_a_wider_band() -> None:
    time, values = ten_minutes(28, noise=3.0 * NOISE)
    scores = followed(values, time)
    late = slice(14 * 144, None)
    assert len(hot(scores)[hot(scores) >= 14 * 144]) <= 2
    quiet = followed(ten_minutes(28)[1], time)
    assert scores.half_band[late].mean() > 2.0 * quiet.half_band[late].mean()


def test_readings_at_irregular_times_and_after_gaps_raise_nothing() -> None:
    random = np.random.default_rng(3)
    time, values = following(40, every=120.0)
    kept = np.sort(random.choice(len(time), 4_000, replace=False))
    day = (time[kept] - START) / DAY
    kept = kept[((day < 12) | (day > 19)) & (day % 1.0 < 0.8)]
    scores = followed(values[kept], time[kept])
    assert len(hot(scores)) <= 1
    assert np.nanmean(np.abs(values[kept] - scores.expected[:, 0])) < SPREAD


def test_a_gap_widens_the_band() -> None:
    time, values = ten_minutes(10)
    detector = forecast(1, 1)
    detector.score(of_one(time, values))
    ahead = detector.forecast(0, time[-1] + np.array([600.0, 6 * 3600.0, 10 * DAY]))
    width = (ahead.high - ahead.low)[:, 0]
    assert width[0] < width[1] < width[2]


def test_a_forecast_follows_rhythm_and_trend_and_learns_nothing() -> None:
    time, values = ten_minutes(21)
    values += (time - START) / DAY * 0.05
    detector = forecast(1, 1)
    detector.score(of_one(time, values))
    before = detector.state()
    moments = time[-1] + 600.0 * np.arange(1, 3 * 144)
    ahead = detector.forecast(0, moments)
    truth = 50.0 + rhythm(moments) + (moments - START) / DAY * 0.05
    assert np.abs(ahead.expected[:, 0] - truth).max() < 1.5 * SPREAD
    assert (ahead.low < ahead.expected).all()
    assert (ahead.expected < ahead.high).all()
    after = detector.state()
    assert all(np.array_equal(before[name], after[name]) for name in before)
    assert detector.last_times(0)[0] == time[-1]
    with pytest.raises(ValueError, match="row 1 of 1"):
        detector.forecast(1, moments)


def test_of_a_device_without_readings_nothing_is_expected() -> None:
    ahead = forecast(2, 1).forecast(0, np.array([START]))
    assert np.isnan(ahead.expected).all()
    assert np.isnan(forecast(2, 1).last_times(0)).all()


def test_a_clock_that_goes_back_is_survived() -> None:
    time, values = ten_minutes(10)
    back = time.copy()
    back[720:] -= 100 * 7 * DAY
    scores = followed(values, back)
    assert len(hot(scores)) <= 1
    assert np.isfinite(scores.total).all()
    swapped = np.arange(len(time))
    swapped[600:610] = swapped[600:610][::-1]
    assert len(hot(followed(values[swapped], time[swapped]))) <= 1


def test_the_filter_is_kalmans() -> None:
    """Against the textbook's matrices, one series at irregular times."""
    random = np.random.default_rng(4)
    dynamics = Dynamics(*(np.array([value]) for value in (0.7, 2.0, 0.2, 0.05, 0.03, 0.1)))
    state = np.zeros((filtered.ROWS, 1))
    filtered.begin(state, dynamics, np.array([10.0]), np.array([1.5]), np.array([1.0]))
    order = np.triu_indices(4)

    def matrix() -> NDArray[np.float64]:
        covariance = np.zeros((4, 4))
        covariance[order] = state[4:, 0]
        covariance.T[order] = state[4:, 0]
        return covariance

    scale = np.array([0.7, 0.7, 0.7, 1.0])
    mean, covariance = state[:4, 0] / scale, matrix()
    for _ in range(200):
        days, season, noise = random.exponential(0.3), random.normal(), random.uniform(0.5, 2.0)
        kept = np.exp(-days / 14.0)
        step = np.diag([1.0, kept, np.exp(-days / 0.2), np.exp(-days / 90.0)])
        step[0, 1] = 14.0 * (1.0 - kept)
        parts = np.linspace(0.0, days, 2_001)
        middle = (parts[1:] + parts[:-1]) / 2.0
        # What noise on the slope does to level and slope, added up over small steps.
        reach = np.array([14.0 * (1.0 - np.exp(-middle / 14.0)), np.exp(-middle / 14.0)])
        added = np.zeros((4, 4))
        added[:2, :2] = (2.0 * 0.03 / 14.0) * (reach @ reach.T) * (days / 2_000)
        added[0, 0] += 0.05 * days
        added[2, 2] = 2.0 * (1.0 - step[2, 2] ** 2)
        added[3, 3] = 0.1 * (1.0 - step[3, 3] ** 2)
        mean, covariance = step @ mean, step @ covariance @ step.T + added
        filtered.predict(state, np.array([days]), dynamics)
        np.testing.assert_allclose(matrix(), covariance, rtol=1e-5, atol=1e-8)
        looks = np.array([1.0, 0.0, 1.0, season])
        variance = looks @ covariance @ looks + noise
        found = filtered.gains(state, np.array([season]), np.array([noise]))
        assert found.variance[0] == pytest.approx(variance, rel=1e-6)
        innovation = random.normal()
        gain = covariance @ looks / variance
        mean, covariance = mean + gain * innovation, covariance - np.outer(gain, looks @ covariance)
        filtered.update(state, found, np.array([innovation]), dynamics.unit)
        np.testing.assert_allclose(state[:4, 0] / scale, mean, rtol=1e-5, atol=1e-6)
        covariance = matrix()
        mean = state[:4, 0] / scale


def test_an_artefact_is_the_detector() -> None:
    model = artifact.load(small_bytes())
    assert isinstance(model.detector, Forecast)
    time, values = ten_minutes(3)
    again = model.detector
    again.resize(1)
    once = followed(values, time)
    assert np.array_equal(again.score(of_one(time, values)).total, once.total)


def rejected(**changes: Any) -> Rejection:
    learnt = small_artifact().learnt
    arrays = {**learnt.arrays, **changes.pop("arrays", {})}
    for name in changes.pop("without", ()):
        del arrays[name]
    with pytest.raises(ArtifactRejected) as found:
        Forecast.build(1, learnt._replace(arrays=arrays, **changes))
    return found.value.reason


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"width": 4}, Rejection.OTHER_FEATURES),
        ({"features": ("mean",)}, Rejection.OTHER_FEATURES),
        ({"parameters": {}}, Rejection.OTHER_ARRAYS),
        ({"parameters": {"interval": 0.0}}, Rejection.WRONG_FIELD),
        ({"without": ["daily"]}, Rejection.OTHER_ARRAYS),
        ({"arrays": {"more": np.zeros(1)}}, Rejection.OTHER_ARRAYS),
        ({"arrays": {"daily": np.zeros((1, 97))}}, Rejection.SHAPES_DISAGREE),
        ({"arrays": {"daily": np.zeros((2, 48))}}, Rejection.SHAPES_DISAGREE),
        ({"arrays": {"daily": np.zeros((1, 48), np.int64)}}, Rejection.OTHER_ARRAYS),
        ({"arrays": {"daily": np.full((1, 48), np.nan)}}, Rejection.NOT_FINITE),
        ({"arrays": {"daily": np.full((1, 48), 1e9)}}, Rejection.BROKEN_STRUCTURE),
        ({"arrays": {"weekly": np.zeros((1, 13))}}, Rejection.BROKEN_STRUCTURE),
        ({"arrays": {"weekly": np.zeros(168)}}, Rejection.SHAPES_DISAGREE),
        ({"arrays": {"spread": np.zeros((1, 24))}}, Rejection.BROKEN_STRUCTURE),
        ({"arrays": {"spread": np.ones((1, 7))}}, Rejection.BROKEN_STRUCTURE),
        ({"arrays": {"limits": np.ones((1, 5))}}, Rejection.SHAPES_DISAGREE),
        ({"arrays": {"limits": np.zeros((1, 6))}}, Rejection.BROKEN_STRUCTURE),
        ({"arrays": {"unit": np.zeros(1)}}, Rejection.BROKEN_STRUCTURE),
        ({"arrays": {"unit": np.array([-1.0])}}, Rejection.BROKEN_STRUCTURE),
        ({"arrays": {"unit": np.array([np.inf])}}, Rejection.NOT_FINITE),
        ({"arrays": {"unit": np.ones(2)}}, Rejection.SHAPES_DISAGREE),
        ({"arrays": {"passing_days": np.zeros(1)}}, Rejection.BROKEN_STRUCTURE),
        ({"arrays": {"slope": np.ones(1, np.float32)}}, Rejection.OTHER_ARRAYS),
    ],
)
def test_what_is_no_forecast_is_refused(changes: dict[str, Any], reason: Rejection) -> None:
    assert rejected(**changes) == reason


def test_a_channel_that_was_not_learnt_is_not_judged() -> None:
    learnt = forecast(2, 0).learnt
    arrays = {**learnt.arrays, "unit": np.array([NOISE, 0.0])}
    detector = Forecast.build(2, Learnt(0, (), learnt.parameters, arrays))
    detector.resize(1)
    time, values = ten_minutes(2)
    both = np.stack([values, np.where(np.arange(len(time)) > 200, 1e6, 0.0)], axis=1)
    scores = detector.score(ReadingBatch.of(np.zeros(len(time), np.intp), time, both))
    assert not scores.by_channel[:, 1].any()
    assert scores.finding(250, 1) is None
    assert scores.by_channel[1:, 0].all()
    assert np.isnan(detector.forecast(0, time[-1:]).expected[0, 1])


def test_state_that_no_reading_leads_to_is_refused() -> None:
    time, values = ten_minutes(1)
    detector = forecast(1, 1)
    detector.score(of_one(time, values))
    for place, value in ((filtered.P_LL, -1.0), (-1, 0.0), (filtered.LEVEL, np.nan)):
        state = detector.state()
        series = np.asarray(state["series"], np.float64)
        series[0, 0, place] = value
        with pytest.raises(StateError):
            detector.restore({**state, "series": series})
    with pytest.raises(StateError):
        detector.restore({**detector.state(), "readings": np.array([[-1]])})


def test_a_season_is_as_large_as_its_knots() -> None:
    assert np.ptp(rhythm(START + np.arange(0.0, DAY, 1800.0))) == pytest.approx(2 * DAILY, rel=0.05)
