"""Power: how much a detector of vectors finds of faults that are made up, where nobody has labelled real ones. Pure."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vedette_models.features import FEATURES

DRAWN = 3_000
LARGEST = 2.0
"""A made-up fault shifts a channel by at most so many times the range between its 1st and its 99th percentile."""
_LEVELS = [FEATURES.index(name) for name in ("mean", "minimum", "maximum")]


def shifted(vectors: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    """DRAWN of the vectors (N, F), each with one channel at another level for the whole window, up or down.

    A channel that never varies stays where it is.
    """
    draw = np.random.default_rng(seed)
    chosen = vectors[draw.integers(0, len(vectors), DRAWN)]
    channel = draw.integers(0, vectors.shape[1] // len(FEATURES), DRAWN) * len(FEATURES)
    low, high = np.percentile(vectors, [1.0, 99.0], axis=0)
    shift = draw.uniform(-LARGEST, LARGEST, DRAWN) * (high - low)[channel + FEATURES.index("mean")]
    for level in _LEVELS:
        chosen[np.arange(DRAWN), channel + level] += shift
    return chosen
