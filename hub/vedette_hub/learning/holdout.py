"""Holding out: which part of the readings is kept for judging. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

HELD_OUT_OF = 5
"""One block of so many is held out."""
_SHARE, _SHORTEST, _LONGEST = 40, 4, 8
"""A block is a fortieth of all readings, within so many times the width of a window."""


class Blocks:
    """Series, by their lengths, as blocks of consecutive readings, every fifth of which is held out, in time."""

    def __init__(self, lengths: Sequence[int], width: int) -> None:
        self._lengths = np.array(lengths, np.intp)
        self._width = width
        self._block = int(np.clip(self._lengths.sum() // _SHARE, _SHORTEST * width, _LONGEST * width))
        self._first = np.concatenate([[0], np.cumsum(-(-self._lengths // self._block))[:-1]]).astype(np.intp)

    def judge(
        self, series: NDArray[np.intp], position: NDArray[np.intp]
    ) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """(held out (N,), kept (N,)) of windows whose newest reading is at `position` (N,) of `series` (N,).

        Windows of neighbouring blocks overlap: of those held out only what shares no reading with a neighbour is kept.
        """
        number, place = np.divmod(position, self._block)
        held = (self._first[series] + number) % HELD_OUT_OF == 2
        after = self._lengths[series] > (number + 1) * self._block
        shared = ((number > 0) & (place < self._width - 1)) | (after & (place > self._block - self._width))
        return held, ~(held & shared)

    def judged(self, series: int) -> NDArray[np.bool_]:
        """(R,) readings of a series whose windows are held out and kept."""
        held, kept = self._of(series)
        return held & kept

    def learnable(self, series: int) -> NDArray[np.bool_]:
        """(R,) readings of a series that no block holds out."""
        return ~self._of(series)[0]

    def _of(self, series: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        position = np.arange(self._lengths[series])
        return self.judge(np.full(len(position), series), position)
