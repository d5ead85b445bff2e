from __future__ import annotations

import functools
import math

import numpy as np
import pytest
from numpy.typing import NDArray

from vedette_models.detectors.base import StateError
from vedette_models.detectors.rangebreak import RangeBreak
from vedette_models.readings import ReadingBatch

SEEDS = 51
EVERY, START = 300.0, 1.7e9
LEARNT, AFTER = 600, 60
KINDS = ("daily", "trend", "walk", "counter")


def simulated(kind: str, readings: int) -> NDArray[np.float64]:
    """(readings, SEEDS) one device per seed."""
    noise = np.stack([np.random.default_rng(seed).normal(size=readings) for seed in range(SEEDS)], axis=1)
    when = np.arange(readings)[:, None]
    day = 2 * math.pi * when * EVERY / 86_400
    made = {
        "daily": 20 + 5 * np.sin(day) + 0.3 * noise,
        "trend": 0.05 * when + 0.5 * noise,
        "walk": noise.cumsum(axis=0),
        "counter": np.maximum(0.0, 5 + 4 * np.sin(day) + noise).cumsum(axis=0),
    }
    return made[kind]


def scores(
    values: NDArray[np.float64], time: NDArray[np.float64], detector: RangeBreak | None = None
) -> NDArray[np.float64]:
    """(T, devices) of values (T, devices) that all report at the same moments."""
    devices = np.arange(values.shape[1])
    detector = RangeBreak(1, len(devices)) if detector is None else detector
    return np.array(
        [
            detector.score(ReadingBatch.of(devices, np.full(len(devices), now), row[:, None])).total
            for now, row in zip(time.tolist(), values, strict=True)
        ]
    )


def alerting(found: NDArray[np.float64]) -> int:
    return int((found >= RangeBreak.default_threshold).any(axis=0).sum())


@functools.cache
def without_a_gap() -> tuple[int, ...]:
    """By kind, how many devices alert within AFTER readings."""
    values = np.concatenate([simulated(kind, LEARNT + AFTER) for kind in KINDS], axis=1)
    return by_kind(scores(values, START + EVERY * np.arange(LEARNT + AFTER)))


def by_kind(found: NDArray[np.float64]) -> tuple[int, ...]:
    return tuple(alerting(part[LEARNT:]) for part in np.split(found, len(KINDS), axis=1))


@pytest.mark.parametrize("gap", [48, 288])
def test_after_a_gap_no_more_is_said_than_without(gap: int) -> None:
    readings = LEARNT + gap + AFTER
    values, time = (
        np.concatenate([simulated(kind, readings) for kind in KINDS], axis=1),
        START + EVERY * np.arange(readings),
    )
    kept = np.r_[:LEARNT, LEARNT + gap : readings]

    after = by_kind(scores(values[kept], time[kept]))

    assert all(now <= usually + 1 for now, usually in zip(after, without_a_gap(), strict=True))


def test_a_gap_of_one_channel_is_one_too() -> None:
    gap = 288
    readings = LEARNT + gap + AFTER
    walks, time = simulated("walk", readings), START + EVERY * np.arange(readings)
    devices, detector = np.arange(SEEDS), RangeBreak(2, SEEDS)
    found = np.zeros((readings, SEEDS))
    for step, row in enumerate(walks):
        missing = LEARNT <= step < LEARNT + gap
        values = np.stack([np.full(SEEDS, np.nan) if missing else row, np.sin(row)], axis=1)
        batch = ReadingBatch.of(devices, np.full(SEEDS, time[step]), values)
        found[step] = detector.score(batch).by_channel[:, 0]

    assert alerting(found[LEARNT + gap :]) <= without_a_gap()[KINDS.index("walk")] + 1


def test_a_level_that_is_truly_elsewhere_after_a_gap_is_told() -> None:
    values = simulated("daily", LEARNT + AFTER)
    values[LEARNT:] += 200.0
    time = START + EVERY * np.arange(LEARNT + AFTER)
    time[LEARNT:] += 86_400.0

    assert alerting(scores(values, time)[LEARNT:]) == SEEDS


def test_a_fault_some_hours_after_a_gap_is_told() -> None:
    readings = LEARNT + 120
    values, time = simulated("daily", readings), START + EVERY * np.arange(readings)
    values[LEARNT + 60] += 15.0
    time[LEARNT:] += 86_400.0

    assert alerting(scores(values, time)[LEARNT + 60 : LEARNT + 61]) >= 0.9 * SEEDS


def test_scores_with_gaps_are_the_same_however_batches_are_cut_and_state_is_saved() -> None:
    draw = np.random.default_rng(4)
    time = START + np.cumsum(np.where(draw.uniform(size=900) < 0.01, 50_000.0, EVERY))
    values = draw.normal(size=(900, 2)).cumsum(axis=0)
    values[draw.uniform(size=values.shape) < 0.05] = np.nan
    values[500:560, 1] = np.nan
    batch = ReadingBatch.of(np.zeros(900, np.intp), time, values)
    whole = RangeBreak(2, 1).score(batch).by_channel

    detector, pieces = RangeBreak(2, 1), []
    for first, last in ((0, 1), (1, 300), (300, 533), (533, 534), (534, 900)):
        pieces.append(detector.score(batch.take(np.arange(first, last))).by_channel)
        restored = RangeBreak(2, 1)
        restored.restore(detector.state())
        detector = restored

    assert (whole > 0).any()
    assert np.array_equal(whole, np.concatenate(pieces))


def test_nights_without_readings_are_usual_and_do_not_make_blind() -> None:
    readings = 1_500
    day, place = np.divmod(np.arange(readings), 60)
    time = START + 86_400.0 * day + EVERY * place
    values = np.random.default_rng(7).normal(size=(readings, 1))
    values[1_490] += 12.0

    assert scores(values, time)[1_490, 0] > RangeBreak.default_threshold


COUNTERS = ("exact", "noisy", "daily", "working hours", "reset")


def counters(every: float) -> tuple[NDArray[np.float64], NDArray[np.float64], int]:
    """Four weeks of COUNTERS, (T, 5), when, and at which reading the last is reset."""
    readings = int(28 * 86_400 / every)
    time, draw, k = START + every * np.arange(readings), np.random.default_rng(5), every / 300.0
    day = 2 * math.pi * time / 86_400
    noise = 0.3 * draw.normal(size=readings)
    daily = np.cumsum((5 + 4 * np.sin(day) + noise) * k)
    reset = 2 * readings // 3
    made = (
        5.0 * k * np.arange(readings),
        np.cumsum((5 + noise) * k),
        daily,
        np.cumsum(np.where(np.sin(day) > 0, 5.0, 0.0) * k),
        np.where(np.arange(readings) < reset, daily, daily - daily[reset]),
    )
    return np.stack(made, axis=1), time, reset


def test_a_counter_that_grows_is_no_anomaly_and_its_reset_is() -> None:
    values, time, reset = counters(3_600.0)
    found = scores(values, time) >= RangeBreak.default_threshold

    assert {name: np.flatnonzero(found[:, i]).tolist() for i, name in enumerate(COUNTERS)} == {
        "exact": [],
        "noisy": [],
        "daily": [],
        "working hours": [],
        "reset": [reset],
    }


@pytest.mark.parametrize("place", [1, 2, 3])
def test_a_saved_pace_that_no_readings_have_is_refused(place: int) -> None:
    detector = RangeBreak(1, 1)
    state = detector.state()
    state["pace"][..., place] = -1.0

    with pytest.raises(StateError, match="intervals that no readings have"):
        detector.restore(state)
