"""Rounds: the parts of a batch in which each series stands at most once, to be learnt all at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def rounds(series: NDArray[np.intp]) -> list[NDArray[np.intp]]:
    """Positions of each series' first reading in the batch, then of its second, and so on; each in order of arrival.

    `series` (N,) says whose reading stands where. Every position stands in exactly one round; without readings there is
    no round. The cost is that of a sort, however often a series is repeated.

    >>> [part.tolist() for part in rounds(np.array([7, 3, 7, 5, 7]))]
    [[0, 1, 3], [2], [4]]
    """
    n = len(series)
    positions = np.arange(n)
    if n < 2:
        return [positions] if n else []
    ordered = np.sort(series)
    repeats = ordered[1:] == ordered[:-1]
    if not np.logical_or.reduce(repeats):
        return [positions]
    order = series.argsort(kind="stable")
    first = np.zeros(n, np.intp)
    np.copyto(first[1:], positions[1:], where=~repeats)
    occurrence = np.empty(n, np.intp)
    occurrence[order] = positions - np.maximum.accumulate(first)
    return np.split(occurrence.argsort(kind="stable"), np.bincount(occurrence).cumsum()[:-1])
