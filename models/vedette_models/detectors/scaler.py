"""Scaler: features in units of their own usual spread, so that distances between vectors mean something."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from vedette_models.detectors.learnt import vector
from vedette_models.rejection import ArtifactRejected, Rejection

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vedette_models.detectors.learnt import Learnt

ARRAYS = ("centre", "weight")
FURTHEST = 1e3
"""Spreads from its centre that a feature is taken to lie at most: beyond, it is as far away as can be."""
_LARGEST_WEIGHT = 1e100
_SMALLEST_SPREAD = 1e-9
"""A feature that varies by less than this share of its size is constant, but for rounding."""
_RANGE = (1.0, 50.0, 99.0)
_NORMAL_RANGE = 4.652696
"""Standard deviations between the 1st and the 99th percentile of a normal distribution."""


class Scaler(NamedTuple):
    """(F,) for each feature: its centre, and what its distance from it is multiplied by; 0 leaves it out."""

    centre: NDArray[np.float64]
    weight: NDArray[np.float64]

    @classmethod
    def of(cls, vectors: NDArray[np.float64]) -> Scaler:
        """The scaler of training vectors (N, F), N > 0, all finite.

        Centre and spread come from percentiles, which a few wild vectors do not move. A feature that is the same in all
        but a hundredth of the vectors has the spread of its standard deviation instead, and one that never varies is
        left out.

        >>> Scaler.of(np.array([[0.0, 5.0], [2.0, 5.0], [4.0, 5.0]])).weight.round(3).tolist()
        [1.187, 0.0]
        """
        low, centre, high = np.percentile(vectors, _RANGE, axis=0)
        spread = (high - low) / _NORMAL_RANGE
        largest = np.maximum(np.abs(vectors - centre).max(axis=0), 1.0 / _LARGEST_WEIGHT)
        # Scaled before they are squared, or what is huge would overflow.
        deviation = largest * np.sqrt((((vectors - centre) / largest) ** 2).mean(axis=0))
        size = np.maximum(np.abs(low), np.abs(high))
        spread = np.where(spread > _SMALLEST_SPREAD * size, spread, deviation)
        varies = (spread > _SMALLEST_SPREAD * size) & (spread > 1.0 / _LARGEST_WEIGHT)
        return cls(centre, np.divide(1.0, spread, out=np.zeros(len(spread)), where=varies))

    @classmethod
    def read(cls, learnt: Learnt, width: int) -> Scaler:
        """The scaler in `learnt`.

        Raises:
            ArtifactRejected: OTHER_ARRAYS, SHAPES_DISAGREE, NOT_FINITE or WRONG_FIELD.
        """
        centre, weight = (vector(name, learnt.arrays[name], "f", width).astype(np.float64) for name in ARRAYS)
        if float(weight.min()) < 0.0 or not 0.0 < float(weight.max()) <= _LARGEST_WEIGHT:
            raise ArtifactRejected(Rejection.WRONG_FIELD, "a feature weighs less than 0 or too much, or all weigh 0")
        return cls(centre, weight)

    def __call__(self, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        """(N, F) vectors -> (N, F) in units of usual spread, within ± FURTHEST."""
        scaled = vectors - self.centre
        scaled *= self.weight
        np.minimum(scaled, FURTHEST, out=scaled)
        return np.maximum(scaled, -FURTHEST, out=scaled)
