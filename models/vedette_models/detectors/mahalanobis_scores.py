"""Scores of `mahalanobis`: shares by channel, and why."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vedette_models.aspects import AVERAGE, FEW, VALUE
from vedette_models.aspects import OTHERS as BY_OTHERS
from vedette_models.detectors.base import Finding

EXPLAINED = 0.5
"""Score from which channels get their share of it: below, nobody asks."""
SIGMAS = 3.0
"""Half of a usual range, in standard deviations."""
MEAN = f"{AVERAGE} {FEW}"
OTHERS = f"{MEAN}, {BY_OTHERS}"


class Explained(NamedTuple):
    """What it takes to put the scores of a round into words: R readings with C channels."""

    cells: NDArray[np.intp]
    """(R,) positions in the batch."""
    x: NDArray[np.float64]
    """(R, C) readings."""
    level: NDArray[np.float64]
    """(R, C) smoothed."""
    location: NDArray[np.float64]
    """(R, C) where those usually are."""
    scale: NDArray[np.float64]
    """(R, C) their standard deviation; 0 where a channel is left out."""
    scatter: NDArray[np.float64]
    """(R, C) variance of the readings themselves."""
    expected: NDArray[np.float64]
    """(R, C) standard deviations by which each channel is away from what the others let expect ..."""
    freedom: NDArray[np.float64]
    """(R, C) ... and how much of its own standard deviation the others leave."""


class MahalanobisScores:
    """Scores of a batch of N readings with C channels; findings are put into words only when asked for."""

    def __init__(self, total: NDArray[np.float64], blame: NDArray[np.float64], explained: list[Explained]) -> None:
        """`blame` (N, C), >= 0, says how the channels share the scores."""
        self.total = total
        there = np.add.reduce(blame, axis=1)
        shared = (total >= EXPLAINED) & (there > 0.0)
        self.by_channel: NDArray[np.float64] = np.zeros(blame.shape)
        self.by_channel[shared] = blame[shared] / there[shared, None] * total[shared, None]
        self._explained = explained

    def finding(self, row: int, channel: int) -> Finding | None:
        """Why `by_channel[row, channel]` is what it is; None where it is 0.

        What is plainest: the value where that is unusual by itself, else its level, else what the others let expect.
        """
        if self.by_channel[row, channel] == 0.0:
            return None
        for part in self._explained:
            place = int(np.searchsorted(part.cells, row))
            if place < len(part.cells) and part.cells[place] == row:
                return _finding(*(float(column[place, channel]) for column in part[1:]))
        return None


def _finding(
    x: float, level: float, location: float, scale: float, scatter: float, expected: float, freedom: float
) -> Finding:
    wide, narrow = SIGMAS * float(np.sqrt(scatter)), SIGMAS * scale
    if abs(x - location) > wide:
        return Finding(VALUE, x, location - wide, location + wide)
    if abs(level - location) > narrow:
        return Finding(MEAN, level, location - narrow, location + narrow)
    spread = scale * freedom
    middle = level - expected * spread
    return Finding(OTHERS, level, middle - SIGMAS * spread, middle + SIGMAS * spread)
