"""Labels: what people said about alerts moves the boundary, as far as they do not contradict each other."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from vedette_hub.learning.datasets import Dataset
from vedette_hub.learning.episodes import episodes
from vedette_hub.learning.training.threshold import devices_and_times

MARGIN = 1e-6
"""How far above an excused score the boundary lies, in units of how far scores are spread."""


def with_labels(
    dataset: Dataset,
    limit: float,
    scores: Callable[[NDArray[np.bool_]], NDArray[np.float64]],
    spread: float,
    highest: float = np.inf,
) -> float:
    """The boundary `limit`, raised above what was labelled false or normal; see `lifted`.

    `scores` gives those of some of the dataset's vectors (N,), high for anomalous ones; `spread` is how far scores are
    usually apart; `highest` is a boundary at which a model has nothing to say any more.
    """
    if not dataset.excused.any():
        return limit
    peaks = np.empty(0)
    if dataset.anomalous.any():
        rows = np.flatnonzero(dataset.anomalous)
        number = episodes(*devices_and_times(dataset, rows))
        peaks = np.full(int(number.max()) + 1, -np.inf)
        np.maximum.at(peaks, number, scores(dataset.anomalous))
    return lifted(limit, scores(dataset.excused), np.append(peaks, highest), MARGIN * spread)


def lifted(limit: float, excused: NDArray[np.float64], peaks: NDArray[np.float64], margin: float) -> float:
    """The boundary raised above the scores `excused` (E,) that it need not alert on, as far as it still finds what it
    found: the `peaks` (P,) of what is known to be anomalous.

    >>> lifted(1.0, np.array([0.9, 1.2]), np.array([3.0]), 0.0)
    1.2
    >>> lifted(1.0, np.array([0.9, 1.2, 4.0]), np.array([3.0]), 0.0)
    1.2
    """
    ceiling = float(peaks[peaks > limit].min(initial=np.inf))
    silenced = excused[(excused > limit) & (excused + 2.0 * margin < ceiling)]
    return float(silenced.max()) + margin if len(silenced) else limit
