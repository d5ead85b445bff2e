"""`mahalanobis` as a member of an ensemble: what its scores mean, and what it finds of made-up faults."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vedette_hub.learning.datasets import Dataset
from vedette_hub.learning.training import mahalanobis
from vedette_hub.learning.training.power import Faults
from vedette_hub.learning.training.trained import Settings, Trained
from vedette_models.detectors.mahalanobis import Mahalanobis
from vedette_models.detectors.mahalanobis_progress import SHORTEST_REGIME, weight

WARM_UP = 3
"""Windows of readings before that of a made-up fault: longer ago, nothing of what is smoothed remembers."""


class Follower(NamedTuple):
    """`mahalanobis` as trained on the same data."""

    detector: Mahalanobis
    trained: Trained
    faulty: NDArray[np.float64]
    """(D,) scores at the end of each made-up fault."""

    @property
    def scores(self) -> NDArray[np.float64]:
        """(N,) of all vectors of the dataset, each of which a device's own past had led up to."""
        return self.trained.scores


def follow(dataset: Dataset, settings: Settings, faults: Faults) -> Follower:
    """Train it; the made-up faults count rows of what is trained with.

    Raises:
        TrainingRefusedError: there is nothing to judge together.
    """
    trained = mahalanobis.train(dataset, settings._replace(contamination=None), lambda done, what: None)
    detector = trained.detector
    assert isinstance(detector, Mahalanobis)  # noqa: S101  # what `mahalanobis` trains
    fresh = Mahalanobis(detector.channels, start=detector.start, learns=False)
    return Follower(fresh, trained, _faulty(dataset, fresh, faults))


def _faulty(dataset: Dataset, detector: Mahalanobis, faults: Faults) -> NDArray[np.float64]:
    start, width = detector.start, dataset.width
    assert start is not None  # noqa: S101  # it has been trained
    rows = np.flatnonzero(dataset.trained)[faults.row]
    number, position = dataset.vectors.series[rows], dataset.vectors.position[rows]
    short = []
    for i in range(len(rows)):
        whole, end = dataset.series[number[i]], int(position[i]) + 1
        first = max(0, end - (1 + WARM_UP) * width)
        values = whole.values[first:end].copy()
        values[-width:, faults.channel[i]] += faults.shift[i]
        short.append(replace(whole, times=whole.times[first:end], values=values, marks=None))
    far = mahalanobis.t_squared(start, short, mahalanobis.smooth(short))
    ends = np.array([one[-1] for one in mahalanobis.smoothed_t_squared(far, start.reach)])
    counts = weight(np.array([float(min(start.readings, SHORTEST_REGIME))]))
    return np.asarray(ends / start.reach * counts)
