"""Power: how much a detector of vectors finds of faults that are made up, where nobody has labelled real ones. Pure."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vedette_models.features import FEATURES

DRAWN = 3_000
LARGEST = 2.0
"""A made-up fault shifts a channel by at most so many times the range between its 1st and its 99th percentile."""
_LEVELS = [FEATURES.index(name) for name in ("mean", "minimum", "maximum")]


class Faults(NamedTuple):
    """D made-up faults, each in the window of a vector."""

    row: NDArray[np.intp]
    """(D,) of the vector."""
    channel: NDArray[np.intp]
    """(D,)"""
    shift: NDArray[np.float64]
    """(D,) what is added to the channel, in its own unit; 0 for one that never varies."""


def made_up(vectors: NDArray[np.float64], seed: int) -> Faults:
    """DRAWN faults in vectors (N, F): one channel is at another level for the whole window, up or down."""
    draw = np.random.default_rng(seed)
    row = draw.integers(0, len(vectors), DRAWN)
    channel = draw.integers(0, vectors.shape[1] // len(FEATURES), DRAWN)
    low, high = np.percentile(vectors, [1.0, 99.0], axis=0)
    spread = (high - low)[channel * len(FEATURES) + FEATURES.index("mean")]
    return Faults(row, channel, draw.uniform(-LARGEST, LARGEST, DRAWN) * spread)


def shifted(vectors: NDArray[np.float64], faults: Faults) -> NDArray[np.float64]:
    """(D, F) the vectors that the faults make of vectors (N, F)."""
    chosen = vectors[faults.row]
    for level in _LEVELS:
        chosen[np.arange(len(chosen)), faults.channel * len(FEATURES) + level] += faults.shift
    return chosen
