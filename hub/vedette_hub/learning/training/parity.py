"""Parity: the exported arrays score as scikit-learn does, proved before a version is kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vedette_hub.learning.errors import TrainingRefusedError

INPUTS = 4_096
NEAR = 0.01
"""Share of the boundary within which half of the inputs score."""
MAX_ERROR = 1e-6
_POOL = 8_192
_HALVINGS = 40

Decision = Callable[[NDArray[np.float64]], NDArray[np.float64]]


class Parity(NamedTuple):
    """How far two decision functions are apart."""

    inputs: int
    max_error: float
    flips: int
    """Inputs that one calls an outlier and the other does not."""
    near: int = 0
    """Inputs that score within NEAR of the boundary."""


def prove(
    wanted: Decision, exported: Decision, vectors: NDArray[np.float64], seed: int, boundary: float | None = None
) -> Parity:
    """Compare two decision functions on vectors made from `vectors` (N, F): half of them score beside the boundary.

    `boundary` is the score it lies at, before it was subtracted to make decisions; None: decisions are usually about as
    far from 0 as it is. Where no vectors beside the boundary can be found, those that come nearest are taken.

    Raises:
        TrainingRefusedError: a label flips, or an error exceeds 1e-6.
    """
    draw = np.random.default_rng(seed)
    # On the way from one vector to another, and beyond it, every score occurs.
    one, other = (vectors[draw.integers(0, len(vectors), _POOL)] for _ in range(2))
    pool = one + draw.uniform(0.0, 3.0, (_POOL, 1)) * (other - one)
    pool[: _POOL // 4] = one[: _POOL // 4]
    decided = wanted(pool)
    scale = abs(boundary) if boundary else float(np.median(np.abs(decided)))
    beside = _beside(wanted, pool, decided, NEAR * scale, draw)
    chosen = np.concatenate([beside, pool[draw.integers(0, _POOL, INPUTS - len(beside))]])
    expected, found = wanted(chosen), exported(chosen)
    result = Parity(
        len(chosen),
        float(np.abs(expected - found).max()),
        int(((expected < 0.0) != (found < 0.0)).sum()),
        int((np.abs(expected) <= NEAR * scale).sum()),
    )
    if result.flips or not result.max_error <= MAX_ERROR:
        raise TrainingRefusedError(
            f"the exported model is not the one that was trained: {result.flips} of {result.inputs} labels differ, "
            f"the largest error is {result.max_error:.3g}; this is a fault of Vedette, please report it"
        )
    return result


def both(one: Parity, other: Parity) -> Parity:
    """The worse of two proofs in every respect, for what is made of two parts."""
    return Parity(
        min(one.inputs, other.inputs),
        max(one.max_error, other.max_error),
        one.flips + other.flips,
        min(one.near, other.near),
    )


def _beside(
    wanted: Decision, pool: NDArray[np.float64], decided: NDArray[np.float64], near: float, draw: np.random.Generator
) -> NDArray[np.float64]:
    """Half of INPUTS: vectors decided within ± `near`, found by halving the way from outliers to others."""
    count = INPUTS // 2
    outliers, inliers = np.flatnonzero(decided < 0.0), np.flatnonzero(decided >= 0.0)
    found = pool[np.abs(decided) <= near]
    if len(outliers) and len(inliers) and len(found) < count:
        outside = pool[outliers[draw.integers(0, len(outliers), count)]]
        inside = pool[inliers[draw.integers(0, len(inliers), count)]]
        for _ in range(_HALVINGS):
            middle = 0.5 * (outside + inside)
            there = wanted(middle)
            found = np.concatenate([found, middle[np.abs(there) <= near]])
            if len(found) >= count:
                break
            beyond = (there < 0.0)[:, None]
            outside, inside = np.where(beyond, middle, outside), np.where(beyond, inside, middle)
    if len(found) < count:
        nearest = np.argsort(np.abs(decided), kind="stable")
        found = np.concatenate([found, pool[nearest[: count - len(found)]]])
    return found[:count]
