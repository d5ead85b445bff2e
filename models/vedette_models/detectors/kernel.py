"""Kernel: a sum of radial basis functions, as a one-class SVM scores with, equal to scikit-learn's.

Schölkopf, Platt, Shawe-Taylor, Smola, Williamson: Estimating the Support of a High-Dimensional Distribution, Neural
Computation 13, 2001. Support vectors with their coefficients are the exact machine; the basis of a Nystroem map
(Williams, Seeger: Using the Nyström Method to Speed Up Kernel Machines, NIPS 2000) with the weights that a linear
machine gave it has the very same form.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vedette_models.detectors.learnt import matrix, vector
from vedette_models.detectors.scaler import FURTHEST
from vedette_models.rejection import ArtifactRejected, Rejection

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vedette_models.detectors.scaler import Scaler

MAX_CENTRES = 4_096
MAX_CELLS = 1 << 19
"""Centres x features: bounds the memory to a few MiB."""
MAX_SUM = 1e9
"""Of all coefficients, whatever their sign: beyond, too few digits would be left."""
_CHUNK_CELLS = 1 << 16
"""Vectors x centres looked at together, about: few enough to stay near the processor."""
_ROWS = 16
"""Vectors multiplied at a time, always as many: a matrix product of another shape may round differently, and then a
reading's score would depend on the company it arrives in."""


class Kernel:
    """`decision_function(x)` is the sum of coefficient · exp(-gamma · |x - centre|²) over all centres, less `limit`.

    `centres` (M, F) and vectors are compared scaled; `coefficients` is (M,).

    Raises:
        ArtifactRejected: OTHER_ARRAYS, SHAPES_DISAGREE, NOT_FINITE, WRONG_FIELD or BROKEN_STRUCTURE.
    """

    def __init__(
        self,
        scaler: Scaler,
        centres: NDArray[np.float32],
        coefficients: NDArray[np.float64],
        gamma: float,
        limit: float,
    ) -> None:
        features = len(scaler.centre)
        most = min(MAX_CENTRES, MAX_CELLS // features)
        self.centres = matrix("centres", centres, features, most, FURTHEST)
        self.coefficients = vector("coefficients", coefficients, "f", len(centres)).astype(np.float64)
        if not 1e-9 <= gamma <= 1e9 or not abs(limit) <= MAX_SUM:
            raise ArtifactRejected(Rejection.WRONG_FIELD, f"gamma {gamma:g} and limit {limit:g}: no such kernel")
        if not float(np.abs(self.coefficients).max()) * len(centres) <= MAX_SUM:
            raise ArtifactRejected(Rejection.BROKEN_STRUCTURE, "coefficients too large to be added up")
        self.scaler, self.gamma, self.limit = scaler, float(gamma), float(limit)
        # Of features that weigh nothing all distances are 0: they need not be looked at.
        self._used = np.flatnonzero(scaler.weight)
        points = np.ascontiguousarray(self.centres[:, self._used], np.float64)
        self._transposed = np.ascontiguousarray(2.0 * self.gamma * points.T)
        self._squares = -self.gamma * np.add.reduce(points * points, axis=1)
        self._chunk = _ROWS * max(1, _CHUNK_CELLS // (_ROWS * len(points)))

    @property
    def width(self) -> int:
        """Features of a vector."""
        return len(self.scaler.centre)

    def decision_function(self, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        """(N, width) vectors -> (N,) as scikit-learn's: below 0 is an outlier, and lower is more so.

        Raises:
            ValueError: vectors of another width.
        """
        if vectors.ndim != 2 or vectors.shape[1] != self.width:
            raise ValueError(f"vectors need {self.width} features, got {vectors.shape}")
        scaled = np.zeros((-(-len(vectors) // _ROWS) * _ROWS, len(self._used)))
        scaled[: len(vectors)] = self.scaler(vectors).take(self._used, axis=1)
        result = np.empty(len(scaled))
        for first in range(0, len(scaled), self._chunk):
            rows = slice(first, first + self._chunk)
            result[rows] = self._sums(scaled[rows])
        result -= self.limit
        return result[: len(vectors)]

    def _sums(self, scaled: NDArray[np.float64]) -> NDArray[np.float64]:
        """(R, features used), R a multiple of _ROWS -> (R,)"""
        product = scaled.reshape(-1, _ROWS, scaled.shape[1]) @ self._transposed
        exponent = product.reshape(len(scaled), -1)
        exponent += self._squares
        exponent -= self.gamma * np.add.reduce(scaled * scaled, axis=1)[:, None]
        np.minimum(exponent, 0.0, out=exponent)
        np.exp(exponent, out=exponent)
        exponent *= self.coefficients
        sums: NDArray[np.float64] = np.add.reduce(exponent, axis=1)
        return sums
