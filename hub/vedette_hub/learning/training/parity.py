"""Parity: the exported arrays score as scikit-learn does, proved before a version is kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vedette_hub.learning.errors import TrainingRefusedError

INPUTS = 4_096
_POOL = 20_000
MAX_ERROR = 1e-6

Decision = Callable[[NDArray[np.float64]], NDArray[np.float64]]


class Parity(NamedTuple):
    """How far two decision functions are apart."""

    inputs: int
    max_error: float
    flips: int
    """Inputs that one calls an outlier and the other does not."""


def prove(wanted: Decision, exported: Decision, vectors: NDArray[np.float64], seed: int) -> Parity:
    """Compare two decision functions on vectors made from `vectors` (N, F): half of them lie nearest to the boundary.

    Raises:
        TrainingRefusedError: a label flips, or an error exceeds 1e-6.
    """
    draw = np.random.default_rng(seed)
    # On the way from one vector to another, and beyond it, every score occurs, those at the boundary among them.
    one, other = (vectors[draw.integers(0, len(vectors), _POOL)] for _ in range(2))
    pool = one + draw.uniform(0.0, 3.0, (_POOL, 1)) * (other - one)
    pool[: _POOL // 4] = one[: _POOL // 4]
    decided = wanted(pool)
    near = np.argsort(np.abs(decided), kind="stable")[: INPUTS // 2]
    chosen = np.concatenate([near, draw.integers(0, _POOL, INPUTS - len(near))])
    expected, found = decided[chosen], exported(pool[chosen])
    result = Parity(len(chosen), float(np.abs(expected - found).max()), int(((expected < 0.0) != (found < 0.0)).sum()))
    if result.flips or not result.max_error <= MAX_ERROR:
        raise TrainingRefusedError(
            f"the exported model is not the one that was trained: {result.flips} of {result.inputs} labels differ, "
            f"the largest error is {result.max_error:.3g}; this is a fault of Vedette, please report it"
        )
    return result
