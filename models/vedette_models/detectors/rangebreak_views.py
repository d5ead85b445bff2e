"""The ten views through which `rangebreak` looks at a series, for many series at once.

Shapes: D series known, R of them read in one round, each once. Everything is float64: float32 loses, after one reading
far from the others (0 at power-on, then 1e6 ± 0.1), the digits that count.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from vedette_models.aspects import AVERAGE, STEP, THIS_HOUR, UNLIKE, VALUE, lasting
from vedette_models.columns import Column
from vedette_models.detectors.base import Finding
from vedette_models.windows import Windows, range_of_most

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

MEDIAN_25, MEDIAN_51, MEDIAN_101, LOG_RATIO, WEEK, PAIR, MEAN_24, STEP_12, LOG_STEP_48, LOG_STEP_100 = range(10)
VIEWS = 10
FIRST_READING = np.array([0, 0, 0, 0, 0, 19, 23, 12, 48, 100])
"""(10,) age, in readings before this one, at which a view has its first value; the week's view skips further ones."""
LAGS = np.array([1, 1, 1, 1, 1, 1, 24, 12, 48, 100])
"""(10,) readings between the two values whose difference is a view's step: its own window, for a smoothed view moves
little from one reading to the next."""

RING = 101
"""Readings kept: the longest window."""
HOUR_SECONDS, WEEK_HOURS = 3_600.0, 168
PAIRS, PAIR_EVERY, PAIR_DELAY = 100, 3, 6
"""Pairs of readings in a row kept, one of so many readings, and how many newest readings are not compared with."""
PAIRS_FROM = PAIR_DELAY + PAIR_EVERY
"""Age at which the first pair is kept."""
MATURE = 200
"""Age from which every view, the week's aside, has a value and one a lag ago."""
TINY = 1e-12
"""Keeps logarithms and quotients finite on a constant series."""
CHATTER_FLOOR = 0.02
"""Share of the series' mean deviation below which the logarithm of the activity flattens out."""

PLAINNESS = (0, 0, 0, 0, 1, 4, 2, 3, 3, 3)
"""By view, how much it asks of a reader: the value, the value at this hour, a mean, activity, pairs."""
CHUNK = 256
"""Most series of a round: few enough that what is gathered of them stays near the processor."""

_MEDIAN_WINDOWS = (25, 51, 101)
_LOG_LAGS = (48, 100)
_WINDOW_LENGTHS = np.array([[24.0], [12.0]])
_LOG_LENGTHS = np.array([[48.0], [100.0]])
_WEEK_RATES = np.array([1, 1 / 2, 1 / 3, 0.3])
"""How fast an hour of the week learns, by the number of its earlier readings (3: three or more)."""
KEPT = 3.0
"""What an hour of the week learns in a visit and keeps for the next week is at most so many times what hours of this
series usually keep: a fault that lasts into the next hours is not what is expected there a week later. On NAB this
gains 0.4, 0.9 and 0.3 points (standard, low FP, low FN) and 0.4 with a category left out."""
VISITS = 24
"""Visits of hours known from an earlier week that it takes to know what is usual."""
ONE_WAY = 0.95
"""Share of what hours change from week to week that goes one way, from which the series only grows: no usual week."""
_HOUR, _BEFORE, _CHANGE, _COUNT, _TREND = range(5)
VISIT_FIELDS = 5
"""Of the visit of an hour that is going on: which, -1 none yet; what its mean was before, NaN unknown; and of earlier
visits how much means changed on average, how many there were, and how much they changed with the sign."""
_CYCLE = np.arange(1200)
_PLACES = np.stack(
    [
        _CYCLE % _LOG_LAGS[0],
        _CYCLE % _LOG_LAGS[1] + _LOG_LAGS[0],
        np.where(_CYCLE % PAIR_EVERY == 0, (_CYCLE // PAIR_EVERY - 3) % PAIRS, -1),
    ]
)
"""(3, 1200) by age modulo 1200: where the two logarithmic activity views keep their value, and the slot of the pair
that is due to be kept, -1 where none is."""
_LARGEST_LOG = 650.0
_REFERENCE = {MEDIAN_25: 25, MEDIAN_51: 51, MEDIAN_101: 101, LOG_RATIO: 101}
"""By view, the readings whose median a reading is compared with."""
LAYOUT: Mapping[str, Column] = {
    "readings": Windows.column(RING),
    "pair_first": Column((PAIRS,), np.inf),
    "pair_second": Column((PAIRS,), np.inf),
    # By hour first: at any moment nearly all devices are in the same hour, so their profile fits into the cache.
    "week_mean": Column((WEEK_HOURS,), series_last=True),
    "week_visits": Column((WEEK_HOURS,), dtype=np.uint8, series_last=True),
    "visit": Column((VISIT_FIELDS,), (-1.0, np.nan, 0.0, 0.0, 0.0)),
    "activity": Column((sum(_LOG_LAGS),), np.nan),
}


def hour_of_week(time: NDArray[np.float64]) -> NDArray[np.intp]:
    """(N,) seconds since 1970 UTC, within ± 1e15 -> (N,) 0 to 167, counted from Thursday 00:00 UTC."""
    hours = np.floor(time / HOUR_SECONDS).astype(np.intp)
    hours %= WEEK_HOURS
    return hours


def compress(x: NDArray[np.float64], scale: NDArray[np.float64]) -> NDArray[np.float64]:
    """sign(x) log(1 + |x| / scale): differences of it are ratios for large values and differences for small ones."""
    compressed: NDArray[np.float64] = np.abs(x)
    compressed /= scale
    np.log1p(compressed, out=compressed)
    return np.copysign(compressed, x, out=compressed)


class Views:
    """Computes the views of a round from the columns of LAYOUT and enters the round's readings into them."""

    def __init__(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        self._series = len(arrays["readings"])
        self._windows = Windows(arrays["readings"], RING)
        self._pairs = arrays["pair_first"], arrays["pair_second"]
        self._pairs_flat = self._pairs[0].reshape(-1), self._pairs[1].reshape(-1)
        self._week_mean = arrays["week_mean"].reshape(-1)
        self._week_visits = arrays["week_visits"].reshape(-1)
        self._visit = arrays["visit"]
        self._activity = arrays["activity"].reshape(-1)
        # Allocating these anew in every round would cost more than filling them.
        self._recent_memory = np.empty(RING * CHUNK)
        self._steps_memory = np.empty((RING - 1) * CHUNK)
        self._pair_memory = np.empty(2 * CHUNK * PAIRS)
        self._square_memory = np.empty(CHUNK * PAIRS)

    def look(
        self,
        series: NDArray[np.intp],
        age: NDArray[np.intp],
        x: NDArray[np.float64],
        hour: NDArray[np.intp],
        deviation: NDArray[np.float64],
        views: NDArray[np.float64],
        since: NDArray[np.float64] | None = None,
    ) -> bool:
        """Write (2, 10, R) `views`: values, and for the views with longer lags than 1 their values a lag ago.

        NaN stands where there is none; returns whether there is no NaN. `series`, `age` (readings before this one), the
        readings `x`, the `hour` of the week and the mean absolute `deviation` of the series so far are (R,), 2 <= R <=
        CHUNK. The series are all different, or all copies of one. `since` (R,) a gap there were so many readings: the
        step across it is no step from one reading to the next.
        """
        rows = len(series)
        values = views[0]
        youngest = int(np.minimum.reduce(age))
        window = self._windows.last(series, age)
        # Time first, because numpy adds the rows of a two-dimensional array one after the other, oldest to newest: a
        # window of the same values has the same sum whatever the batch, and a repeating series never seems to leave its
        # range. (A single column numpy would add pairwise, hence 2 <= R.)
        recent = self._recent_memory[: RING * rows].reshape(RING, rows)
        recent[:-1] = window[:, 1:].T
        recent[-1] = x
        self._windows.append(series, age, x)

        levels = np.empty((4, rows))  # three medians, then the reading
        _medians(window, age, youngest, levels)
        levels[3] = x
        np.subtract(x, levels[:3], out=values[:3])
        ratio = compress(levels[2:], deviation + TINY)
        np.subtract(ratio[1], ratio[0], out=values[LOG_RATIO])
        if youngest < 3:
            values[: LOG_RATIO + 1, age < 3] = 0.0

        places = _PLACES.take(age % len(_CYCLE), axis=1)
        seen = self._week(series, x, hour, values[WEEK])
        self._pair(series, recent, values[PAIR])
        if youngest < FIRST_READING[PAIR]:
            values[PAIR, age < FIRST_READING[PAIR]] = np.nan
            places[2, age < PAIRS_FROM] = -1
        self._keep_pairs(series, recent, places[2])
        self._activity_views(series, recent, deviation, places[:2], views, since)
        return seen and youngest >= MATURE

    def recent_range(
        self, rows: int, which: NDArray[np.intp], readings: NDArray[np.intp]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Of rows `which` (K,) of the last look, (K,) how many readings there were among the newest `readings` (K,) of
        up to 100 before the last, and the smallest and largest of them that do not stand alone.

        `rows` is how many rows that look had.
        """
        before = self._recent_memory[: (RING - 1) * rows].reshape(RING - 1, rows)[:, which]
        before[np.arange(RING - 1, 0, -1)[:, None] > readings] = np.nan
        return range_of_most(before)

    def newest_range(
        self, series: NDArray[np.intp], age: NDArray[np.intp]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Of `series` (K,) that have had `age` (K,) readings, at least one: the smallest and the largest of the newest
        100 of them that do not stand alone, (K,) each.
        """
        return range_of_most(self._windows.last(series, age)[:, 1:].T)[1:]

    def _week(
        self,
        series: NDArray[np.intp],
        x: NDArray[np.float64],
        hour: NDArray[np.intp],
        residual: NDArray[np.float64],
    ) -> bool:
        """Reading minus the learnt mean of its hour of the week, NaN where that hour is new; whether none is."""
        moved = np.flatnonzero(self._visit[:, _HOUR].take(series) != hour)
        if len(moved):
            self._begin_hour(series[moved], hour[moved])
        cell = hour * self._series
        cell += series
        visits = self._week_visits[cell]
        mean = self._week_mean[cell]
        np.subtract(x, mean, out=residual)
        fewest = int(np.minimum.reduce(visits))
        if fewest == 3:
            mean += _WEEK_RATES[3] * residual
        else:
            mean += _WEEK_RATES[visits] * residual
            self._week_visits[cell] = np.minimum(visits + 1, 3)
            if fewest == 0:
                residual[visits == 0] = np.nan
        self._week_mean[cell] = mean
        return fewest > 0

    def unfamiliar(self, series: NDArray[np.intp]) -> NDArray[np.bool_]:
        """(R,) whether nobody knows yet what is usual at this hour of the week, or the series has no usual week."""
        _, before, change, count, trend = self._visit.take(series, axis=0).T
        unfamiliar: NDArray[np.bool_] = before != before
        unfamiliar |= count < VISITS
        unfamiliar |= np.abs(trend) > ONE_WAY * change
        return unfamiliar

    def _begin_hour(self, series: NDArray[np.intp], hour: NDArray[np.intp]) -> None:
        """Limit what the hours that are over have learnt, and note what is known of those that begin."""
        visit = self._visit.take(series, axis=0).T
        known = np.flatnonzero(visit[_BEFORE] == visit[_BEFORE])
        if len(known):
            over = visit[:, known]
            cell = over[_HOUR].astype(np.intp) * self._series + series[known]
            change = self._week_mean[cell] - over[_BEFORE]
            settled = over[_COUNT] >= VISITS
            limit = KEPT * over[_CHANGE, settled]
            change[settled] = np.clip(change[settled], -limit, limit)
            self._week_mean[cell[settled]] = (over[_BEFORE] + change)[settled]
            over[_COUNT] += 1.0
            recent = np.minimum(over[_COUNT], WEEK_HOURS)
            over[_CHANGE] += (np.abs(change) - over[_CHANGE]) / recent
            over[_TREND] += (change - over[_TREND]) / recent
            visit[:, known] = over
        cell = hour * self._series + series
        visit[_HOUR] = hour
        visit[_BEFORE] = np.where(self._week_visits[cell] > 0, self._week_mean[cell], np.nan)
        self._visit[series] = visit.T

    def _pair(self, series: NDArray[np.intp], recent: NDArray[np.float64], novelty: NDArray[np.float64]) -> None:
        """Distance (root mean square) of the last two readings to the third-nearest of the pairs kept."""
        rows = len(series)
        apart = self._pair_memory[: 2 * rows * PAIRS].reshape(2, rows, PAIRS)
        for side, pairs in enumerate(self._pairs):
            pairs.take(series, axis=0, out=apart[side], mode="clip")  # any other mode copies `out` first
        apart -= recent[-2:, :, None]
        apart *= apart
        squares = self._square_memory[: rows * PAIRS].reshape(rows, PAIRS)
        np.add(apart[0], apart[1], out=squares)
        flat = squares.reshape(-1)
        first = np.arange(0, flat.size, PAIRS)
        for _ in range(2):  # striking out the nearest twice is cheaper than a partition
            flat[squares.argmin(axis=1) + first] = np.inf
        third = flat[squares.argmin(axis=1) + first]
        third *= 0.5
        np.sqrt(third, out=novelty)

    def _keep_pairs(self, series: NDArray[np.intp], recent: NDArray[np.float64], slot: NDArray[np.intp]) -> None:
        """Keep the pair of readings that is now old enough where a `slot` is due."""
        due = np.flatnonzero(slot >= 0)
        if len(due):
            cell = series[due] * PAIRS + slot[due]
            self._pairs_flat[0][cell] = recent[-2 - PAIR_DELAY, due]
            self._pairs_flat[1][cell] = recent[-1 - PAIR_DELAY, due]

    def _activity_views(
        self,
        series: NDArray[np.intp],
        recent: NDArray[np.float64],
        deviation: NDArray[np.float64],
        places: NDArray[np.intp],
        views: NDArray[np.float64],
        since: NDArray[np.float64] | None,
    ) -> None:
        """Mean of the last 24 readings, mean absolute step of the last 12, and its logarithm over 48 and 100."""
        rows = len(series)
        values, before = views
        steps = self._steps_memory[: (RING - 1) * rows].reshape(RING - 1, rows)
        np.subtract(recent[1:], recent[:-1], out=steps)
        np.abs(steps, out=steps)
        if since is not None:
            across = np.flatnonzero(since < len(steps))
            place = len(steps) - 1 - since[across].astype(np.intp)
            steps[place, across] = np.nan_to_num(before[STEP_12, across], nan=0.0)
        now_and_before = views[::-1]
        np.add.reduce(recent[-48:].reshape(2, 24, rows), axis=1, out=now_and_before[:, MEAN_24])
        np.add.reduce(steps[-24:].reshape(2, 12, rows), axis=1, out=now_and_before[:, STEP_12])
        views[:, MEAN_24 : STEP_12 + 1] /= _WINDOW_LENGTHS
        logs = values[LOG_STEP_48:]
        np.add.reduce(steps[-48:], axis=0, out=logs[0])
        np.add.reduce(steps, axis=0, out=logs[1])
        logs /= _LOG_LENGTHS
        logs += CHATTER_FLOOR * deviation
        logs += TINY
        np.log(logs, out=logs)
        places += series * sum(_LOG_LAGS)
        before[LOG_STEP_48:] = self._activity[places]
        self._activity[places] = logs


def _medians(window: NDArray[np.float64], age: NDArray[np.intp], youngest: int, medians: NDArray[np.float64]) -> None:
    """Medians of the last 25, 51 and 101 readings into rows 0 to 2; `window` (R, 101) is scrambled."""
    if youngest >= RING:
        for row, width in enumerate(_MEDIAN_WINDOWS):
            part = window[:, -width:].copy() if width < RING else window
            part.partition(width // 2, axis=1)
            medians[row] = part[:, width // 2]
        return
    each, oldest = np.arange(len(age)), int(np.maximum.reduce(age))
    for row, width in enumerate(_MEDIAN_WINDOWS):  # NaN, where no reading has been, sorts last
        if row and oldest <= _MEDIAN_WINDOWS[row - 1]:
            medians[row] = medians[row - 1]
            continue
        count = np.minimum(age, width)
        part = np.sort(window[:, -min(width, max(oldest, 1)) :], axis=1)
        medians[row] = 0.5 * (part[each, (count - 1) // 2] + part[each, count // 2])


class Past(NamedTuple):
    """What a break is told by, beside its view: the series as it was just before."""

    x: float
    """The reading."""
    deviation: float
    """Mean absolute deviation of the series at that moment."""
    interval: float
    """Usual seconds between readings; 0: not known."""
    readings: int
    """How many there were before."""
    recent: int
    """How many of them, the newest, are looked at here ..."""
    least: float
    """... and the smallest and largest, but for what stands alone."""
    most: float


def describe(view: int, value: float, low: float, high: float, past: Past, horizon: int) -> Finding:
    """What left its range, in the reading's own unit.

    `value` is what `view` showed, `low` and `high` the range it had shown before, in its last `horizon` readings at
    least. low <= high and all is finite. A reading unlike all recent ones is told by that, whatever noticed it; where
    the range is not all that the series has shown, the aspect says so.
    """
    x, interval = past.x, past.interval
    forgets = f", in the last {lasting(horizon, interval)}" if past.readings > horizon else ""
    if view == MEAN_24:
        return Finding(f"{AVERAGE} over the last {lasting(24, interval)}{forgets}", value, low, high)
    if view in (STEP_12, LOG_STEP_48, LOG_STEP_100):
        if view != STEP_12:
            value, low, high = (_activity(logarithm, past.deviation) for logarithm in (value, low, high))
        return Finding(f"{STEP} over the last {lasting(int(LAGS[view]), interval)}{forgets}", value, low, high)
    if not past.least <= x <= past.most:
        if view != WEEK:
            return Finding(f"{VALUE}, in the last {lasting(past.recent, interval)}", x, past.least, past.most)
    elif view == PAIR:
        return Finding(f"{UNLIKE} of the last {lasting(PAIRS * PAIR_EVERY, interval)}", value, low, high)
    if view == LOG_RATIO:
        scale = past.deviation + TINY
        median = float(compress(np.array([x]), np.array([scale]))[0]) - value
        low, high = _expand(median + low, scale), _expand(median + high, scale)
    else:
        low, high = x - value + low, x - value + high
    aspect = THIS_HOUR if view == WEEK else f"{VALUE}, given the {lasting(_REFERENCE[view], interval)} before"
    return _within_reason(Finding(aspect, x, low, high), past)


def _within_reason(found: Finding, past: Past) -> Finding:
    """A usual range of readings, no wider on the side that was not left than readings have been of late.

    What a residual may do in either direction, added to what is expected now, can say of a pressure that it is
    usually below zero.
    """
    if found.value > found.high:
        return found._replace(low=past.least) if found.low < past.least < found.high else found
    return found._replace(high=past.most) if found.low < past.most < found.high else found


def _expand(compressed: float, scale: float) -> float:
    """The inverse of `compress`, finite for any argument."""
    return float(np.copysign(np.expm1(min(abs(compressed), _LARGEST_LOG)) * scale, compressed))


def _activity(logarithm: float, deviation: float) -> float:
    """The mean absolute step behind a value of the two logarithmic activity views."""
    return max(0.0, float(np.exp(min(logarithm, _LARGEST_LOG))) - CHATTER_FLOOR * deviation - TINY)
