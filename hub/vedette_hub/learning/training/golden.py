"""Golden readings of a trained model: what an artefact carries as proof."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vedette_hub.learning.cleaning import Series
from vedette_hub.learning.datasets import Dataset, shortened
from vedette_hub.learning.errors import TrainingRefusedError
from vedette_models.detectors.base import Detector
from vedette_models.golden import Golden
from vedette_models.readings import ReadingBatch

GOLDEN_SERIES = 4
GOLDEN_VALUES = 8_192
"""Readings x channels that an artefact carries as proof, at most."""
_UNUSUAL = (3.0, 10.0, 30.0)
"""Golden readings beyond the usual range by so many times its width, which normal data does not have."""


def record(
    dataset: Dataset, detector: Detector, low: NDArray[np.float64], high: NDArray[np.float64], *, full: int
) -> Golden:
    """Readings of the longest series, each with unusual ones at its end, and what the detector says of them.

    `low` and `high` (C,) say between which values each channel usually is; NaN for one that never reported. A series
    gives `full` readings of every channel and a few more, twice as many readings at most.

    Raises:
        TrainingRefusedError: all of them score 0.
    """
    each = 2 * full
    room = max(1, GOLDEN_VALUES // (len(low) * (each + len(_UNUSUAL))))
    longest = sorted(dataset.series, key=lambda one: (-len(one), one.device, float(one.times[0])))
    parts = [_with_unusual(_newest(one, full, each), low, high) for one in longest[: min(GOLDEN_SERIES, room)]]
    batch = ReadingBatch.of(
        np.repeat(np.arange(len(parts)), [len(part) for part in parts]),
        np.concatenate([part.times for part in parts]),
        # Rounded, which takes nothing from the proof, and half of the bytes.
        np.concatenate([part.values for part in parts]).astype(np.float32),
    )
    try:
        return Golden.recorded(detector, batch)
    except ValueError as error:
        raise TrainingRefusedError(f"profile {dataset.source.profile!r}: {error}") from error


def _newest(series: Series, full: int, at_most: int) -> Series:
    """The newest readings in which every channel has reported `full` times and a little more.

    Not one more than that: a gateway replays them one after the other at every activation.
    """
    reported = np.cumsum(~np.isnan(series.values[::-1]), axis=0)
    readings = max(int(np.searchsorted(column, full + 2)) + 1 for column in reported.T)
    return shortened(series, min(readings, at_most))


def _with_unusual(series: Series, low: NDArray[np.float64], high: NDArray[np.float64]) -> Series:
    # A channel that never reported has nothing to be unusual against, and goes on not reporting.
    beyond = [high + far * (high - low + 1e-6 * np.abs(high)) for far in _UNUSUAL]
    times = series.times[-1] + np.arange(1.0, 1.0 + len(beyond))
    return Series(series.device, np.concatenate([series.times, times]), np.concatenate([series.values, beyond]))
