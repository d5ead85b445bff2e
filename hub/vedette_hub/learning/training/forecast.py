"""Forecasts: season, trend and level learnt with statsmodels, exported as arrays, proved equal."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vedette_hub.learning.cleaning import Note
from vedette_hub.learning.datasets import Dataset
from vedette_hub.learning.errors import TrainingRefusedError
from vedette_hub.learning.training import forecast_model, forecast_season
from vedette_hub.learning.training.forecast_limits import draw_limits, replayed
from vedette_hub.learning.training.forecast_model import Block, Moves
from vedette_hub.learning.training.forecast_proof import prove
from vedette_hub.learning.training.forecast_season import Readings, Rhythm
from vedette_hub.learning.training.golden import record
from vedette_hub.learning.training.trained import Settings, Tell, Trained
from vedette_models.detectors.forecast import Forecast
from vedette_models.detectors.forecast_filter import Dynamics
from vedette_models.detectors.forecast_season import DAY, Season, Tables
from vedette_models.detectors.forecast_views import VIEWS

MOST_VALUES = 20_000
"""Values over all channels that the likelihood is computed of ..."""
_PER_CHANNEL = (300, 3_000)
"""... and of each channel, at least and at most."""
_BLOCKS = 6
_GOLDEN_READINGS = 128
_LEAST_SWING = 0.04
"""Variance of the size of a season between devices, at least: a fifth of it, squared."""
_MOST_SWING = 1.0
_LEAST_MOVING = 4e-4
"""A level wanders in a day, and a slope differs, by a fiftieth of the deviations at least: nothing stays for ever."""
_SPREAD_KNOTS = 24
_SPREAD_PRIOR = 50.0
"""Readings that an hour's scatter counts as usual for."""
_SPREAD = (0.3, 4.0)
_OUTLIER = 6.0


class _Channel(NamedTuple):
    rhythm: Rhythm
    moves: Moves
    swing: float
    spread: NDArray[np.float64]


def train(dataset: Dataset, settings: Settings, tell: Tell) -> Trained:
    """Train on the readings that are neither held out nor known to be anomalous.

    A channel of which no rhythm can be learnt is not judged, and said to be so.

    Raises:
        TrainingRefusedError: no channel has two days of readings, or the exported arrays expect other values than
            statsmodels does.
    """
    tell(0.0, "learning the season")
    names = dataset.source.channels
    by_channel = [_readings(dataset, channel) for channel in range(len(names))]
    refused: dict[str, str] = {}
    found: list[_Channel | None] = []
    size = int(np.clip(MOST_VALUES // len(names), *_PER_CHANNEL))
    for number, (name, readings) in enumerate(zip(names, by_channel, strict=True)):
        tell(0.5 * number / len(names), f"learning the season of {name}")
        try:
            found.append(_learnt(readings, size))
        except TrainingRefusedError as error:
            refused[name] = str(error)
            found.append(None)
    if not any(found):
        said = "; ".join(f"{name}: {reason}" for name, reason in list(refused.items())[:8])
        raise TrainingRefusedError(f"profile {dataset.source.profile!r}: no forecast can be learnt. {said}")
    tell(0.5, "drawing the boundary")
    detector = _detector(found, _interval(by_channel))
    run = replayed(dataset, detector)
    detector.limits = draw_limits(run, dataset, settings)
    # What is exported is what is proved.
    detector = Forecast.build(len(names), detector.learnt)
    tell(0.8, "proving that it expects what statsmodels expects")
    parity = prove(detector, dataset.seed)
    low, high = _usual(by_channel)
    golden = record(dataset, detector, low, high, full=_GOLDEN_READINGS)
    tell(0.9, "evaluating")
    scores = run.scores(dataset, detector.limits)
    notes = tuple(
        Note("channel", name, 0, f"{reason}: the model does not judge it") for name, reason in refused.items()
    )
    return Trained(detector, golden, parity, scores, _figures(names, found, refused), notes)


def _readings(dataset: Dataset, channel: int) -> list[Readings]:
    """By device, what may be learnt from, each in order of time."""
    parts: dict[str, list[tuple[NDArray[np.float64], NDArray[np.float64]]]] = {}
    for one, learnable in zip(dataset.series, dataset.learnable, strict=True):
        values = one.values[:, channel]
        rows = np.flatnonzero(learnable & ~np.isnan(values))
        if len(rows):
            parts.setdefault(one.device, []).append((one.times[rows], values[rows]))
    readings = []
    for device in sorted(parts):
        time, values = (np.concatenate(column) for column in zip(*parts[device], strict=True))
        order = np.argsort(time, kind="stable")
        readings.append(Readings(device, time[order], values[order]))
    return readings


def _learnt(readings: list[Readings], size: int) -> _Channel:
    """Season and dynamics of one channel.

    Raises:
        TrainingRefusedError: there is too little of it, or it never changes.
    """
    if not readings:
        raise TrainingRefusedError("it never reported")
    if all(float(np.ptp(one.values)) == 0.0 for one in readings):
        raise TrainingRefusedError("it never changes")
    rhythm = forecast_season.learn(readings, forecast_season.step_of(readings))
    swing = _LEAST_SWING
    if len(rhythm.sizes) > 1:
        swing = float(np.clip(np.var(rhythm.sizes), _LEAST_SWING, _MOST_SWING))
    chosen = sorted(readings, key=lambda one: (-len(one.time), one.device))
    blocks = _blocks(chosen, rhythm, size)
    fitted = forecast_model.fit(blocks, swing)
    moves, total = fitted.moves, 1.0 + fitted.moves.passing
    moves = moves._replace(
        wander=max(moves.wander, _LEAST_MOVING * total), slope=max(moves.slope, _LEAST_MOVING * total)
    )
    return _Channel(rhythm, moves, swing, _spread(blocks, fitted.standardised))


def _blocks(readings: list[Readings], rhythm: Rhythm, size: int) -> list[Block]:
    """Of the devices with the most readings: the newest in a row, which tell what passes, and some of all, which tell
    what lasts; without outliers."""
    season = Season(Tables(rhythm.daily[None], rhythm.weekly[None], np.ones((1, 1))), np.ones(1))
    devices = readings[: _BLOCKS // 2]
    each = max(20, size // (2 * len(devices)))
    blocks = []
    for number, one in enumerate(devices):
        stride = max(1, len(one.time) // each)
        for rows in (
            np.arange(max(0, len(one.time) - each), len(one.time)),
            np.arange(0, len(one.time), stride)[-each:],
        ):
            time, values = one.time[rows], one.values[rows]
            wave = rhythm.sizes[number] * season.at(np.zeros(len(rows), np.intp), time)[0]
            blocks.append(Block(time, _without_outliers(values, wave), wave))
    return blocks


def _without_outliers(values: NDArray[np.float64], season: NDArray[np.float64]) -> NDArray[np.float64]:
    rest = values - season
    width = min(len(rest), 25)
    windows = np.lib.stride_tricks.sliding_window_view(
        np.pad(rest, (width // 2, width - 1 - width // 2), "edge"), width
    )
    away = np.abs(rest - np.median(windows, axis=1))
    usual = 1.4826 * float(np.median(away))
    return np.where(away > _OUTLIER * usual, np.nan, values) if usual > 0.0 else values


def _spread(blocks: list[Block], standardised: NDArray[np.float64]) -> NDArray[np.float64]:
    """(24,) scatter around each full hour, as a multiple of the usual one."""
    time = np.concatenate([one.time for one in blocks])
    known = ~np.isnan(standardised)
    hour = np.rint(time[known] / 3600.0).astype(np.intp) % _SPREAD_KNOTS
    square = np.minimum(standardised[known] ** 2, 9.0)
    overall = float(square.mean()) if len(square) else 1.0
    sums = np.bincount(hour, square, _SPREAD_KNOTS) + _SPREAD_PRIOR * overall
    counts = np.bincount(hour, minlength=_SPREAD_KNOTS) + _SPREAD_PRIOR
    return np.clip(np.sqrt(sums / counts / max(overall, 1e-12)), *_SPREAD)


def _detector(found: list[_Channel | None], interval: float) -> Forecast:
    """With limits that let everything pass, for the time being."""
    known = next(one for one in found if one is not None)
    steps = max(len(one.rhythm.daily) for one in found if one is not None)
    hours = max(len(one.rhythm.weekly) for one in found if one is not None)
    daily, weekly = np.zeros((len(found), steps)), np.zeros((len(found), hours))
    spread = np.ones((len(found), _SPREAD_KNOTS if steps % _SPREAD_KNOTS == 0 else 1))
    columns = {name: np.full(len(found), float(getattr(known.moves, name, known.swing))) for name in Dynamics._fields}
    columns["unit"][:] = 0.0
    for channel, one in enumerate(found):
        if one is None:
            continue
        # Kept with seven digits, which is what half of the bytes hold.
        daily[channel] = _knots(one.rhythm.daily, steps).astype(np.float32)
        weekly[channel] = _knots(one.rhythm.weekly, hours).astype(np.float32)
        if spread.shape[1] > 1:
            spread[channel] = one.spread.astype(np.float32)
        for name in Moves._fields:
            columns[name][channel] = getattr(one.moves, name)
        columns["swing"][channel] = one.swing
    limits = np.ones((len(found), VIEWS))
    return Forecast(Tables(daily, weekly, spread), Dynamics(**columns), limits, interval)


def _knots(table: NDArray[np.float64], wanted: int) -> NDArray[np.float64]:
    return np.interp(np.arange(wanted) / wanted, np.arange(len(table)) / len(table), table, period=1.0)


def _interval(by_channel: list[list[Readings]]) -> float:
    """Median seconds between readings of a device."""
    gaps = [np.diff(one.time) for readings in by_channel for one in readings if len(one.time) > 1]
    return float(np.clip(np.median(np.concatenate(gaps)), 1e-3, 7 * DAY))


def _usual(by_channel: list[list[Readings]]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(C,) 1st and 99th percentile of each channel; NaN for one that never reported."""
    found = np.full((2, len(by_channel)), np.nan)
    for channel, readings in enumerate(by_channel):
        if readings:
            found[:, channel] = np.percentile(np.concatenate([one.values for one in readings]), [1.0, 99.0])
    return found[0], found[1]


def _figures(names: tuple[str, ...], found: list[_Channel | None], refused: dict[str, str]) -> dict[str, Any]:
    channels = {
        name: {
            "noise": float(f"{one.moves.unit:.6g}"),
            "rhythm": "day and week" if one.rhythm.weeks else "day",
            "explained_by_season": one.rhythm.strength,
            "passing": round(float(np.sqrt(one.moves.passing)), 4),
            "passing_hours": round(24.0 * one.moves.passing_days, 3),
            "wander_per_day": round(float(np.sqrt(one.moves.wander)), 5),
            "trend_per_day": round(float(np.sqrt(one.moves.slope)), 5),
        }
        for name, one in zip(names, found, strict=True)
        if one is not None
    }
    return {"forecast": channels, "not_forecast": refused}
