"""Scores of `ensemble` where `mahalanobis` is a member beside those that judge windows."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from vedette_models.detectors.vector_detector import EXPLAINED, VectorScores

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vedette_models.detectors.base import Finding
    from vedette_models.detectors.ensemble import Ensemble
    from vedette_models.detectors.mahalanobis_scores import MahalanobisScores

_WEIGHT = 4
"""Power of a surprise that says how much it counts, as where surprises are combined."""


class EnsembleScores(VectorScores):
    """Scores of a batch of N readings with C channels; shares and findings are worked out only when asked for."""

    def __init__(
        self,
        detector: Ensemble,
        vectors: NDArray[np.float64],
        known: NDArray[np.bool_],
        windows: NDArray[np.float64],
        said: NDArray[np.float64],
        seen: MahalanobisScores,
    ) -> None:
        """`windows` and `said` (N,): surprises of the members that judge windows, and of `mahalanobis`."""
        super().__init__(detector, vectors, known, detector.scale_together(windows, said))
        self._ensemble, self._windows, self._said, self._seen = detector, windows, said, seen

    @cached_property
    def _shares(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(N, C) what each channel adds by its window, and by what `mahalanobis` says of it."""
        windows, together = self._window_shares(), np.zeros(self._known.shape)
        rows = np.flatnonzero((self._said > 0.0) & (self.total >= EXPLAINED))
        if not len(rows):
            return windows, together
        said, own = self._said[rows] ** _WEIGHT, self._windows[rows] ** _WEIGHT
        counts = np.where(self._known[rows].any(axis=1), said / (said + own), 1.0)
        blame = self._seen.by_channel[rows]
        together[rows] = blame * (counts * self.total[rows] / blame.sum(axis=1))[:, None]
        windows[rows] *= (1.0 - counts)[:, None]
        return windows, together

    @cached_property
    def by_channel(self) -> NDArray[np.float64]:
        """(N, C) each channel's share of scores from EXPLAINED on; 0 for lower ones."""
        windows, together = self._shares
        return windows + together

    def finding(self, row: int, channel: int) -> Finding | None:
        """Why `by_channel[row, channel]` is what it is, by whichever adds more; None where it is 0."""
        windows, together = self._shares
        if together[row, channel] > windows[row, channel]:
            return self._seen.finding(row, channel)
        return super().finding(row, channel)

    def _scale(self, vectors: NDArray[np.float64], rows: NDArray[np.intp]) -> NDArray[np.float64]:
        return self._ensemble.scale_together(self._ensemble.combination.surprises(vectors), self._said[rows])
