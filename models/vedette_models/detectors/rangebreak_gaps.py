"""Gaps in a series: how long ago the last one was, so that no view of `rangebreak` is misled by it.

What a view compares with must be from this side of the gap. Where a window still holds much from before, the view is
mute: a reading is not compared with a median that is hours old. Of activity, only the step across the gap is left out.
A level may be elsewhere after a gap, so that is allowed for.

A gap lasts LONG times the usual interval of the series, as long as the shortest window: in less time a series goes no
further than it does within any window. The usual interval is the root mean square, so that pauses that come once in
LONG² readings or more often, and are in every long window, are usual: nights without traffic, bursts, batteries.

Shapes: D series known, R of them read in one round, each once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from vedette_models.columns import LATEST, Column
from vedette_models.detectors.base import StateError
from vedette_models.detectors.rangebreak_views import (
    LAGS,
    LOG_RATIO,
    MEAN_24,
    MEDIAN_25,
    MEDIAN_51,
    MEDIAN_101,
    PAIR,
    VIEWS,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

LONG = 12.0
"""Usual intervals from which a pause is a gap."""
MEMORY = 300
"""Readings over which the usual interval is learnt."""
FEWEST = 8
"""Readings from which it is known well enough."""

_LAST, _SQUARE, SINCE, LENGTH = range(4)
"""Of a series: time of the newest reading, mean square interval, readings since the last gap (infinite: there was none)
and how long that was, in usual intervals."""

_MUTE = np.zeros(VIEWS)
_MUTE[[MEDIAN_25, MEDIAN_51, MEDIAN_101, LOG_RATIO, PAIR, MEAN_24]] = 17, 34, 68, 68, 20, 23
"""(10,) readings since a gap from which a view shows this side of it: of a median's window two thirds, so that it lies
well within them; of pairs three, the third-nearest of which counts."""
_LEARNS = _MUTE + 24.0
"""(10,) ... and from which it is judged without allowance: what it shows first is learnt."""
_MUTE, _LEARNS = _MUTE[:, None], _LEARNS[:, None]
OVER = 101.0
"""Readings after which a gap is forgotten."""
_WANDERING = 5.0
"""Times its step, by the square root of time, that a wandering level may have moved: 3.3 standard deviations."""

LAYOUT: Mapping[str, Column] = {"pace": Column((4,), (np.nan, 0.0, np.inf, 0.0))}


class Gap(NamedTuple):
    """Of R series, of which one at least has had a gap not long ago."""

    since: NDArray[np.float64]
    """(R,) readings since the gap, this one not counted; infinite: there was none."""
    length: NDArray[np.float64]
    """(R,) usual intervals."""

    def mute(self, values: NDArray[np.float64]) -> None:
        """Take out of the `values` of the views (10, R) what was seen across a gap: NaN."""
        values[self.since < _MUTE] = np.nan

    def allowance(self, steps: NDArray[np.float64]) -> NDArray[np.float64]:
        """(10, R) how far a view may leave its range for the gap alone; `steps` (10, R): its mean steps.

        Of the mean of 24, as far as a level goes that drifts, and beside that wanders, as it usually does: what is
        truly elsewhere is told. Of all others anything.
        """
        allowed = np.where(self.since < _LEARNS, np.inf, 0.0)
        windows = self.length / LAGS[MEAN_24]
        moved = (windows + _WANDERING * np.sqrt(windows)) * steps[MEAN_24]
        allowed[MEAN_24] = np.minimum(allowed[MEAN_24], moved)
        return allowed


class Pace:
    """How readings usually follow each other, in the column of LAYOUT."""

    def __init__(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        self._pace = arrays["pace"]

    @staticmethod
    def check(pace: NDArray[np.generic]) -> None:
        """Say whether a saved column can be what readings lead to.

        Raises:
            StateError: it cannot.
        """
        last, square, since, length = np.moveaxis(np.asarray(pace, np.float64), -1, 0)
        if (
            not ((last != last) | (np.abs(last) <= LATEST)).all()
            or not ((square >= 0.0) & (square < np.inf) & (since >= 0.0) & (length >= 0.0) & (length < np.inf)).all()
        ):
            raise StateError('saved array "pace" holds times or intervals that no readings have')

    def interval(self, series: NDArray[np.intp]) -> NDArray[np.float64]:
        """(R,) usual seconds between readings; 0: not known."""
        interval: NDArray[np.float64] = np.sqrt(self._pace[series, _SQUARE])
        return interval

    def note(self, series: NDArray[np.intp], age: NDArray[np.intp], time: NDArray[np.float64]) -> Gap | None:
        """Note readings at `time` (R,) of series that have had `age` (R,) before; None where no gap matters.

        Time that does not go on is no gap.
        """
        pace = self._pace.take(series, axis=0).T
        last, square, since, length = pace
        passed = time - last
        np.fmax(passed, 0.0, out=passed)  # also of the first reading, of which NaN has passed
        longest = np.sqrt(square)
        longest *= LONG
        longest[age < FEWEST] = np.inf
        since += 1.0
        is_gap = passed > longest
        is_gap &= longest > 0.0
        if np.logical_or.reduce(is_gap):
            intervals = passed[is_gap] * (LONG / longest[is_gap])
            length[is_gap] = intervals + np.where(since[is_gap] < OVER, length[is_gap], 0.0)
            since[is_gap] = 0.0
            np.minimum(passed, longest, out=passed, where=is_gap)
        passed *= passed
        passed -= square
        passed /= np.minimum(np.maximum(age, 1), MEMORY)
        square += passed
        last[:] = time
        self._pace[series] = pace.T
        return Gap(since, length) if np.minimum.reduce(since) < OVER else None
