"""Prototypes: how few vectors can stand for all in local outlier factors, measured by the labels that change."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vedette_hub.learning.errors import TrainingRefusedError
from vedette_hub.learning.training.scaling import MAX_CELLS
from vedette_hub.learning.training.vector_model import Fitted

SIZES = (250, 500, 1_000)
PROBES = 4_096
GOOD_ENOUGH = 0.01
"""Share of the probes that may change their label: the smallest such cut is taken, or else the one with fewest."""
MOST = 0.05
"""Share of the probes from which a cut is refused."""
FULL = 8_000
"""Vectors that the full model is fitted to, at most; of more, so many at even steps."""
FULL_CELLS = 1 << 22
"""Its vectors x features, at most: they take 32 MB."""
BESIDE = 0.5
"""Share of the probes that cuts are chosen by calling outliers: they lie between training vectors, and beyond."""

FitTo = Callable[[NDArray[np.float64], int, int, float], Fitted]
"""Fit vectors, with a seed, to at most so many prototypes, with so many times the neighbours."""


class Cut(NamedTuple):
    """How many prototypes, and what the full model says of the probes."""

    prototypes: int
    vectors: int
    """Training vectors that the full model was fitted to."""
    probes: NDArray[np.float64]
    """(PROBES, F)"""
    full: NDArray[np.float64]
    """(PROBES,) anomaly scores by the full model."""

    def flips(self, scores: NDArray[np.float64], outliers: int) -> int:
        """Probes that the cut model (`scores`, high = anomalous) and the full one label differently.

        Both call the same number of probes outliers: the factors of models of different size do not compare, what they
        find more or less anomalous does.
        """
        if not 0 < outliers < len(self.full):
            return 0
        return int((_first(scores, outliers) != _first(self.full, outliers)).sum())


def choose(fit: FitTo, vectors: NDArray[np.float64], seed: int) -> Cut:
    """The cut to take of training vectors (N, F), N > 0.

    Raises:
        TrainingRefusedError: every cut changes more than MOST of the labels.
    """
    some = vectors[:: -(-len(vectors) // min(FULL, FULL_CELLS // vectors.shape[1]))]
    draw = np.random.default_rng(seed)
    one, other = (vectors[draw.integers(0, len(vectors), PROBES)] for _ in range(2))
    probes = one + draw.uniform(0.0, 3.0, (PROBES, 1)) * (other - one)
    tried: dict[int, int] = {}
    for size in dict.fromkeys(min(size, MAX_CELLS // vectors.shape[1]) for size in SIZES):
        if size >= len(vectors):
            return Cut(len(vectors), len(vectors), probes, -fit(vectors, seed, len(vectors), 1.0).normality(probes))
        # A neighbourhood is a share of all vectors, or it would be another question.
        full = -fit(some, seed, len(some), len(some) / size).normality(probes)
        cut = Cut(size, len(some), probes, full)
        tried[size] = cut.flips(-fit(vectors, seed, size, 1.0).normality(probes), round(BESIDE * PROBES))
        if tried[size] <= GOOD_ENOUGH * PROBES:
            return cut
    best = min(tried, key=lambda size: tried[size])
    if tried[best] > MOST * PROBES:
        raise TrainingRefusedError(
            f"no {max(tried)} vectors can stand for the {len(vectors)} there are: {tried[best]} of {PROBES} labels "
            "change; take isolation_forest or one_class_svm"
        )
    return Cut(best, len(some), probes, -fit(some, seed, len(some), len(some) / best).normality(probes))


def _first(scores: NDArray[np.float64], count: int) -> NDArray[np.bool_]:
    """Which are the `count` highest."""
    first = np.zeros(len(scores), bool)
    first[np.argsort(-scores, kind="stable")[:count]] = True
    return first
