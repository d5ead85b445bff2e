"""Scores of a forecast: what the views saw of a batch, and its reasons in words, worked out only when asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from vedette_models.detectors import forecast_views as views
from vedette_models.detectors.base import Finding

if TYPE_CHECKING:
    from numpy.typing import NDArray

LARGEST_SCORE = 1e6


class _Part(NamedTuple):
    cells: NDArray[np.intp]
    """(R,) reading x channels + channel."""
    x: NDArray[np.float64]
    seen: views.Seen
    limits: NDArray[np.float64]
    """(VIEWS, R)"""


class ForecastScores:
    """Scores of a batch of N readings with C channels; bands and findings are worked out only when asked for."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.by_channel = np.zeros(shape)
        self._parts: list[_Part] = []
        self._where = np.full((2, shape[0] * shape[1]), -1, np.intp)
        """Of each cell: which part it is in, and where."""

    def take(
        self, cells: NDArray[np.intp], x: NDArray[np.float64], seen: views.Seen, limits: NDArray[np.float64]
    ) -> None:
        """Enter what was seen of some cells."""
        score = np.abs(seen.z[0]) / limits[0]
        for view in range(1, views.VIEWS):
            np.maximum(score, np.abs(seen.z[view]) / limits[view], out=score)
        self.by_channel.reshape(-1)[cells] = np.minimum(score, LARGEST_SCORE)
        self._where[0, cells] = len(self._parts)
        self._where[1, cells] = np.arange(len(cells))
        self._parts.append(_Part(cells, x, seen, limits))

    @property
    def total(self) -> NDArray[np.float64]:
        """(N,) the highest of a reading's channels: 1 at the boundary."""
        highest: NDArray[np.float64] = self.by_channel.max(axis=1, initial=0.0)
        return highest

    @property
    def expected(self) -> NDArray[np.float64]:
        """(N, C) expected values; NaN where nothing was known or reported."""
        return self._spread_out([part.seen.expected for part in self._parts])

    @property
    def half_band(self) -> NDArray[np.float64]:
        """(N, C) how far from them the band reaches to either side."""
        return self._spread_out([part.seen.deviation * part.limits[views.VALUE] for part in self._parts])

    @property
    def deviations(self) -> NDArray[np.float64]:
        """(VIEWS, N, C) by view, in standard deviations; 0 where nothing was known or reported."""
        n, channels = self.by_channel.shape
        found = np.zeros((views.VIEWS, n * channels))
        for part in self._parts:
            found[:, part.cells] = part.seen.z
        return found.reshape(views.VIEWS, n, channels)

    def _spread_out(self, pieces: list[NDArray[np.float64]]) -> NDArray[np.float64]:
        flat = np.full(self.by_channel.size, np.nan)
        for part, piece in zip(self._parts, pieces, strict=True):
            flat[part.cells] = piece
        return flat.reshape(self.by_channel.shape)

    def finding(self, row: int, channel: int) -> Finding | None:
        """Why `by_channel[row, channel]` is what it is; None where it is 0.

        The value, if that is beyond its band and counts at least half as much as what counts most.
        """
        if self.by_channel[row, channel] == 0.0:
            return None
        part, place = self._where[:, row * self.by_channel.shape[1] + channel].tolist()
        return _finding(self._parts[part], place)


def _finding(part: _Part, i: int) -> Finding:
    seen = part.seen
    score = np.abs(seen.z[:, i]) / part.limits[:, i]
    view = int(score.argmax())
    if score[views.VALUE] >= max(1.0, 0.5 * score[view]):
        view = views.VALUE
    centre, half = float(seen.centre[view, i]), float(seen.one[view, i] * part.limits[view, i])
    value = float(part.x[i]) if view == views.VALUE else centre + float(seen.z[view, i] * seen.one[view, i])
    low, high = centre - half, centre + half
    if view == views.SWING and low < 0.0 <= value:
        low = 0.0
    return Finding(views.ASPECTS[view], value, low, high)
