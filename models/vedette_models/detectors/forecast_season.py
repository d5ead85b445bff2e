"""Season: what is usual at each time of the day and of the week, read between the knots of a table.

Times are UTC. Daylight saving time is not followed: where people live by it, the rhythm seems to move by an hour twice
a year, and stays moved until the next training.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

DAY = 86_400.0
WEEK = 7.0 * DAY
MAX_DAILY = 96
"""Knots of a day at most: every 15 minutes."""
MAX_WEEKLY = 168
"""Knots of a week at most: every hour."""


class Tables(NamedTuple):
    """Knots at equal distances, the first of a day at midnight UTC, of a week at that before a Thursday.

    Thursday, because 1970-01-01 was one.
    """

    daily: NDArray[np.float64]
    """(C, D) what is usual at a time of the day, beside the level."""
    weekly: NDArray[np.float64]
    """(C, W) what comes on top of that at a time of the week; D x 7 is a multiple of W."""
    spread: NDArray[np.float64]
    """(C, S) scatter at a time of the day, as a multiple of the channel's own, > 0; D is a multiple of S."""


class Season:
    """Both tables as one, with straight lines between the knots.

    >>> nothing = np.zeros((1, 7))
    >>> season = Season(Tables(np.array([[0.0, 6.0, 12.0, 6.0]]), nothing, np.ones((1, 1))), np.ones(1))
    >>> season.at(np.array([0, 0, 0]), DAY * np.array([0.0, 0.25, 5.375]))[0].tolist()
    [0.0, 6.0, 9.0]
    """

    def __init__(self, tables: Tables, unit: NDArray[np.float64]) -> None:
        """`unit` (C,) is what the season is expressed in."""
        channels, daily = tables.daily.shape
        self._knots = 7 * daily
        place = np.arange(self._knots + 1) / self._knots
        self._season, self._spread = (
            np.array([np.interp(place, np.arange(len(row)) / len(row), row, period=1.0) for row in table])
            for table in (np.tile(tables.daily, 7), np.tile(tables.spread, 7))
        )
        self._season += [np.interp(place, np.arange(len(row)) / len(row), row, period=1.0) for row in tables.weekly]
        self._season /= unit[:, None]
        self.swing: NDArray[np.float64] = np.ptp(self._season, axis=1).reshape(channels)
        """(C,) from the lowest to the highest of a week."""

    def at(
        self, channel: NDArray[np.intp], time: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(season, spread) of channels (R,) at times (R,), seconds since 1970."""
        share = np.mod(time, WEEK)
        share *= self._knots / WEEK
        knot = share.astype(np.intp)
        np.minimum(knot, self._knots - 1, out=knot)
        share -= knot
        knot += channel * (self._knots + 1)
        season, spread = self._season.reshape(-1), self._spread.reshape(-1)
        low, narrow = season[knot], spread[knot]
        knot += 1
        rise, widening = season[knot], spread[knot]
        rise -= low
        rise *= share
        rise += low
        widening -= narrow
        widening *= share
        widening += narrow
        return rise, widening
