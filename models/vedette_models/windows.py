"""Windows: the last readings of each series, oldest first, for many series at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from vedette_models.columns import Column

if TYPE_CHECKING:
    from numpy.typing import NDArray

FENCE = 3.0
"""Interquartile ranges beyond the quartiles from which a reading stands alone (Tukey's outer fence): a spike, or a jump
that was rejected, is not what is usual."""


class Windows:
    """Sliding windows of `width` readings over the array of a column made by `Windows.column(width)`.

    The window moves through an array a little longer than itself, and back to its beginning when it reaches the end: so
    the last `width` readings, oldest first, are always one stretch of memory.
    """

    def __init__(self, array: NDArray[Any], width: int) -> None:
        self.width = width
        self._length = array.shape[1]
        self._starts = self._length - width + 1
        """Places where the window can begin."""
        self._flat = array.reshape(-1)
        # Every possible stretch as one overlapping item: numpy copies an item faster than a row of numbers.
        self._stretches: NDArray[Any] = np.ndarray(
            (max(0, array.size - self.width + 1),), f"V{self.width * array.itemsize}", array, 0, (array.itemsize,)
        )

    @staticmethod
    def column(width: int) -> Column:
        """The column that holds windows of `width` readings; NaN where no reading has been."""
        return Column((width + max(1, width // 4),), np.nan)

    def last(self, series: NDArray[np.intp], count: NDArray[np.intp]) -> NDArray[np.float64]:
        """(R, width) copies of the windows of `series` (R,), which have had `count` (R,) readings so far."""
        start = count % self._starts
        start += series * self._length
        window: NDArray[np.float64] = self._stretches[start].view(np.float64)
        return window.reshape(len(series), self.width)

    def append(self, series: NDArray[np.intp], count: NDArray[np.intp], x: NDArray[np.float64]) -> None:
        """Enter the readings `x` (R,) of `series` that had `count` readings before this one; the oldest drops out."""
        start = (count + 1) % self._starts
        back = np.flatnonzero(start == 0)
        if len(back):
            returning = series[back]
            rows = self._flat.reshape(-1, self._length)
            rows[returning, : self.width - 1] = rows[returning, self._starts :]
        start += series * self._length
        start += self.width - 1
        self._flat[start] = x


def range_of_most(
    readings: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Of each column of `readings` (T, K), NaN where there is none: how many there are, and the smallest and largest of
    them that do not stand alone. `readings` is scrambled.
    """
    low, high = np.nanpercentile(readings, (25.0, 75.0), axis=0)
    reach = FENCE * (high - low)
    count = np.add.reduce(readings == readings, axis=0)
    readings[(readings < low - reach) | (readings > high + reach)] = np.nan
    return count, np.fmin.reduce(readings, axis=0), np.fmax.reduce(readings, axis=0)
