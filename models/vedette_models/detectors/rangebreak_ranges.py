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
settles after a fault and breaks less and less, many (98 on the worst of NAB). When all places are taken the newest
joins the smallest, so that breaks below that one count again a little later than they should."""

# Rows of a summary: of each view mean, mean step, and value at the reading before; of each view, upwards then
# downwards, the largest value since its range was last renewed; and of the series itself.
_LEARNT = slice(0, 2 * VIEWS)
_PREVIOUS = slice(2 * VIEWS, 3 * VIEWS)
_NEWEST = slice(3 * VIEWS, 5 * VIEWS)
_MEAN, _DEVIATION, _LEVEL, AGE, _WEEK_COUNT, _RENEWAL = range(5 * VIEWS, 5 * VIEWS + 6)
_MUTED = slice(5 * VIEWS + 6, 6 * VIEWS + 6)
"""Readings at which a view had nothing to show for a gap."""
FIELDS_BEFORE_GAPS, FIELDS = 5 * VIEWS + 6, 6 * VIEWS + 6
_UNKNOWN = (0.0,) * (2 * VIEWS) + (np.nan,) * VIEWS + (-np.inf,) * (2 * VIEWS) + (0.0,) * (6 + VIEWS)

_FIRST = FIRST_READING.astype(np.float64)[:, None]
_MATURITY = np.array([np.zeros(VIEWS), LAGS])[:, :, None]  # of the mean, of the mean step
_LONGEST = HORIZON - _MATURITY
# By place: view, upwards then downwards.
_FLOORS = np.full(2 * VIEWS, RESOLUTION)
_FLOORS.reshape(2, VIEWS)[:, [LOG_RATIO, LOG_STEP_48, LOG_STEP_100]] = 0.0
_WARM_COUNT = np.tile((WARM + LAGS).astype(np.float64), 2)

LAYOUT: Mapping[str, Column] = {
    "summary": Column((FIELDS,), _UNKNOWN),
    "reach": Column((2, VIEWS), -np.inf),  # of each view the largest v, and the largest -v, of its whole range
    # By place first: places that no series has needed yet are never written, and so take no memory.
    "records": Column((RECORDS, 2), series_last=True),  # when (age), and how large; 0: free
}


class Summaries(NamedTuple):
    """What is known of the R series of a round, as columns, and parts of it."""

    series: NDArray[np.intp]
    table: NDArray[np.float64]
    """(fields, R) written back when the round has been learnt."""
    age: NDArray[np.intp]
    """(R,) readings before this one."""
    readings: NDArray[np.float64]
    """(R,) readings, this one included."""
    deviation: NDArray[np.float64]
    """(R,) mean absolute deviation."""
    previous: NDArray[np.float64]
    """(10, R) what each view showed at the reading before; NaN: nothing yet."""
    steps: NDArray[np.float64]
    """(10, R) mean step of each view before this reading."""


class Breaks(NamedTuple):
    """B values outside the range of their view."""

    row: NDArray[np.intp]
    """(B,) position in the round."""
    place: NDArray[np.intp]
    """(B,) view, plus VIEWS where it left its range downwards."""
    value: NDArray[np.float64]
    """(B,) what the view showed; negative where it left its range downwards, like `reach`."""
    reach: NDArray[np.float64]
    """(B,) the end of its range."""
    size: NDArray[np.float64]
    """(B,) how far outside, in units of the view's own spread and step; > 0."""

    def take(self, which: NDArray[Any]) -> Breaks:
        """Those at `which`."""
        return Breaks(*(column[which] for column in self))


class Ranges:
    """Learns the ranges of the views of each series in the columns of LAYOUT."""

    def __init__(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        self._summary = arrays["summary"]
        self._reach = arrays["reach"].reshape(-1)

    def open(self, series: NDArray[np.intp], x: NDArray[np.float64]) -> Summaries:
        """The summaries of a round of R different series, in which the readings `x` count already."""
        table = self._summary.take(series, axis=0).T.copy()
        age = table[AGE].astype(np.intp)
        count = table[AGE]
        count += 1.0
        mean = table[_MEAN]
        change = x - mean
        change /= count
        mean += change
        sizes = np.empty((2, len(x)))  # of the deviation and of the reading
        np.subtract(x, mean, out=sizes[0])
        sizes[1] = x
        np.abs(sizes, out=sizes)
        averages = table[_DEVIATION : _LEVEL + 1]
        sizes -= averages
        sizes /= count
        averages += sizes
        return Summaries(series, table, age, count, table[_DEVIATION], table[_PREVIOUS], table[VIEWS : 2 * VIEWS])

    def learn(
        self, summaries: Summaries, views: NDArray[np.float64], allowed: NDArray[np.float64] | None, complete: bool
    ) -> Breaks | None:
        """Learn `views` (2, 10, R), values and values a lag ago, which is overwritten; return what lay outside.

        Where something is `allowed` (10, R), a view has left its range only if it is farther away than that. `complete`
        says that there is no NaN, which stands where a view has no value.
        """
        series, table = summaries.series, summaries.table
        rows = len(series)
        values = views[0]
        counts = summaries.readings - _FIRST - table[_MUTED]  # values of each view, this one included
        weeks = table[_WEEK_COUNT]
        signed = np.empty((2, VIEWS, rows))
        signed[0] = values
        np.negative(values, out=signed[1])
        # Mean and step learn the value before it is judged by them: no division by zero, no infinity.
        steps = views[1]
        np.subtract(values, steps, out=steps)
        np.abs(steps, out=steps)
        learnt = table[_LEARNT].reshape(2, VIEWS, rows)
        if complete:
            weeks += 1.0
            counts[WEEK] = weeks
            table[_PREVIOUS] = values
            weights = counts - _MATURITY
            np.minimum(weights, _LONGEST, out=weights)
            views -= learnt
            views /= weights
        else:
            known = values == values
            weeks += known[WEEK]
            muted = ~known & (counts > 0.0)
            table[_MUTED] += muted
            counts -= muted
            counts[WEEK] = weeks
            np.copyto(table[_PREVIOUS], values, where=known)
            weights = counts - _MATURITY
            np.minimum(weights, _LONGEST, out=weights)
            np.maximum(weights, 1.0, out=weights)
            views -= learnt
            views /= weights
            np.copyto(views, 0.0, where=views != views)
        learnt += views

        newest = table[_NEWEST].reshape(2, VIEWS, rows)
        hits = np.flatnonzero(signed > newest)
        breaks = None
        if len(hits):
            breaks = self._extend(summaries, hits, counts, signed, allowed)
            np.fmax(newest, signed, out=newest)
        due = summaries.readings >= table[_RENEWAL]
        if np.logical_or.reduce(due):
            counts[(values != values) & (counts > 0.0)] = -1.0  # nothing is renewed by what is not there
            self._renew(summaries, np.flatnonzero(due), counts, signed)
        self._summary[series] = table.T
        return breaks

    def _extend(
        self,
        summaries: Summaries,
        hits: NDArray[np.intp],
        counts: NDArray[np.float64],
        signed: NDArray[np.float64],
        allowed: NDArray[np.float64] | None,
    ) -> Breaks | None:
        """Extend the ranges to the `hits` among `signed` (2, 10, R); return those outside a range that is warm."""
        table, rows = summaries.table, len(summaries.series)
        place, row = np.divmod(hits, rows)  # place: side x views + view
        cell = summaries.series.take(row)
        cell *= 2 * VIEWS
        cell += place
        value, reach = signed.take(hits), self._reach.take(cell)
        self._reach[cell] = np.maximum(value, reach)
        lane = hits % (VIEWS * rows)  # view x rows + row
        count = counts.take(lane)
        beyond = value - reach
        if allowed is not None:
            with np.errstate(invalid="ignore"):  # anything is allowed to a view that has shown nothing yet
                beyond -= allowed.take(lane)
        outside = np.flatnonzero((beyond > 0.0) & (count > _WARM_COUNT.take(place)))
        if len(outside) == 0:
            return None
        breaks = Breaks(row, place, value, reach, count).take(outside)
        row, place, value, reach, count = breaks
        lane, beyond = lane.take(outside), beyond.take(outside)
        spread = np.abs(signed.take(lane) - table.take(lane))
        lane += VIEWS * rows
        step = _FLOORS.take(place)
        step *= table[_LEVEL].take(row)
        np.maximum(step, table.take(lane), out=step)
        spread += TINY
        step += TINY
        spread *= step
        size = count / (count + YOUNG)
        size *= beyond
        size /= np.sqrt(spread)
        return Breaks(row, place, value, reach, size)

    def other_side(self, summaries: Summaries, breaks: Breaks) -> NDArray[np.float64]:
        """(B,) the other end of the range that each of the round's breaks left, negative where that is downwards."""
        opposite = breaks.place + np.where(breaks.place < VIEWS, VIEWS, -VIEWS)
        return self._reach.take(summaries.series[breaks.row] * (2 * VIEWS) + opposite)

    def _renew(
        self, summaries: Summaries, due: NDArray[np.intp], counts: NDArray[np.float64], signed: NDArray[np.float64]
    ) -> None:
        """Where a view has had another HORIZON values, its range becomes that of those, and the newest starts anew."""
        counts = counts[:, due]
        view, which = np.nonzero((counts % HORIZON == 0) & (counts > 0))
        row = due[which]
        newest = summaries.table[_NEWEST]
        for side in (0, VIEWS):
            self._reach[summaries.series[row] * (2 * VIEWS) + side + view] = newest[side + view, row]
            newest[side + view, row] = signed.reshape(2 * VIEWS, -1)[side + view, row]
        left = HORIZON - counts % HORIZON
        summaries.table[_RENEWAL, due] = summaries.readings[due] + left.min(axis=0)


class Records:
    """The cooldown: a break counts only if it is the largest for some time."""

    def __init__(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        self._table = arrays["records"]
        used = np.flatnonzero(self._table[:, 1].any(axis=1))
        self.places = int(used[-1]) + 1 if len(used) else 0
        """How many places any series has needed so far."""

    def keep(self, series: NDArray[np.intp], age: NDArray[np.intp], size: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Remember breaks (B,), one per series or equal ones; return which of them are records."""
        places = min(self.places + 1, RECORDS)
        table = self._table[:places].take(series, axis=2)  # (places, 2, B)
        ages, sizes = table[:, 0], table[:, 1]
        cooldown = COOLDOWN_SHARE * age
        np.maximum(cooldown, COOLDOWN, out=cooldown)
        sizes *= ages >= age - cooldown
        record: NDArray[np.bool_] = size > np.maximum.reduce(sizes, axis=0)
        sizes *= sizes > size  # beaten: they no longer matter
        place, each = sizes.argmin(axis=0), np.arange(len(size))
        ages[place, each] = age
        sizes[place, each] = np.maximum(sizes[place, each], size)
        self.places = max(self.places, int(np.maximum.reduce(place)) + 1)
        self._table[:places, :, series] = table
        return record
