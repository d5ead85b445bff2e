"""Limits: how far each view may deviate, so that normal time alerts as seldom as the budget says."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vedette_hub.learning.datasets import Dataset
from vedette_hub.learning.training.boundary import boundary
from vedette_hub.learning.training.trained import Settings
from vedette_models.detectors.forecast import Forecast
from vedette_models.detectors.forecast_views import VIEWS
from vedette_models.readings import ReadingBatch

MOST_READINGS = 20_000
"""Readings of each device that are replayed, the newest: they follow one another, which takes time."""
LEAST_LIMIT = (4.0, 4.0, 3.75, 3.5, 3.5, 3.0)
"""By view, in standard deviations, however quiet the training time was: the slower a view, the seldomer it can err."""
MOST_LIMIT = 40.0
_TAIL = 2.0
"""A limit is at most so many times what one reading in a thousand exceeds: rare faults in the data must not set it."""
MOST_WIDENING = 1.5


class Replayed(NamedTuple):
    """What the views saw of the newest readings."""

    deviations: NDArray[np.float64]
    """(VIEWS, M, C) without their signs."""
    series: NDArray[np.intp]
    """(M,) which series, ..."""
    position: NDArray[np.intp]
    """(M,) ... and which reading of it."""
    device: NDArray[np.intp]
    time: NDArray[np.float64]
    learnable: NDArray[np.bool_]

    def scores(self, dataset: Dataset, limits: NDArray[np.float64]) -> NDArray[np.float64]:
        """(N,) scores of the dataset's vectors, by their newest readings; 0 for those that were not replayed."""
        total = (self.deviations / limits.T[:, None, :]).max(axis=(0, 2))
        first = np.cumsum([0, *(len(one) for one in dataset.series)])
        of_reading = np.zeros(int(first[-1]))
        of_reading[first[self.series] + self.position] = total
        return of_reading[first[dataset.vectors.series] + dataset.vectors.position]


def replayed(dataset: Dataset, detector: Forecast) -> Replayed:
    """Run every device's newest readings through a detector that knows none of them."""
    names = {name: number for number, name in enumerate(dataset.devices)}
    lengths = [len(one) for one in dataset.series]
    series = np.repeat(np.arange(len(lengths)), lengths)
    position = np.concatenate([np.arange(length) for length in lengths])
    device = np.repeat([names[one.device] for one in dataset.series], lengths)
    time = np.concatenate([one.times for one in dataset.series])
    values = np.concatenate([one.values for one in dataset.series])
    learnable = np.concatenate(dataset.learnable)
    order = np.lexsort((time, device))
    last = np.searchsorted(device[order], np.arange(len(names)), side="right")
    order = order[last[device[order]] - np.arange(len(order)) <= MOST_READINGS]
    detector.resize(max(detector.devices, len(names)))
    found = detector.score(ReadingBatch.of(device[order], time[order], values[order])).deviations
    detector.forget(np.arange(len(names)))
    return Replayed(np.abs(found), series[order], position[order], device[order], time[order], learnable[order])


def draw_limits(run: Replayed, dataset: Dataset, settings: Settings) -> NDArray[np.float64]:
    """(C, VIEWS) limits; the budget of alerts is shared evenly between channels and views, then met by all together."""
    rows = np.flatnonzero(run.learnable)
    seen, device, time = run.deviations[:, rows], run.device[rows], run.time[rows]
    channels = seen.shape[2]
    watched = dataset.device_seconds * len(rows) / max(1, dataset.readings)
    share = settings.alerts_per_week / (VIEWS * channels)
    limits = np.empty((channels, VIEWS))
    for (channel, view), _ in np.ndenumerate(limits):
        z = seen[view, :, channel]
        least = LEAST_LIMIT[view]
        usual = _TAIL * float(np.quantile(z, 0.999)) if len(z) else least
        found = boundary(z, device, time, watched, share) if len(z) else least
        limits[channel, view] = np.clip(min(found, max(usual, least)), least, MOST_LIMIT)
    if not len(rows):
        return limits
    total = (seen / limits.T[:, None, :]).max(axis=(0, 2))
    if settings.contamination is not None:
        return np.clip(limits * float(np.quantile(total, 1.0 - settings.contamination)), 0.5, 1e3)
    widening = boundary(total, device, time, watched, settings.alerts_per_week)
    return limits * float(np.clip(widening, 1.0, MOST_WIDENING))
