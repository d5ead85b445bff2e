from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.models.scalar_rangebreak import ScalarRangeBreak
from vedette_models.detectors import rangebreak_ranges, rangebreak_views
from vedette_models.detectors.base import Finding, StateError
from vedette_models.detectors.rangebreak import RangeBreak
from vedette_models.detectors.rangebreak_ranges import Breaks, Ranges
from vedette_models.detectors.rangebreak_views import (
    LOG_RATIO,
    LOG_STEP_48,
    LOG_STEP_100,
    MEAN_24,
    MEDIAN_25,
    MEDIAN_51,
    MEDIAN_101,
    PAIR,
    STEP_12,
    VIEWS,
    WEEK,
)
from vedette_models.readings import ReadingBatch

Series = NDArray[np.float64]
MINUTES = 300.0
START = 1_700_000_000.0


def times(n: int, every: float = MINUTES) -> Series:
    return START + every * np.arange(n)


def noise(n: int, seed: int = 1) -> Series:
    return np.random.default_rng(seed).normal(size=n)


def daily(n: int) -> Series:
    return 20 + 5 * np.sin(np.arange(n) * MINUTES / 86_400 * 2 * math.pi)


def with_fault(series: Series, start: int, values: float | Series) -> Series:
    series = series.copy()
    n = 1 if isinstance(values, float) else len(values)
    series[start : start + n] = values
    return series


N = 520
KINDS: dict[str, Series] = {
    "noise": noise(N),
    "daily rhythm": daily(N) + 0.2 * noise(N),
    "random walk": noise(N).cumsum(),
    "spike": with_fault(noise(N), 400, 30.0),
    "counts": np.random.default_rng(2).poisson(3, N).astype(float),
    "heavy tails": np.random.default_rng(3).standard_cauchy(N),
    "constant": np.full(N, 7.25),
    "constant zero": np.zeros(N),
    "constant, then a tiny change": with_fault(np.full(N, 1e6), 300, 1e6 + 1e-6),
    "constant with a change in the last digit": with_fault(np.full(N, 0.1), 300, float(np.nextafter(0.1, 1))),
    "quantised": np.round(daily(N) + 0.2 * noise(N), 1),
    "two values": (np.arange(N) // 7 % 2).astype(float),
    "square wave": np.where(np.arange(N) // 50 % 2, 80.1, 20.3),
    "sawtooth of thirds": np.arange(N) % 9 / 3,
    "zero at power-on, then a large offset": with_fault(1e6 + 0.1 * noise(N), 0, 0.0),
    "large offset": 1013.25 + 0.01 * noise(N),
    "zeros, then values": np.concatenate([np.zeros(200), 5 + noise(N - 200)]),
    "step and recovery": np.concatenate([noise(250), 8 + noise(100), noise(N - 350)]),
    "tiny values": 1e-9 * noise(N),
    "huge values": 1e90 * noise(N),
    "settling after a fault": with_fault(np.full(N, 3.0), 200, 3 + 100 * 0.97 ** np.arange(N - 200.0)),
}


def scalar(t: Series, x: Series, horizon: int = 8064) -> Series:
    reference = ScalarRangeBreak(horizon)
    return np.array([reference.score(*reading) for reading in zip(t.tolist(), x.tolist(), strict=True)])


def side_by_side(t: Series, columns: list[Series]) -> Series:
    """Scores (N, series) where every series is a device and every moment a batch."""
    detector = RangeBreak(channels=1, devices=len(columns))
    rows = np.arange(len(columns))
    return np.array(
        [
            detector.score(ReadingBatch.of(rows, np.full(len(rows), now), np.array(values)[:, None])).total
            for now, values in zip(t, zip(*columns, strict=True), strict=True)
        ]
    )


def test_equals_the_scalar_form_on_every_kind_of_series() -> None:
    t = times(N, every=3_000.0)  # a week in 200 readings, so that its profile counts
    scores = side_by_side(t, list(KINDS.values()))
    for column, (kind, x) in enumerate(KINDS.items()):
        expected = scalar(t, x)
        assert np.abs(scores[:, column] - expected).max() <= 1e-9, kind
    assert (scores > 0).sum() > 50


@pytest.mark.parametrize("kind", ["daily rhythm", "square wave", "zero at power-on, then a large offset"])
def test_equals_the_scalar_form_alone_in_its_batch(kind: str) -> None:
    x = KINDS[kind]
    detector = RangeBreak(channels=1, devices=1)
    scores = detector.score(ReadingBatch.of([0] * N, times(N), x[:, None])).total
    assert np.abs(scores - scalar(times(N), x)).max() <= 1e-9


def test_ranges_are_forgotten_after_the_horizon(monkeypatch: pytest.MonkeyPatch) -> None:
    horizon = 150
    monkeypatch.setattr(rangebreak_ranges, "HORIZON", horizon)
    monkeypatch.setattr(rangebreak_ranges, "_LONGEST", horizon - rangebreak_ranges._MATURITY)
    n = 500
    t = times(n, every=1_800.0)
    columns = [with_fault(noise(n), 120, 40.0), daily(n) + noise(n), noise(n).cumsum(), np.round(noise(n))]
    columns[0][450] = 30.0
    scores = side_by_side(t, columns)
    for column, x in enumerate(columns):
        assert np.abs(scores[:, column] - scalar(t, x, horizon)).max() <= 1e-9
    assert scores[450, 0] > 0.25, "a spike as large as one long forgotten is news again"


def test_says_nothing_of_the_first_fifty_readings() -> None:
    x = with_fault(noise(120), 40, 1000.0)
    detector = RangeBreak(channels=1, devices=1)
    total = detector.score(ReadingBatch.of([0] * 120, times(120), x[:, None])).total
    assert (total[:50] == 0).all()


def test_a_constant_channel_scores_nothing_until_its_first_change() -> None:
    x = np.full(400, 1013.25)
    x[300:] = 1013.5
    detector = RangeBreak(channels=1, devices=1)
    total = detector.score(ReadingBatch.of([0] * 400, times(400), x[:, None])).total
    assert (total[:300] == 0).all()
    assert total[300] > 0


NO_RHYTHM = 11_100.0
"""An interval of readings, in seconds, that shows no hour of the week two neighbours, nor any rhythm."""
SLOW = 20 * np.sin(np.arange(900) / 100)
SWELLING = np.minimum(np.arange(900) / 30, 10) * np.sin(np.arange(900) / 8) + 0.05 * noise(900)
STEADY = np.random.default_rng(6).uniform(-1, 1, 900)
CHATTER = np.where(np.arange(30) % 2, 0.8, -0.8)  # inside the range, but with steps ten times as long as usual
SHIFTS = np.where(np.arange(1_400) % 24 < 8, 50.0, 10.0)
FAULTS: dict[str, tuple[Series, int, set[int], float]] = {
    # series, first reading of the fault, views that must see it, interval of readings
    "spike": (with_fault(5 + 0.1 * noise(900), 700, 9.0), 700, {MEDIAN_25, MEDIAN_51, MEDIAN_101, PAIR}, NO_RHYTHM),
    "level change inside the range": (
        SLOW + with_fault(0.3 * noise(900), 700, 8.0),
        700,
        {MEDIAN_25, MEDIAN_51},
        NO_RHYTHM,
    ),
    "drop to zero": (with_fault(np.exp(6 + 0.3 * noise(900)), 700, 0.0), 700, {LOG_RATIO}, NO_RHYTHM),
    "missing weekly activity": (with_fault(SHIFTS + noise(1_400), 1_204, 10 + noise(2)), 1_204, {WEEK}, 3_600.0),
    "readings that never followed one another": (with_fault(SWELLING, 716, 0.0), 716, {PAIR}, NO_RHYTHM),
    "slow shift of level": (
        30 * noise(900) + with_fault(np.zeros(900), 700, np.linspace(0, 60, 200)),
        700,
        {MEAN_24},
        NO_RHYTHM,
    ),
    "chatter": (
        5 * np.sin(np.arange(900) / 20) + with_fault(0.05 * noise(900), 700, CHATTER),
        700,
        {STEP_12, LOG_STEP_48},
        NO_RHYTHM,
    ),
    "going quiet": (with_fault(STEADY, 700, 0.01 * STEADY[:48]), 700, {LOG_STEP_48, LOG_STEP_100}, NO_RHYTHM),
    "a little quieter for long": (with_fault(STEADY, 700, 0.7 * STEADY[700:]), 700, {LOG_STEP_100}, NO_RHYTHM),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_view_sees_the_fault_it_is_made_for(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    x, start, views, every = FAULTS[fault]
    n = len(x)
    seen: list[set[int]] = []
    learn = Ranges.learn

    def note(*arguments: Any) -> Breaks | None:
        breaks = learn(*arguments)
        seen.append(set() if breaks is None else set((breaks.place % VIEWS).tolist()))
        return breaks

    monkeypatch.setattr(Ranges, "learn", note)
    detector = RangeBreak(channels=1, devices=1)
    scores = detector.score(ReadingBatch.of([0] * n, times(n, every), x[:, None]))
    assert views <= set().union(*seen[start : start + 200])
    assert scores.total[start : start + 200].max() > 0


def test_says_what_is_usual_in_the_readings_own_unit() -> None:
    x = with_fault(4 + 0.1 * np.clip(noise(600), -2, 2), 500, 9.0)
    detector = RangeBreak(channels=1, devices=1)
    scores = detector.score(ReadingBatch.of([0] * 600, times(600, NO_RHYTHM), x[:, None]))
    for _ in range(2):
        finding = scores.finding(500, 0)
        assert finding is not None
        assert finding.value == 9.0
        assert 3.5 < finding.low < 3.9 < 4.1 < finding.high < 4.5
    assert scores.finding(300, 0) is None


def test_readings_unlike_any_pair_before_are_said_by_their_value_where_that_says_it() -> None:
    counts = np.random.default_rng(3).poisson(1.0, 2000).astype(np.float64)
    counts[1500] = 12.0
    detector = RangeBreak(channels=1, devices=1)
    scores = detector.score(ReadingBatch.of([0] * 2000, times(2000, 300.0), counts[:, None]))

    before = counts[1400:1500]
    assert scores.finding(1500, 0) == Finding("value, in the last 8.3 h", 12.0, before.min(), before.max())


def test_a_fault_does_not_echo_a_week_later(monkeypatch: pytest.MonkeyPatch) -> None:
    week = 2016
    x = 20.0 + noise(3 * week)
    x[week + 1004 : week + 1020] += 400.0  # until the end of an hour, and for the whole of the hour before
    echo = slice(2 * week + 990, 2 * week + 1040)

    def loudest() -> float:
        detector = RangeBreak(channels=1, devices=1)
        scores = detector.score(ReadingBatch.of([0] * len(x), times(len(x), 300.0), x[:, None]))
        assert scores.total[week + 1004] > 1.0
        return float(scores.total[echo].max())

    assert loudest() < 0.1
    monkeypatch.setattr(rangebreak_views, "KEPT", np.inf)
    assert loudest() > 0.5


def test_state_of_an_earlier_release_is_taken_over() -> None:
    detector, again = RangeBreak(channels=2, devices=2), RangeBreak(channels=2, devices=2)
    detector.score(ReadingBatch.of([0, 1] * 200, times(400, 300.0), noise(800).reshape(400, 2)))
    state = detector.state()
    del state["visit"], state["pace"]
    state["summary"] = state["summary"][..., : rangebreak_ranges.FIELDS_BEFORE_GAPS]

    again.restore(state)

    assert np.array_equal(again.state()["week_mean"], detector.state()["week_mean"])


@pytest.mark.parametrize("hour", [-2.0, 168.0, 0.5, np.nan])
def test_a_saved_visit_of_no_hour_is_refused(hour: float) -> None:
    detector = RangeBreak(channels=1, devices=1)
    state = detector.state()
    state["visit"][0, 0, 0] = hour

    with pytest.raises(StateError, match="an hour that no week has"):
        detector.restore(state)
