"""Proof: the exported forecast expects what statsmodels expects, from the same starting state, reading by reading.

Each channel's parameters go into statsmodels' Kalman filter, and into the detector; both start from the state after the
first reading and follow readings at irregular times, with gaps, some of them missing. The readings stay within what the
detector's bounded update leaves as it is. Compared are what is expected of every next reading, the deviation around it,
and for readings within a hundredth of the band's edge whether they are beyond it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vedette_hub.learning.errors import TrainingRefusedError
from vedette_hub.learning.training import forecast_model
from vedette_hub.learning.training.forecast_model import Block, Moves
from vedette_hub.learning.training.parity import INPUTS, MAX_ERROR, Parity
from vedette_models.detectors.forecast import Forecast
from vedette_models.detectors.forecast_filter import Dynamics
from vedette_models.detectors.forecast_season import DAY, Season, Tables
from vedette_models.detectors.forecast_views import VALUE
from vedette_models.readings import ReadingBatch

_LEAST_STEPS = 64
_CALM = 0.05
"""Disturbances are so small a part of what the model says, and errors are counted in them: as a device's own scatter
never counts as less than a tenth of the profile's, none is so large that it is bounded."""
_NEAR = 0.01


def prove(detector: Forecast, seed: int) -> Parity:
    """Compare on 4,096 inputs or more: half of them follow, half lie within 1 % of the band's edge.

    Raises:
        TrainingRefusedError: an expectation or a deviation is more than 1e-6 off, or a label flips.
    """
    draw = np.random.default_rng(seed)
    judged = np.flatnonzero(detector.judged)
    steps = max(_LEAST_STEPS, round(1.1 * INPUTS / (2 * len(judged))))
    inputs = flips = 0
    worst = 0.0
    for channel in judged:
        one = _of_channel(detector, int(channel))
        time, values = _readings(one, steps + 1, draw)
        expected, deviation, snapshots = _followed(one, time, values)
        wanted, wanted_deviation = _by_statsmodels(one, time, values, snapshots[0])
        known = ~np.isnan(values[1:])  # of the others statsmodels says nothing, but goes on through them
        expected, deviation, wanted, wanted_deviation = (
            each[known] for each in (expected, deviation, wanted, wanted_deviation)
        )
        snapshots = [state for state, there in zip(snapshots, known, strict=True) if there]
        unit = float(one.learnt.arrays["unit"][0])
        errors = np.concatenate([(expected - wanted) / (_CALM * unit), deviation / wanted_deviation - 1.0])
        worst = float(np.maximum(worst, np.abs(errors).max()))
        limit = float(one.limits[0, VALUE])
        scale = np.sqrt([one.scatter(state) for state in snapshots])
        near = limit * (1.0 + draw.uniform(-_NEAR, _NEAR, len(expected))) * draw.choice([-1.0, 1.0], len(expected))
        probes = expected + near * scale * deviation
        beyond = np.abs(probes - wanted) >= limit * scale * wanted_deviation
        flips += int((beyond != _probed(one, time[1:][known], probes, snapshots)).sum())
        inputs += 2 * len(expected)
    result = Parity(inputs, worst, flips, near=inputs // 2)
    if flips or inputs < INPUTS or not worst <= MAX_ERROR:
        raise TrainingRefusedError(
            f"the exported forecast is not the one that was trained: {flips} of {inputs} labels differ, the largest "
            f"error is {worst:.3g}; this is a fault of Vedette, please report it"
        )
    return result


def _of_channel(detector: Forecast, channel: int) -> Forecast:
    """A detector of this channel alone."""
    arrays = detector.learnt.arrays
    row = slice(channel, channel + 1)
    return Forecast(
        Tables(*(arrays[name][row] for name in Tables._fields)),
        Dynamics(*(arrays[name][row] for name in Dynamics._fields)),
        detector.limits[row],
        detector.interval,
        devices=1,
    )


def _readings(
    one: Forecast, readings: int, draw: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Times with gaps, and calm readings of the model; a twentieth of them is missing."""
    gaps = one.interval * draw.exponential(1.0, readings)
    gaps[draw.random(readings) < 0.01] += DAY * draw.uniform(0.1, 3.0)
    time = 1.7e9 + np.cumsum(gaps)
    moves, swing, season, noise, unit = _parts(one, time)
    transition, covariance = forecast_model.matrices(np.diff(time) / DAY, moves, swing)
    state = np.zeros(4)
    values = np.empty(readings)
    for i in range(readings):
        push = _CALM * np.clip(draw.normal(size=5), -3.0, 3.0)
        values[i] = state[0] + state[2] + (1.0 + state[3]) * season[i] + noise[i] ** 0.5 * push[4]
        if i < readings - 1:
            spread = np.sqrt(np.maximum(np.diag(covariance[:, :, i]), 0.0))
            state = transition[:, :, i] @ state + push[:4] * spread
    values[1:][draw.random(readings - 1) < 0.05] = np.nan
    return time, (100.0 + values) * unit


def _parts(
    one: Forecast, time: NDArray[np.float64]
) -> tuple[Moves, float, NDArray[np.float64], NDArray[np.float64], float]:
    """(parameters, variance of the season's size, season and variance of the noise at these times, unit)."""
    arrays = one.learnt.arrays
    moves = Moves(*(float(arrays[name][0]) for name in Moves._fields))
    season, spread = Season(Tables(*(arrays[name] for name in Tables._fields)), arrays["unit"]).at(
        np.zeros(len(time), np.intp), time
    )
    return moves, float(arrays["swing"][0]), season, spread * spread, moves.unit


def _followed(
    one: Forecast, time: NDArray[np.float64], values: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], list[dict[str, NDArray[np.generic]]]]:
    """What the detector expects of each reading after the first, its deviation, and its state before each."""
    one.score(ReadingBatch.of([0], time[:1], values[:1, None]))
    expected, deviation, snapshots = np.empty(len(time) - 1), np.empty(len(time) - 1), []
    for i in range(1, len(time)):
        snapshots.append(one.state())
        ahead = one.forecast(0, time[i : i + 1])
        expected[i - 1] = ahead.expected[0, 0]
        half = float(ahead.high[0, 0] - ahead.low[0, 0]) / 2.0
        deviation[i - 1] = half / (float(one.limits[0, VALUE]) * np.sqrt(one.scatter(snapshots[-1])))
        one.score(ReadingBatch.of([0], time[i : i + 1], values[i : i + 1, None]))
    return expected, deviation, snapshots


def _by_statsmodels(
    one: Forecast, time: NDArray[np.float64], values: NDArray[np.float64], start: dict[str, NDArray[np.generic]]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    moves, swing, season, noise, unit = _parts(one, time)
    mean, covariance = one.filter_state(start)
    # About the level at the start, where numbers are small and keep their digits.
    level = mean[0]
    mean = np.array([0.0, mean[1] / unit, mean[2] / unit, mean[3]])
    transition, added = forecast_model.matrices(np.diff(time[:2]) / DAY, moves, swing)
    first = transition[:, :, 0] @ mean, transition[:, :, 0] @ covariance @ transition[:, :, 0].T + added[:, :, 0]
    block = Block(time[1:], (values[1:] - level) / unit, season[1:])
    expected, deviation = forecast_model.filtered(block, first, moves, swing, noise[1:])
    return expected * unit + level, deviation * unit


def _probed(
    one: Forecast, time: NDArray[np.float64], probes: NDArray[np.float64], states: list[dict[str, NDArray[np.generic]]]
) -> NDArray[np.bool_]:
    """Whether the detector, in the state before each reading, would call this value beyond the band."""
    many = Forecast.build(1, one.learnt)
    many.resize(len(probes))
    many.restore({name: np.concatenate([state[name] for state in states]) for name in states[0]})
    found = many.score(ReadingBatch.of(np.arange(len(probes)), time, probes[:, None]))
    beyond: NDArray[np.bool_] = np.abs(found.deviations[VALUE, :, 0]) >= one.limits[0, VALUE]
    return beyond
