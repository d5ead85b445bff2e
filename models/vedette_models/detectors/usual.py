"""Usual: what the vectors of training look like, feature by feature, to tell what is unusual about another one."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

from vedette_models.detectors.learnt import vector
from vedette_models.rejection import ArtifactRejected, Rejection

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vedette_models.detectors.learnt import Learnt

CLOSEST = 1e-6
"""The boundary lies at least this far from what is typical, so that scores stay finite."""
ARRAYS = ("median", "low", "high")
_RANGE = (1.0, 99.0)
"""Percentiles of a feature in training between which it is usual."""


class VectorModel(Protocol):
    """Anything that tells typical vectors from others, as scikit-learn's outlier detectors do."""

    @property
    def width(self) -> int:
        """Features of a vector."""
        ...

    def decision_function(self, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        """(N, width) vectors -> (N,): below 0 is an outlier, and lower is more so; a row's result is its own."""
        ...


class Usual(NamedTuple):
    """What training vectors look like; (F,) for each feature."""

    median: NDArray[np.float64]
    low: NDArray[np.float64]
    """1st percentile."""
    high: NDArray[np.float64]
    """99th percentile."""
    typical: float
    """Median of the model's decision function, at least CLOSEST."""

    @classmethod
    def of(cls, vectors: NDArray[np.float64], model: VectorModel) -> Usual:
        """What is usual among training vectors (N, F), all finite.

        Raises:
            ValueError: no vectors, or the boundary lies among the typical ones.
        """
        if not len(vectors):
            raise ValueError("no training vectors")
        typical = float(np.median(model.decision_function(vectors)))
        if not typical >= CLOSEST:
            raise ValueError(
                "half of the training vectors are outliers, or as good as: there is no boundary between them and others"
            )
        low, median, high = np.percentile(vectors, [_RANGE[0], 50.0, _RANGE[1]], axis=0)
        return cls(median, low, high, typical)

    @classmethod
    def read(cls, learnt: Learnt, width: int, largest: float) -> Usual:
        """The part of `learnt` that says what is usual; `typical` is at most `largest`.

        Raises:
            ArtifactRejected: OTHER_ARRAYS, SHAPES_DISAGREE, NOT_FINITE or WRONG_FIELD.
        """
        median, low, high = (vector(name, learnt.arrays[name], "f", width).astype(np.float64) for name in ARRAYS)
        typical = learnt.parameters["typical"]
        if not CLOSEST <= typical <= largest or (low > median).any() or (median > high).any():
            raise ArtifactRejected(Rejection.WRONG_FIELD, "what is usual is not in order: low, median, high, above 0")
        return cls(median, low, high, typical)

    @property
    def arrays(self) -> dict[str, NDArray[np.float64]]:
        """The arrays that `read` finds in an artefact."""
        return {"median": self.median, "low": self.low, "high": self.high}
