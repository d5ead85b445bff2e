"""Threshold: where training puts the boundary between usual and anomalous vectors."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vedette_hub.learning.datasets import Dataset
from vedette_hub.learning.training.boundary import boundary
from vedette_hub.learning.training.trained import Settings

MOST_BEYOND = 0.01
"""At most this share of the training vectors lies beyond the boundary, however many alerts are allowed."""


def threshold(dataset: Dataset, settings: Settings, rows: NDArray[np.intp], scores: NDArray[np.float64]) -> float:
    """The score (high = anomalous) that vectors exceed as seldom as is allowed; `rows` (R,) says which of those trained
    with they are.

    That is what the budget of alerts allows, and never more than a hundredth of the vectors; or the share asked for.
    Vectors of alerts labelled false do not count here: `labels` moves the boundary above them where that does no harm.
    """
    if settings.contamination is not None:
        return float(np.quantile(scores, 1.0 - settings.contamination))
    chosen = np.flatnonzero(dataset.trained)[rows]
    plain = ~dataset.excused[chosen]
    if plain.any():
        chosen, scores = chosen[plain], scores[plain]
    device, time = devices_and_times(dataset, chosen)
    watched = dataset.device_seconds * len(chosen) / dataset.windows
    limit = boundary(scores, device, time, watched, settings.alerts_per_week)
    return max(limit, float(np.quantile(scores, 1.0 - MOST_BEYOND)))


def devices_and_times(dataset: Dataset, rows: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Number of the device, and time of the newest reading, of these vectors (R,)."""
    vectors = dataset.vectors
    names = {name: number for number, name in enumerate(dataset.devices)}
    device = np.array([names[one.device] for one in dataset.series])
    first = np.cumsum([0, *(len(one) for one in dataset.series)])[:-1]
    times = np.concatenate([one.times for one in dataset.series])
    return device[vectors.series[rows]], times[first[vectors.series[rows]] + vectors.position[rows]]
