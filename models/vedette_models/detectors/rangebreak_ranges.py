"""The range each view of `rangebreak` has shown, how far a value leaves it, and which breaks are records.

Shapes: D series known, R of them read in one round, each once; the two sides of a range are upwards and downwards.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from vedette_models.columns import Column
from vedette_models.detectors.rangebreak_views import (
    FIRST_READING,
    LAGS,
    LOG_RATIO,
    LOG_STEP_48,
    LOG_STEP_100,
    TINY,
    VIEWS,
    WEEK,
    Look,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

HORIZON = 8064
"""Ranges cover the last HORIZON to 2 HORIZON values of a view (four weeks of one reading every five minutes)."""
WARM = 50
"""Values of a view, beyond its lag, before leaving its range counts."""
YOUNG = 300
"""A break counts age / (age + YOUNG): a record is cheap early on."""
RESOLUTION = 0.001
"""Share of the mean |reading| that a step of a linear view never counts as less than (the sensor's resolution)."""
COOLDOWN, COOLDOWN_SHARE = 100, 0.05
"""A break counts if none in the last COOLDOWN readings, or this share of the age where that is more, was as large."""
RECORDS = 128
"""Breaks remembered for the cooldown. Only breaks that no later one has beaten matter: a few, or, while a series
settles after a fault and breaks less and less, many (98 on the worst of NAB). When all places are taken the newest joins
the smallest, so that breaks below that one count again a little later than they should."""

# Rows of a summary: mean and mean step of each view, its value at the reading before, then the series' own.
_MEANS, _STEPS, _PREVIOUS = slice(0, VIEWS), slice(VIEWS, 2 * VIEWS), slice(2 * VIEWS, 3 * VIEWS)
_MEAN, _DEVIATION, _LEVEL, _WEEK_COUNT = range(3 * VIEWS, 3 * VIEWS + 4)
_FIELDS = 3 * VIEWS + 4
_LEARNT = slice(0, 2 * VIEWS)

_FIRST = FIRST_READING.astype(np.float64)[:, None]
_MATURITY = np.array([np.zeros(VIEWS), LAGS])[:, :, None]  # of the mean, of the mean step
_LONGEST = HORIZON - _MATURITY
_FLOORS = np.full(VIEWS, RESOLUTION)
_FLOORS[[LOG_RATIO, LOG_STEP_48, LOG_STEP_100]] = 0.0
_WARM_COUNT = (WARM + LAGS).astype(np.float64)

LAYOUT: Mapping[str, Column] = {
    "age": Column(dtype=np.int64),
    "summary": Column((_FIELDS,)),
    # Largest v and largest -v of each view: since the range was last renewed, and in the whole range.
    "newest": Column((2, VIEWS), -np.inf),
    "reach": Column((2, VIEWS), -np.inf),
    # Age from which some view may be due to renew its range; derived, so it may always be 0.
    "renewal": Column(dtype=np.int64),
    # By place first: places that no series has needed yet are never written, and so take no memory.
    "record_age": Column((RECORDS,), series_last=True),
    "record_size": Column((RECORDS,), series_last=True),  # 0: free
}


class Breaks(NamedTuple):
    """B values outside the range of their view."""

    row: NDArray[np.intp]
    """(B,) position in the round."""
    view: NDArray[np.intp]
    value: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    size: NDArray[np.float64]
    """(B,) how far outside, in units of the view's own spread and step; > 0."""

    def take(self, which: NDArray[Any]) -> Breaks:
        """Those at `which`."""
        return Breaks(*(column[which] for column in self))

    def largest_by_row(self) -> Breaks:
        """The largest break of each row."""
        if len(self.row) == 1:
            return self
        order = np.lexsort((self.size, self.row))
        row = self.row[order]
        last = np.ones(len(row), np.bool_)
        np.not_equal(row[1:], row[:-1], out=last[:-1])
        return self.take(order[last])


class Ranges:
    """Learns the ranges of the views of each series in the columns of LAYOUT."""

    def __init__(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        self._summary = arrays["summary"]
        self._newest = arrays["newest"].reshape(-1, 2 * VIEWS)
        self._newest_flat = self._newest.reshape(-1)
        self._reach_flat = arrays["reach"].reshape(-1)
        self._renewal = arrays["renewal"]

    def open(
        self, series: NDArray[np.intp], age: NDArray[np.int64], x: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The summaries (fields, R) of a round, `x` learnt by the series' own means, and the readings so far (R,)."""
        summary = self._summary.take(series, axis=0).T.copy()
        count = age.astype(np.float64)
        count += 1.0
        mean = summary[_MEAN]
        mean[:] = mean + (x - mean) / count
        sizes = np.empty((2, len(x)))  # of the deviation and of the reading
        np.subtract(x, mean, out=sizes[0])
        sizes[1] = x
        np.abs(sizes, out=sizes)
        averages = summary[_DEVIATION : _LEVEL + 1]
        sizes -= averages
        sizes /= count
        averages += sizes
        return summary, count

    @staticmethod
    def deviation(summary: NDArray[np.float64]) -> NDArray[np.float64]:
        """(R,) mean absolute deviation of each series."""
        deviation: NDArray[np.float64] = summary[_DEVIATION]
        return deviation

    @staticmethod
    def previous(summary: NDArray[np.float64]) -> NDArray[np.float64]:
        """(10, R) what each view showed at the reading before."""
        previous: NDArray[np.float64] = summary[_PREVIOUS]
        return previous

    def learn(
        self,
        series: NDArray[np.intp],
        summary: NDArray[np.float64],
        count: NDArray[np.float64],
        look: Look,
        views: NDArray[np.float64],
    ) -> Breaks | None:
        """Learn `views` (2, 10, R), values and values a lag ago, which is overwritten; return what lay outside."""
        rows = len(series)
        values = views[0]
        counts = count - _FIRST  # values of each view, this one included
        summary[_WEEK_COUNT] += look.seen
        counts[WEEK] = summary[_WEEK_COUNT]

        previous = summary[_PREVIOUS]
        if look.complete:
            previous[:] = values
        else:
            np.copyto(previous, values, where=values == values)

        signed = np.empty((2, VIEWS, rows))
        signed[0] = values
        np.negative(values, out=signed[1])
        # Mean and step learn the value before it is judged by them: no division by zero, no infinity.
        np.subtract(values, views[1], out=views[1])
        np.abs(views[1], out=views[1])
        learnt = summary[_LEARNT].reshape(2, VIEWS, rows)
        views -= learnt
        weights = counts - _MATURITY
        np.minimum(weights, _LONGEST, out=weights)
        np.maximum(weights, 1.0, out=weights)
        views /= weights
        if not look.complete:
            np.copyto(views, 0.0, where=views != views)
        learnt += views
        self._summary[series] = summary.T

        breaks = self._extend(series, summary, counts, signed)
        due = count >= self._renewal[series]
        if due.any():
            self._renew(series, count, counts, signed, np.flatnonzero(due))
        return breaks

    def _extend(
        self,
        series: NDArray[np.intp],
        summary: NDArray[np.float64],
        counts: NDArray[np.float64],
        signed: NDArray[np.float64],
    ) -> Breaks | None:
        """Extend the ranges to the values `signed` (2, 10, R); return those that lay outside a range that is warm."""
        rows = len(series)
        newest = self._newest.take(series, axis=0).T.reshape(2, VIEWS, rows)
        hits = np.flatnonzero(signed > newest)
        if len(hits) == 0:
            return None
        place, row = np.divmod(hits, rows)  # place: side x views + view
        cell = series[row] * (2 * VIEWS) + place
        value = signed.reshape(-1)[hits]
        reach = self._reach_flat[cell]
        other = self._reach_flat[cell + np.where(place < VIEWS, VIEWS, -VIEWS)]
        self._newest_flat[cell] = value
        self._reach_flat[cell] = np.maximum(reach, value)

        view = place % VIEWS
        n = counts[view, row]
        outside = np.flatnonzero((value > reach) & (n > _WARM_COUNT[view]))
        if len(outside) == 0:
            return None
        place, view, row, n = place[outside], view[outside], row[outside], n[outside]
        value, reach, other = value[outside], reach[outside], other[outside]
        up = place < VIEWS
        mean, step = summary[view, row], summary[view + VIEWS, row]
        spread = np.abs(np.where(up, value, -value) - mean)
        step = np.maximum(step, _FLOORS[view] * summary[_LEVEL, row])
        size = n / (n + YOUNG) * (value - reach) / np.sqrt((spread + TINY) * (step + TINY))
        return Breaks(
            row,
            view,
            np.where(up, value, -value),
            np.where(up, -other, -reach),
            np.where(up, reach, other),
            size,
        )

    def _renew(
        self,
        series: NDArray[np.intp],
        count: NDArray[np.float64],
        counts: NDArray[np.float64],
        signed: NDArray[np.float64],
        due: NDArray[np.intp],
    ) -> None:
        """Where a view has had another HORIZON values, its range becomes that of those, and the newest starts anew."""
        counts = counts[:, due]
        view, which = np.nonzero((counts % HORIZON == 0) & (counts > 0))
        row = due[which]
        for side in range(2):
            cell = series[row] * (2 * VIEWS) + side * VIEWS + view
            self._reach_flat[cell] = self._newest_flat[cell]
            self._newest_flat[cell] = signed[side, view, row]
        left = HORIZON - counts % HORIZON
        self._renewal[series[due]] = count[due] + left.min(axis=0)


class Records:
    """The cooldown: a break counts only if it is the largest for some time."""

    def __init__(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        self._ages, self._sizes = arrays["record_age"], arrays["record_size"]
        used = np.flatnonzero(self._sizes.any(axis=1))
        self._places = int(used[-1]) + 1 if len(used) else 0

    def keep(self, series: NDArray[np.intp], age: NDArray[np.int64], size: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Remember breaks (B,) of different series; return which of them are records."""
        places = min(self._places + 1, RECORDS)
        ages, sizes = self._ages[:places].take(series, axis=1), self._sizes[:places].take(series, axis=1)
        start = age - np.maximum(COOLDOWN, COOLDOWN_SHARE * age)
        sizes[ages < start] = 0.0
        record: NDArray[np.bool_] = size > sizes.max(axis=0)
        sizes[sizes <= size] = 0.0  # beaten: they no longer matter
        place, each = sizes.argmin(axis=0), np.arange(len(size))
        ages[place, each] = age
        sizes[place, each] = np.maximum(sizes[place, each], size)
        self._places = max(self._places, int(place.max()) + 1)
        self._ages[:places, series] = ages
        self._sizes[:places, series] = sizes
        return record
