"""Baselines for T²: shrunk correlations from scikit-learn, exported as arrays, for devices to begin with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import sklearn.covariance
from numpy.typing import NDArray

from vedette_hub.learning.cleaning import Note, Series
from vedette_hub.learning.datasets import Dataset
from vedette_hub.learning.errors import TrainingRefusedError
from vedette_hub.learning.training.golden import record
from vedette_hub.learning.training.labels import with_labels
from vedette_hub.learning.training.parity import Parity, prove
from vedette_hub.learning.training.threshold import threshold
from vedette_hub.learning.training.trained import Settings, Tell, Trained
from vedette_models.detectors.mahalanobis import FEWEST, Mahalanobis, smoothed
from vedette_models.detectors.mahalanobis_baseline import (
    CONSTANT,
    MOST_DRIFT,
    SELDOM,
    SMALLEST,
    WORDS,
    LeftOut,
    distance,
)
from vedette_models.detectors.mahalanobis_progress import (
    SHORTEST_REGIME,
    T_SQUARED_SMOOTHING,
    least_reach,
    tempered,
    weight,
)
from vedette_models.detectors.mahalanobis_scores import SIGMAS
from vedette_models.detectors.mahalanobis_start import MAX_CHANNELS, Start

STRETCHES = 12
"""Parts of a series whose means say whether it drifts."""
SHORTEST = 8 * STRETCHES
"""Readings of a series from which it is asked."""
ROWS_PER_CHANNEL = 20
"""Readings that correlations need, for each channel."""
_GOLDEN_READINGS = 24
_ROUNDS = 3
"""How often the reach and the T² that is tempered by it are worked out from each other: they settle at once."""


class Taught(NamedTuple):
    """A baseline of C channels, and what it was made of."""

    start: Start
    fitted: sklearn.covariance.LedoitWolf
    rows: NDArray[np.float64]
    """(N, U) smoothed readings of the channels that are judged, in which all of them were reported."""
    left_out: NDArray[np.uint8]
    """(C,) LeftOut."""


def train(dataset: Dataset, settings: Settings, tell: Tell) -> Trained:
    """Train on the readings at the end of windows that are neither held out nor known to be anomalous.

    Raises:
        TrainingRefusedError: fewer than two channels that can be judged together, too few readings in which all of
            them are reported, or the export scores differently.
    """
    tell(0.0, "smoothing")
    series, vectors = dataset.series, dataset.vectors
    chosen = [np.zeros(len(one), np.bool_) for one in series]
    for number, position in zip(vectors.series[dataset.trained], vectors.position[dataset.trained], strict=True):
        chosen[number][position] = True
    levels = smooth(series)
    tell(0.4, "training")
    try:
        taught = teach(series, levels, chosen, drifting(series), dataset.source.channels)
    except ValueError as error:
        raise TrainingRefusedError(f"profile {dataset.source.profile!r}: {error}") from error
    tell(0.6, "drawing the boundary")
    far = t_squared(taught.start, series, levels)
    reach, rows = 1.0, np.arange(int(dataset.trained.sum()))
    for _ in range(_ROUNDS):
        by_series = smoothed_t_squared(far, reach)
        scores = np.concatenate(by_series)[_positions(dataset)]
        reach = threshold(dataset, settings, rows, scores[dataset.trained])
        if settings.contamination is None:
            reach = with_labels(dataset, reach, scores.__getitem__, float(np.std(scores)))
        reach = max(reach, float(least_reach(np.array([taught.rows.shape[1]]))[0]))
    start = taught.start._replace(reach=reach)
    tell(0.7, "proving that it scores like scikit-learn")
    parity = proved(taught, reach, dataset.seed)
    detector = Mahalanobis(len(dataset.source.channels), start=start)
    tell(0.8, "recording golden readings")
    wide = SIGMAS * start.scatter
    seen = taught.left_out != LeftOut.NEVER_REPORTED
    low, high = (np.where(seen, start.location + side * wide, np.nan) for side in (-1.0, 1.0))
    golden = record(dataset, detector, low, high, full=_GOLDEN_READINGS)
    counts = weight(np.array([float(min(start.readings, SHORTEST_REGIME))]))
    figures = _figures(dataset, taught, reach)
    notes = tuple(Note("channel", name, 0, f"{why}: left out") for name, why in figures["left_out"].items())
    return Trained(detector, golden, parity, scores / reach * counts, figures, notes)


def smooth(series: Sequence[Series]) -> list[NDArray[np.float64]]:
    """The smoothed readings of each series, (R, C) as on a gateway; NaN before a channel is first reported."""
    found = [np.full(one.values.shape, np.nan) for one in series]
    order = np.argsort([-len(one) for one in series], kind="stable")
    lengths = np.array([len(series[i]) for i in order])
    level = np.zeros((len(order), series[0].values.shape[1]))
    seen = np.zeros(level.shape, np.bool_)
    for step in range(int(lengths[0])):
        there = order[: int(np.searchsorted(-lengths, -step, side="left"))]
        n = len(there)
        x = np.stack([series[i].values[step] for i in there])
        reported = ~np.isnan(x)
        level[:n] = smoothed(level[:n], x, seen[:n], reported)
        seen[:n] |= reported
        for row, i in enumerate(there):
            found[i][step] = np.where(seen[row], level[row], np.nan)
    return found


def drifting(series: Sequence[Series]) -> NDArray[np.bool_]:
    """(C,) channels that drift on most devices: whose stretches lie further apart than readings scatter in them."""
    asked = [one.values for one in series if len(one) >= SHORTEST]
    if not asked:
        return np.zeros(series[0].values.shape[1], np.bool_)
    ratios = []
    for values in asked:
        between, whole = _stretches(values)
        within = np.maximum(whole - between, between * 1e-12)
        ratio = np.sqrt(between / np.where(within > 0.0, within, 1.0))
        ratios.append(ratio / weight((~np.isnan(values)).sum(axis=0) + 1.0))
    return np.asarray(np.median(ratios, axis=0) > MOST_DRIFT)


def _stretches(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(C,) variance of the means of a series' stretches, and of all of it; 0 for a channel that reports too little."""
    between, whole = np.zeros(values.shape[1]), np.zeros(values.shape[1])
    for channel in np.flatnonzero((~np.isnan(values)).sum(axis=0) >= SHORTEST):
        x = values[~np.isnan(values[:, channel]), channel]
        x = x - x.mean()
        between[channel] = np.var([part.mean() for part in np.array_split(x, STRETCHES)])
        whole[channel] = np.var(x)
    return between, whole


def teach(
    series: Sequence[Series],
    levels: Sequence[NDArray[np.float64]],
    chosen: Sequence[NDArray[np.bool_]],
    drifts: NDArray[np.bool_],
    names: Sequence[str] | None = None,
) -> Taught:
    """A baseline of the `chosen` readings (R,) of each series with these smoothed `levels`; its reach is still 1.

    `names` are the channels', for errors.

    Raises:
        ValueError: fewer than two channels that can be judged together, more than 64, or too few readings.
    """
    values = np.concatenate([one.values[which] for one, which in zip(series, chosen, strict=True)])
    smooth_values = np.concatenate([one[which] for one, which in zip(levels, chosen, strict=True)])
    channels = values.shape[1]
    if channels > MAX_CHANNELS:
        raise ValueError(f"mahalanobis judges at most {MAX_CHANNELS} channels together, not {channels}")
    reported = ~np.isnan(values)
    count = reported.sum(axis=0)
    left_out = np.zeros(channels, np.uint8)
    location, scatter = np.zeros(channels), np.zeros(channels)
    for channel in np.flatnonzero(count):
        x = values[reported[:, channel], channel]
        location[channel], scatter[channel] = x.mean(), x.std()
    left_out[drifts] = LeftOut.DRIFTING
    left_out[scatter <= np.maximum(CONSTANT * np.abs(location), SMALLEST)] = LeftOut.CONSTANT
    left_out[count < SELDOM * len(values)] = LeftOut.SELDOM_REPORTED
    left_out[count == 0] = LeftOut.NEVER_REPORTED
    used = np.flatnonzero(left_out == LeftOut.JUDGED)
    called = list(names or (f"channel {number}" for number in range(1, channels + 1)))
    said = ", ".join(
        f"{called[channel]} {WORDS[LeftOut(left_out[channel])]}" for channel in np.flatnonzero(left_out).tolist()
    )
    if len(used) < FEWEST:
        raise ValueError(f"T² needs {FEWEST} channels to judge together, {len(used)} of {channels} are left ({said})")
    rows = smooth_values[reported[:, used].all(axis=1)][:, used]
    if len(rows) < ROWS_PER_CHANNEL * len(used):
        raise ValueError(
            f"{len(rows)} readings in which all {len(used)} channels are reported; "
            f"{ROWS_PER_CHANNEL * len(used)} are needed to know how they move together"
        )
    location[used] = rows.mean(axis=0)
    scale = np.zeros(channels)
    scale[used] = rows.std(axis=0)
    fitted = sklearn.covariance.LedoitWolf(assume_centered=True).fit((rows - location[used]) / scale[used])
    correlation = np.eye(channels)
    covariance = fitted.covariance_
    correlation[np.ix_(used, used)] = 0.5 * (covariance + covariance.T)
    wander = np.sqrt(np.median([_stretches(one.values)[0] for one in series], axis=0))
    start = Start(location, scale, scatter, wander, correlation, len(rows), 1.0)
    return Taught(start, fitted, rows, left_out)


def t_squared(
    start: Start, series: Sequence[Series], levels: Sequence[NDArray[np.float64]]
) -> list[NDArray[np.float64]]:
    """(R,) T² per channel of the readings of each series; NaN where none of the judged channels is reported."""
    used = start.scale > 0.0
    inverse_scale = np.where(used, 1.0 / np.where(used, start.scale, 1.0), 0.0)
    found = []
    for one, level in zip(series, levels, strict=True):
        reported = ~np.isnan(one.values)
        off = np.where(np.isnan(level), 0.0, (level - start.location) * inverse_scale)
        shape = (len(off), *start.correlation.shape)
        far = distance(off, np.broadcast_to(start.precision, shape), np.broadcast_to(used, off.shape), reported)
        found.append(np.where((reported & used).any(axis=1), far.t_squared, np.nan))
    return found


def smoothed_t_squared(far: Sequence[NDArray[np.float64]], reach: float) -> list[NDArray[np.float64]]:
    """The T² of each series, tempered by a reach and smoothed, as on a gateway that begins with this baseline."""
    found = []
    for one in far:
        into = np.where(np.isnan(one), np.nan, tempered(np.nan_to_num(one, nan=1.0), np.full(len(one), reach)))
        level, levels = 1.0, np.empty(len(one))
        for i, value in enumerate(into.tolist()):
            if value == value:
                level += T_SQUARED_SMOOTHING * (value - level)
            levels[i] = level
        found.append(levels)
    return found


def proved(taught: Taught, reach: float, seed: int) -> Parity:
    """How far the exported T² is from scikit-learn's, on smoothed readings around the boundary `reach`.

    Raises:
        TrainingRefusedError: they differ.
    """
    start, channels = taught.start, taught.rows.shape[1]
    used = np.flatnonzero(start.scale)

    def wanted(rows: NDArray[np.float64]) -> NDArray[np.float64]:
        off = (rows - start.location[used]) / start.scale[used]
        return np.asarray(reach - taught.fitted.mahalanobis(off) / channels)

    def exported(rows: NDArray[np.float64]) -> NDArray[np.float64]:
        values = np.full((len(rows), len(start.scale)), np.nan)
        values[:, used] = rows
        whole = Series("", np.arange(float(len(rows))), values)
        return reach - t_squared(start, [whole], [values])[0]

    return prove(wanted, exported, taught.rows, seed)


def _positions(dataset: Dataset) -> NDArray[np.intp]:
    """(N,) where the newest reading of each vector stands among those of all series."""
    first = np.cumsum([0, *(len(one) for one in dataset.series)])[:-1]
    return np.asarray(first[dataset.vectors.series] + dataset.vectors.position)


def _figures(dataset: Dataset, taught: Taught, reach: float) -> dict[str, Any]:
    names = dataset.source.channels
    return {
        "reach": round(reach, 6),
        "shrinkage": round(float(taught.fitted.shrinkage_), 6),
        "readings": len(taught.rows),
        "judged": [name for name, why in zip(names, taught.left_out, strict=True) if why == LeftOut.JUDGED],
        "left_out": {
            name: WORDS[LeftOut(why)] for name, why in zip(names, taught.left_out, strict=True) if why != LeftOut.JUDGED
        },
    }
