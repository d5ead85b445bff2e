"""Kernel: a sum of radial basis functions, as a one-class SVM scores with, equal to scikit-learn's.

Schölkopf, Platt, Shawe-Taylor, Smola, Williamson: Estimating the Support of a High-Dimensional Distribution, Neural
Computation 13, 2001. Support vectors with their coefficients are the exact machine; the basis of a Nystroem map
(Williams, Seeger: Using the Nyström Method to Speed Up Kernel Machines, NIPS 2000) with the weights that a linear
machine gave it has the very same form.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vedette_models.detectors.learnt import vector
from vedette_models.detectors.points import Points
from vedette_models.rejection import ArtifactRejected, Rejection

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vedette_models.detectors.scaler import Scaler

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
        self._points = Points("centres", centres, scaler)
        self.centres = self._points.rows
        self.coefficients = vector("coefficients", coefficients, "f", len(centres)).astype(np.float64)
        if not 1e-9 <= gamma <= 1e9 or not abs(limit) <= MAX_SUM:
            raise ArtifactRejected(Rejection.WRONG_FIELD, f"gamma {gamma:g} and limit {limit:g}: no such kernel")
        if not float(np.abs(self.coefficients).max()) * len(centres) <= MAX_SUM:
            raise ArtifactRejected(Rejection.BROKEN_STRUCTURE, "coefficients too large to be added up")
        self.scaler, self.gamma, self.limit = scaler, float(gamma), float(limit)
        self._transposed = 2.0 * self.gamma * self._points.transposed
        self._squares = -self.gamma * self._points.squares
        self._chunk = _ROWS * max(1, _CHUNK_CELLS // (_ROWS * len(centres)))

    @property
    def width(self) -> int:
        """Features of a vector."""
        return self._points.width

    def decision_function(self, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        """(N, width) vectors -> (N,) as scikit-learn's: below 0 is an outlier, and lower is more so.

        Raises:
            ValueError: vectors of another width.
        """
        found = self._points.scaled(vectors)
        scaled = np.zeros((-(-len(found) // _ROWS) * _ROWS, found.shape[1]))
        scaled[: len(found)] = found
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
