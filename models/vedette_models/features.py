"""Windowed features: columnar sliding windows of readings into vectors, by the same code in training and in scoring."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vedette_models.columns import Column, Columnar, Columns
from vedette_models.detectors.base import StateError
from vedette_models.rounds import rounds
from vedette_models.windows import Windows

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from vedette_models.readings import ReadingBatch

FEATURES = ("mean", "deviation", "minimum", "maximum", "last minus mean", "mean step")
"""Of each channel, over its last `width` readings: mean, standard deviation (of the population), smallest, largest, the
newest reading minus the mean, and the mean absolute difference of neighbouring readings."""
AS_THEY_ARE = ("value",)
"""Of a window of a single reading: the reading itself, for vectors that somebody else has worked out."""
_CHUNK = 1024
"""Series worked on at a time, which bounds the memory that is needed."""


def features_of(width: int) -> tuple[str, ...]:
    """What is computed of a window of so many readings."""
    return FEATURES if width > 1 else AS_THEY_ARE


class WindowFeatures(Columnar):
    """Sliding windows of the last `width` readings per channel of each device, and their `features_of(width)`.

    Computed from the window itself, centred on its newest reading, so that nothing drifts and small changes on a large
    offset keep their digits.

    >>> from vedette_models.readings import ReadingBatch
    >>> features = WindowFeatures(channels=1, width=3, devices=1)
    >>> features.update(ReadingBatch.of([0] * 4, range(4), [[1.0], [2.0], [3.0], [5.0]]))[-1].round(2).tolist()
    [3.33, 1.25, 2.0, 5.0, 1.67, 1.5]
    """

    def __init__(self, channels: int, width: int, devices: int = 0) -> None:
        if width < 1:
            raise ValueError(f"a window needs at least 1 reading, got {width}")
        layout = {"count": Column(dtype=np.int64), "readings": Windows.column(width)}
        self.width = width
        self.features = features_of(width)
        super().__init__(Columns(layout, channels, devices))

    def _bind(self) -> None:
        self._count: NDArray[np.int64] = self._arrays["count"]
        self._windows = Windows(self._arrays["readings"], self.width)

    def names(self, channels: Sequence[str]) -> tuple[str, ...]:
        """What each column of a vector says, for channels of these names.

        >>> WindowFeatures(channels=1, width=3).names(["pressure"])[:2]
        ('pressure mean', 'pressure deviation')
        """
        if len(channels) != self.channels:
            raise ValueError(f"{len(channels)} names for {self.channels} channels")
        return tuple(f"{channel} {feature}" for channel in channels for feature in self.features)

    def update(self, batch: ReadingBatch) -> NDArray[np.float64]:
        """Enter the readings and return the vector after each: (N, channels x features), a channel's side by side.

        The features of a channel are NaN until it has had `width` readings. A channel that a reading does not report
        keeps its window, and its features are those of the readings it last had.

        Raises:
            ValueError: columns that do not fit together or another number of channels, an infinite value, a time that
                is not finite, or a device row there is no room for. Nothing is entered then.
        """
        values, complete = self._columns.checked(batch)
        vectors = np.empty((len(batch.device), self.channels, len(self.features)))
        across = np.arange(self.channels)
        at_once = max(1, _CHUNK // self.channels)
        for part in rounds(batch.device):
            for first in range(0, len(part), at_once):
                rows = part[first : first + at_once]
                series = (batch.device[rows, None] * self.channels + across).reshape(-1)
                x = values[rows].reshape(-1)
                reported = series if complete else series[x == x]
                self._windows.append(reported, self._count[reported], x if complete else x[x == x])
                self._count[reported] += 1
                count = self._count[series]
                if np.maximum.reduce(count) < self.width:
                    vectors[rows] = np.nan
                    continue
                window = self._windows.last(series, count)
                values_of = window if self.width == 1 else _features(window)
                vectors[rows] = values_of.reshape(len(rows), self.channels, -1)
        return vectors.reshape(len(vectors), self.channels * len(self.features))

    def _check(self, state: Mapping[str, NDArray[np.generic]]) -> None:
        if (np.asarray(state["count"], np.int64) < 0).any():
            raise StateError('saved array "count" must not be negative')


def _features(window: NDArray[np.float64]) -> NDArray[np.float64]:
    """(R, width) readings, oldest first -> (R, 6) FEATURES; NaN where a window is not full."""
    features = np.empty((len(window), len(FEATURES)))
    width, newest = window.shape[1], window[:, -1]
    centred = window - newest[:, None]
    offset = np.add.reduce(centred, axis=1) / width
    np.add(newest, offset, out=features[:, 0])
    np.minimum.reduce(window, axis=1, out=features[:, 2])
    np.maximum.reduce(window, axis=1, out=features[:, 3])
    np.negative(offset, out=features[:, 4])
    steps = np.abs(window[:, 1:] - window[:, :-1])
    np.divide(np.add.reduce(steps, axis=1), width - 1, out=features[:, 5])
    centred -= offset[:, None]
    centred *= centred
    np.sqrt(np.add.reduce(centred, axis=1) / width, out=features[:, 1])
    return features
