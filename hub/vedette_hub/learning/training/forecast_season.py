"""Season: readings of many devices, in pieces → what is usual at a time of the day and of the week. Pure.

Each device's readings are averaged on a grid, brought to a common level and size, and laid on top of each other; what
is missing is filled in; STL (R. B. Cleveland et al., STL: a seasonal-trend decomposition procedure based on loess,
Journal of Official Statistics 6, 1990) of statsmodels takes the season out, robustly.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from statsmodels.tsa.seasonal import STL

from vedette_hub.learning.errors import TrainingRefusedError
from vedette_models.detectors.forecast_season import DAY, MAX_WEEKLY, WEEK

STEPS = (900.0, 1800.0, 3600.0, 7200.0, 10_800.0, 21_600.0)
"""Seconds between the knots of a day: the shortest that a device reports in."""
MOST_WEEKS = 12
"""Older readings are left out."""
MOST_DEVICES = 64
"""Devices with the most readings, which the season is learnt from."""
SEEN = 0.75
"""Share of the times of a day (week) that must have been seen in two days (weeks)."""
_SIZES = (0.2, 5.0)
"""A device's season counts as so much smaller or larger than the profile's at most."""
_PASSES = 3


class Readings(NamedTuple):
    """All readings of one channel of one device, in order of time."""

    device: str
    time: NDArray[np.float64]
    values: NDArray[np.float64]
    """Finite."""


class Rhythm(NamedTuple):
    """One channel's season, and how each device relates to it."""

    daily: NDArray[np.float64]
    """(D,) knots of a day."""
    weekly: NDArray[np.float64]
    """(168,) what comes on top of it in a week, or (1,) of zero where that could not be learnt."""
    sizes: NDArray[np.float64]
    """By device of those it was learnt from: the size of its season."""
    strength: float
    """Share of the variance around the trend that the season explains (X. Wang, K. Smith, R. Hyndman 2006)."""
    weeks: bool
    """Whether the week was learnt."""


def step_of(readings: Sequence[Readings]) -> float:
    """Seconds between knots.

    Raises:
        TrainingRefusedError: readings are too rare for a day's rhythm.
    """
    gaps = np.concatenate([np.diff(one.time) for one in readings if len(one.time) > 1] or [np.empty(0)])
    usual = float(np.median(gaps)) if len(gaps) else np.inf
    for step in STEPS:
        if usual <= 1.05 * step:
            return step
    raise TrainingRefusedError(
        f"a reading every {usual / 3600.0:.3g} hours says nothing about the time of the day; one in six hours is needed"
    )


def learn(readings: Sequence[Readings], step: float) -> Rhythm:
    """The season of one channel.

    Raises:
        TrainingRefusedError: less than two days, or too little of the day has been seen twice.
    """
    newest = max(float(one.time[-1]) for one in readings)
    first = np.floor(max(min(float(one.time[0]) for one in readings), newest - MOST_WEEKS * WEEK) / WEEK) * WEEK
    chosen = sorted(readings, key=lambda one: (-len(one.time), one.device))[:MOST_DEVICES]
    cells = int((newest - first) / step + 0.5) + 1
    grid = np.array([_averaged(one, first, step, cells) for one in chosen])
    day, week = round(DAY / step), round(WEEK / step)
    present = ~np.isnan(grid)
    seen = np.flatnonzero(present.any(axis=0))
    span = (seen[-1] - seen[0] + 1) * step
    covered = _covered(seen, day)
    if span < 1.99 * DAY or covered < SEEN:
        raise TrainingRefusedError(
            f"the readings span {span / DAY:.1f} days, and {100 * covered:.0f} % of the times of a day have been seen "
            f"on two days; two whole days are needed, and {100 * SEEN:.0f} %"
        )
    weeks = span >= 1.99 * WEEK and _covered(np.unique(seen * step // 3600.0).astype(np.intp), MAX_WEEKLY) >= SEEN
    period = week if weeks else day
    offsets = np.array([np.nanmedian(row) for row in grid])
    spreads = np.array([np.subtract(*np.nanpercentile(row, [90, 10])) for row in grid])
    typical = np.median(spreads[spreads > 0.0]) if (spreads > 0.0).any() else 1.0
    sizes = np.clip(np.where(spreads > 0.0, spreads / typical, 1.0), *_SIZES)
    for _ in range(_PASSES if len(grid) > 1 else 1):
        pooled = _pooled((grid - offsets[:, None]) / sizes[:, None])
        table, rest = _decomposed(pooled, seen, period, day)
        offsets, sizes = _related(grid, np.resize(table, cells), sizes)
    return _rhythm(table, rest, sizes, day, weeks, step, span)


def _averaged(one: Readings, first: float, step: float, cells: int) -> NDArray[np.float64]:
    newer = one.time >= first
    # Around the knots, so that what is reported on the hour stands there.
    place = np.minimum((one.time[newer] - first) / step + 0.5, cells - 1).astype(np.intp)
    counts = np.bincount(place, minlength=cells)
    sums = np.bincount(place, one.values[newer], cells)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def _covered(cells: NDArray[np.intp], period: int) -> float:
    """Share of the phases that stand in two periods at least."""
    return float((np.bincount(cells % period, minlength=period) >= 2).mean())


def _pooled(normed: NDArray[np.float64]) -> NDArray[np.float64]:
    """(cells,) the median of the devices that reported; NaN where none did."""
    pooled = np.full(normed.shape[1], np.nan)
    some = ~np.isnan(normed).all(axis=0)
    pooled[some] = np.nanmedian(normed[:, some], axis=0)
    return pooled


def _decomposed(
    pooled: NDArray[np.float64], seen: NDArray[np.intp], period: int, day: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """((period,) season from the beginning of a week or day, (cells,) what is left; NaN where nothing was seen)."""
    start, end = int(seen[0]), int(seen[-1]) + 1
    filled = _filled(pooled[start:end], start, day)
    jump = max(1, period // 10)
    found = STL(
        filled,
        period=period,
        seasonal=10 * len(filled) + 1,  # the season is the same in every period
        seasonal_deg=0,
        robust=True,
        trend_jump=jump,
        low_pass_jump=jump,
    ).fit()
    phase = np.arange(start, end) % period
    table = np.bincount(phase, found.seasonal, period) / np.maximum(np.bincount(phase, minlength=period), 1)
    table -= table.mean()
    rest = np.full(len(pooled), np.nan)
    rest[start:end] = np.where(np.isnan(pooled[start:end]), np.nan, found.resid)
    return table, rest


def _filled(values: NDArray[np.float64], start: int, day: int) -> NDArray[np.float64]:
    """Gaps filled with the usual time of the day, on a straight line from side to side."""
    cells = np.arange(len(values))
    known = ~np.isnan(values)
    phase = (cells + start) % day
    overall = float(np.median(values[known]))
    usual = np.full(day, overall)
    for place in np.unique(phase[known]):
        usual[place] = np.median(values[known & (phase == place)])
    base = np.interp(cells, cells[known], (values - usual[phase])[known])
    return np.where(known, values, base + usual[phase])


def _related(
    grid: NDArray[np.float64], season: NDArray[np.float64], sizes: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(level, size of the season) of each device, by least squares; a device that has seen little keeps its size."""
    offsets, found = np.empty(len(grid)), sizes.copy()
    for row, values in enumerate(grid):
        known = ~np.isnan(values)
        wave = season[known] - season[known].mean()
        power = float(wave @ wave)
        if power > 0.25 * float(season.var()) * known.sum() and len(grid) > 1:
            found[row] = float(wave @ values[known]) / power
    found = np.clip(found, *_SIZES)
    found /= np.median(found)
    found = np.clip(found, *_SIZES)
    for row, values in enumerate(grid):
        offsets[row] = np.nanmedian(values - found[row] * season)
    return offsets, found


def _rhythm(
    table: NDArray[np.float64],
    rest: NDArray[np.float64],
    sizes: NDArray[np.float64],
    day: int,
    weeks: bool,
    step: float,
    span: float,
) -> Rhythm:
    """Day and week apart, each shrunk by what chance alone would leave in it (W. James, C. Stein 1961)."""
    known = rest[~np.isnan(rest)]
    noise = float(np.var(np.clip(known, *np.percentile(known, [1, 99]))))
    daily = table.reshape(-1, day).mean(axis=0)
    weekly = np.zeros(1)
    if weeks:
        left = table - np.resize(daily, len(table))
        weekly = np.interp(np.arange(MAX_WEEKLY) / MAX_WEEKLY, np.arange(len(left)) / len(left), left, period=1.0)
        if step < 3600.0:
            weekly = _half_an_hour_around(left, round(3600.0 / step))
        weekly = weekly * _kept(weekly, _hourly(rest, step) / max(1.0, span / WEEK))
    daily = daily * _kept(daily, noise / max(1.0, span / DAY))
    explained = float(np.var(daily)) + float(np.var(weekly))
    strength = explained / (explained + noise) if explained > 0.0 else 0.0
    return Rhythm(daily, weekly, sizes, round(strength, 4), weeks)


def _half_an_hour_around(left: NDArray[np.float64], per_hour: int) -> NDArray[np.float64]:
    """(168,) means around each full hour, of knots `per_hour` to the hour; the outermost count half."""
    reach = per_hour // 2
    weights = np.ones(2 * reach + 1)
    weights[[0, -1]] = 0.5
    moved = [np.roll(left, -by)[::per_hour] for by in range(-reach, reach + 1)]
    around: NDArray[np.float64] = np.average(moved, axis=0, weights=weights)
    return around


def _hourly(rest: NDArray[np.float64], step: float) -> float:
    """Variance of hourly means of what is left."""
    per_hour = max(1, round(3600.0 / step))
    whole = rest[: len(rest) // per_hour * per_hour].reshape(-1, per_hour)
    means = whole[~np.isnan(whole).any(axis=1)].mean(axis=1)
    return float(np.var(np.clip(means, *np.percentile(means, [1, 99])))) if len(means) > 1 else 0.0


def _kept(knots: NDArray[np.float64], chance: float) -> float:
    variance = float(np.var(knots))
    return max(0.0, 1.0 - chance / variance) if variance > 0.0 else 0.0
