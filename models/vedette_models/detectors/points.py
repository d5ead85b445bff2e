"""Points: vectors of training that a model compares others with, by distances between scaled features."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vedette_models.detectors.learnt import matrix
from vedette_models.detectors.scaler import FURTHEST

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vedette_models.detectors.scaler import Scaler

MAX_POINTS = 4_096
MAX_CELLS = 1 << 19
"""Points x features: bounds the memory to a few MiB."""


class Points:
    """Points (P, F), in units of `scaler`, laid out for products with vectors.

    Raises:
        ArtifactRejected: OTHER_ARRAYS, SHAPES_DISAGREE, NOT_FINITE or BROKEN_STRUCTURE; it says `name`.
    """

    def __init__(self, name: str, rows: NDArray[np.float32], scaler: Scaler) -> None:
        features = len(scaler.centre)
        most = min(MAX_POINTS, MAX_CELLS // features)
        self.rows: NDArray[np.float32] = matrix(name, rows, features, most, FURTHEST)
        self.scaler = scaler
        # Of features that weigh nothing all distances are 0: they need not be looked at.
        self._used = np.flatnonzero(scaler.weight)
        self.used: NDArray[np.float64] = np.ascontiguousarray(self.rows[:, self._used], np.float64)
        """(P, U) of the features that weigh something."""
        self.transposed: NDArray[np.float64] = np.ascontiguousarray(self.used.T)
        self.squares: NDArray[np.float64] = np.add.reduce(self.used * self.used, axis=1)
        """(P,) squares of their distances from 0."""

    @property
    def width(self) -> int:
        """Features of a vector."""
        return len(self.scaler.centre)

    def scaled(self, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        """(N, width) vectors -> (N, U) beside the points.

        Raises:
            ValueError: vectors of another width.
        """
        if vectors.ndim != 2 or vectors.shape[1] != self.width:
            raise ValueError(f"vectors need {self.width} features, got {vectors.shape}")
        return self.scaler(vectors).take(self._used, axis=1)
