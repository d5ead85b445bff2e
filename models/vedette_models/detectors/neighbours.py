"""Neighbours: the local outlier factor of a vector among prototypes, equal to scikit-learn's.

Breunig, Kriegel, Ng, Sander: LOF: Identifying Density-Based Local Outliers, SIGMOD 2000. A vector is anomalous where it
lies in a much sparser place than its nearest neighbours do.

Squares of distances by the expansion a² - 2ab + b² are quick and lose digits, so they only choose candidates; the
distances that count are computed from differences. So a vector's factor is the same to the last digit in any company.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vedette_models.detectors.learnt import vector
from vedette_models.detectors.points import Points
from vedette_models.detectors.scaler import FURTHEST
from vedette_models.rejection import ArtifactRejected, Rejection

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vedette_models.detectors.scaler import Scaler

MAX_NEIGHBOURS = 256
MAX_DENSITY = 1e10
"""scikit-learn's own limit, for vectors without any distance between them."""
_SPARE = 4
"""Candidates beyond the neighbours that are needed, for the digits that the expansion loses."""
_CHUNK = 256
"""Vectors looked at together, at most."""
_CHUNK_CELLS = 1 << 18
"""Candidates x features looked at together."""


class Neighbours:
    """Prototypes (P, F) that say how dense training was where; distances are between scaled vectors.

    `reach` (P,) is each prototype's distance to its k-th neighbour, `density` (P,) its local reachability density;
    `offset` is where the line is drawn: a vector whose factor exceeds -offset is an outlier.

    Raises:
        ArtifactRejected: OTHER_ARRAYS, SHAPES_DISAGREE, NOT_FINITE, WRONG_FIELD or BROKEN_STRUCTURE.
    """

    def __init__(
        self,
        scaler: Scaler,
        prototypes: NDArray[np.float32],
        reach: NDArray[np.float64],
        density: NDArray[np.float64],
        k: int,
        offset: float,
    ) -> None:
        self._points = Points("prototypes", prototypes, scaler)
        self.prototypes = self._points.rows
        self.reach = vector("reach", reach, "f", len(prototypes)).astype(np.float64)
        self.density = vector("density", density, "f", len(prototypes)).astype(np.float64)
        if not 1 <= k <= min(MAX_NEIGHBOURS, len(prototypes)) or not -1e6 <= offset <= 0.0:
            raise ArtifactRejected(
                Rejection.WRONG_FIELD, f"{k} neighbours among {len(prototypes)} prototypes with offset {offset:g}"
            )
        if float(self.reach.min()) < 0.0 or float(self.reach.max()) > 2.0 * FURTHEST * self.width:
            raise ArtifactRejected(Rejection.BROKEN_STRUCTURE, "a neighbour at a distance that there is not")
        if not 0.0 < float(self.density.min()) <= float(self.density.max()) <= MAX_DENSITY:
            raise ArtifactRejected(Rejection.BROKEN_STRUCTURE, "a density that is none")
        self.scaler, self.k, self.offset = scaler, k, float(offset)
        self._transposed = -2.0 * self._points.transposed

    @property
    def width(self) -> int:
        """Features of a vector."""
        return self._points.width

    def decision_function(self, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        """(N, width) vectors -> (N,) as scikit-learn's: below 0 is an outlier, and lower is more so.

        Raises:
            ValueError: vectors of another width.
        """
        scaled = self._points.scaled(vectors)
        candidates = min(len(self.prototypes), self.k + _SPARE)
        chunk = max(1, min(_CHUNK, _CHUNK_CELLS // (candidates * scaled.shape[1])))
        factor = np.empty(len(vectors))
        for first in range(0, len(vectors), chunk):
            factor[first : first + chunk] = self._factors(scaled[first : first + chunk], candidates)
        return np.subtract(-self.offset, factor, out=factor)

    def _factors(self, scaled: NDArray[np.float64], candidates: int) -> NDArray[np.float64]:
        rough = scaled @ self._transposed
        rough += self._points.squares
        near = np.argpartition(rough, candidates - 1, axis=1)[:, :candidates]
        near.sort(axis=1)
        difference = self._points.used[near]
        difference -= scaled[:, None, :]
        difference *= difference
        distance = np.sqrt(np.add.reduce(difference, axis=2))
        if candidates > self.k:
            nearest = distance.argsort(axis=1, kind="stable")[:, : self.k]
            near = np.take_along_axis(near, nearest, axis=1)
            distance = np.take_along_axis(distance, nearest, axis=1)
        reached = np.maximum(distance, self.reach[near])
        own = np.add.reduce(reached, axis=1)
        own /= self.k
        own += 1.0 / MAX_DENSITY
        factors: NDArray[np.float64] = np.add.reduce(self.density[near], axis=1)
        factors /= self.k
        factors *= own
        return factors
