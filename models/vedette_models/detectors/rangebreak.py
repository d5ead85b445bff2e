"""rangebreak: a reading is suspicious when a view of its series leaves the range that this view has shown before.

It learns online, from the first reading, and needs no training. Ten views show a series from different sides:

- residuals from the median of the previous 25, 51 and 101 readings: short bursts and changes of level;
- the log-compressed reading minus the log-compressed median-101: ratios (counts, traffic, drops to zero);
- the residual from an hour-of-week profile (UTC): missing or extra daily and weekly activity;
- the distance of the last two readings from the third-nearest of earlier pairs: odd shapes inside the range;
- the mean of the last 24: slow shifts;
- the mean absolute step of the last 12, and its logarithm over 48 and 100: bursts, chatter, going quiet.

The score of a view is how far it leaves its range, divided by the geometric mean of the value's distance from the
view's mean and of the view's mean step over its own window, and weighted by age / (age + 300). The score of a channel
is that of its largest view if no break was as large in the last 100 readings (or 5 % of its age, where that is more),
otherwise 0.

Missing data never raises an anomaly: see `rangebreak_gaps`. The hour-of-week profile speaks of hours that it knows from
an earlier week, once it has seen how much hours differ from week to week, and never of a series that only grows.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from vedette_models.calibration import Prior
from vedette_models.columns import Columnar, Columns
from vedette_models.detectors import rangebreak_gaps, rangebreak_ranges, rangebreak_views
from vedette_models.detectors.base import Finding, StateError
from vedette_models.detectors.rangebreak_gaps import FEWEST, Pace
from vedette_models.detectors.rangebreak_ranges import (
    AGE,
    FIELDS_BEFORE_GAPS,
    HORIZON,
    RECORDS,
    Breaks,
    Ranges,
    Records,
)
from vedette_models.detectors.rangebreak_views import (
    CHUNK,
    PLAINNESS,
    VIEWS,
    WEEK,
    WEEK_HOURS,
    Past,
    Views,
    describe,
    hour_of_week,
)
from vedette_models.rounds import rounds

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from vedette_models.detectors.rangebreak_gaps import Gap
    from vedette_models.detectors.rangebreak_ranges import Summaries
    from vedette_models.readings import ReadingBatch

_LAYOUT = {**rangebreak_views.LAYOUT, **rangebreak_ranges.LAYOUT, **rangebreak_gaps.LAYOUT}


class RangeBreak(Columnar):
    """Scores `channels` channels of `devices` devices; about 6.5 KiB of state per device and channel.

    >>> from vedette_models.readings import ReadingBatch
    >>> detector = RangeBreak(channels=1, devices=1)
    >>> values = np.sin(np.arange(400.0))[:, None]
    >>> values[350] = 3.0
    >>> scores = detector.score(ReadingBatch.of([0] * 400, 60.0 * np.arange(400), values))
    >>> int(scores.total.argmax()), scores.finding(350, 0).aspect
    (350, 'value, in the last 1.7 h')
    """

    name = "rangebreak"
    default_threshold = 0.25
    # One value for everything, chosen on all 58 series of NAB. From 0.12 to 0.224 the share of labelled windows found
    # stays the same (107 of 116) while false alerts nearly halve; then it falls: at 0.25 there are 105 windows and 1.1
    # false alerts per series and week (2.1 at the 90th percentile), at 0.3 102 and 0.9, at 0.5 87 and 0.6.
    prior = Prior(per_week=0.36, exponent=1.19)
    # Fitted to the episodes outside labelled windows and the first 15 % of the 58 series of NAB, 247 device-weeks, as
    # `python -m benchmarks.alert_budget` prints them. Series in which nothing happens say more of a device's first four
    # weeks (0.6 for noise to 3.8 for wandering levels): these devices are left to calibration.
    # Series of one channel, that is. More channels alert more often, but not independently of each other: with the
    # square root of their number the simulated fleets of examples/ (2 to 5 channels) get 0.1 to 0.5 false alerts per
    # device-week for a budget of 0.5; without it 0.2 to 0.8, with their number itself at most 0.2.

    def __init__(self, channels: int, devices: int = 0) -> None:
        super().__init__(Columns(_LAYOUT, channels, devices))
        self.prior = Prior(type(self).prior.per_week * math.sqrt(channels), type(self).prior.exponent)

    def _bind(self) -> None:
        arrays = self._arrays
        self._views, self._ranges, self._records = Views(arrays), Ranges(arrays), Records(arrays)
        self._pace = Pace(arrays)

    def state(self) -> dict[str, NDArray[np.generic]]:
        """Everything learnt, as copies, each (devices, channels, …)."""
        return self._columns.state(records=self._records.places)

    def restore(self, state: Mapping[str, NDArray[np.generic]]) -> None:
        """Take over what `state` returned, row by row; rows beyond the saved ones stay as they are.

        Raises:
            StateError: arrays missing, of another shape or type, or values that no reading leads to. Nothing is taken
                over then.
        """
        state = dict(state)
        records = state.get("records")
        if records is not None and records.ndim == 4 and records.shape[2] < RECORDS:
            state["records"] = np.zeros((*records.shape[:2], RECORDS, records.shape[3]), records.dtype)
            state["records"][:, :, : records.shape[2]] = records
        for name in ("visit", "pace", "summary"):  # what an earlier release did not keep yet is not known
            _complete(state, name)
        super().restore(state)

    def _check(self, state: Mapping[str, NDArray[np.generic]]) -> None:
        age = np.asarray(state["summary"], np.float64)[..., AGE]
        if not ((age >= 0) & (age < 2**53) & (age % 1 == 0)).all():
            raise StateError('saved array "summary" does not count readings where it should')
        if (np.asarray(state["week_visits"], np.int64) > 3).any():
            raise StateError('saved array "week_visits" must not exceed 3')
        hour = np.asarray(state["visit"], np.float64)[..., 0]
        if not ((hour >= -1.0) & (hour < WEEK_HOURS) & (hour % 1 == 0)).all():
            raise StateError('saved array "visit" names an hour that no week has')
        Pace.check(state["pace"])

    def score(self, batch: ReadingBatch) -> RangeBreakScores:
        """Score each reading against what came before it, then learn it. NaN marks a channel that was not reported.

        The time of a reading matters only as its hour of the week, and for gaps. Values beyond ± 1e100 count as that.

        Raises:
            ValueError: columns that do not fit together or another number of channels, an infinite value, a time that
                is not finite, or a device row there is no room for. Nothing is learnt then.
        """
        values, complete = self._columns.checked(batch)
        by_channel = np.zeros(values.shape)
        flat_scores, flat_values = by_channel.reshape(-1), values.reshape(-1)
        across = np.arange(self.channels)
        series = (batch.device[:, None] * self.channels + across).reshape(-1)
        hour, time = hour_of_week(batch.time).repeat(self.channels), batch.time.repeat(self.channels)
        if complete:
            parts = [(part[:, None] * self.channels + across).reshape(-1) for part in rounds(batch.device)]
        else:
            present = np.flatnonzero(flat_values == flat_values)
            parts = [present[part] for part in rounds(series[present])]
        found: list[_Found] = []
        for part in parts:
            for first in range(0, len(part), CHUNK):
                cells = part[first : first + CHUNK]
                if len(cells) == 1:
                    cells = cells.repeat(2)  # the views want two columns: copies of one series are worked on as one
                x = flat_values[cells]
                records = self._round(series[cells], x, hour[cells], time[cells])
                if records is not None:
                    flat_scores[cells[records.row]] = records.size
                    found.append(_Found(cells, x, records))
        return RangeBreakScores(by_channel, found)

    def usual(self, row: int) -> NDArray[np.float64]:
        """(2, C) smallest and largest of the newest 100 readings of a device that do not stand alone, by channel.

        It is what an alert's reason calls usual for a value. NaN with fewer than FEWEST readings.
        """
        series = row * self.channels + np.arange(self.channels)
        age = self._arrays["summary"][series, AGE].astype(np.intp)
        found = np.full((2, self.channels), np.nan)
        known = np.flatnonzero(age >= FEWEST)
        if len(known):
            found[:, known] = self._views.newest_range(series[known], age[known])
        return found

    def _round(
        self, series: NDArray[np.intp], x: NDArray[np.float64], hour: NDArray[np.intp], time: NDArray[np.float64]
    ) -> _Records | None:
        """Score one reading of each of R different series and learn it; return the scores above 0, if any."""
        summaries = self._ranges.open(series, x)
        views = np.empty((2, VIEWS, len(x)))  # values, values a lag ago
        views[1] = summaries.previous
        gap = self._pace.note(series, summaries.age, time)
        since = None if gap is None else gap.since
        complete = self._views.look(series, summaries.age, x, hour, summaries.deviation, views, since)
        unfamiliar = self._views.unfamiliar(series)
        allowed = None
        if gap is not None:
            gap.mute(views[0])
            allowed, complete = gap.allowance(summaries.steps), False
        if unfamiliar.any():
            allowed = np.zeros((VIEWS, len(x))) if allowed is None else allowed
            allowed[WEEK, unfamiliar] = np.inf
        breaks = self._ranges.learn(summaries, views, allowed, complete)
        if breaks is None:
            return None
        largest = np.zeros(len(x))
        np.maximum.at(largest, breaks.row, breaks.size)
        row = np.flatnonzero(largest)
        row = row[self._records.keep(series[row], summaries.age[row], largest[row])]
        if len(row) == 0:
            return None
        is_record = np.zeros(len(x), np.bool_)
        is_record[row] = True
        breaks = breaks.take(is_record[breaks.row])
        return _Records(
            row,
            largest[row],
            breaks,
            self._ranges.other_side(summaries, breaks),
            self._past(series, summaries, gap, breaks.row),
        )

    def _past(
        self, series: NDArray[np.intp], summaries: Summaries, gap: Gap | None, row: NDArray[np.intp]
    ) -> NDArray[np.float64]:
        """(6, B) of `Past`, but for the reading, of these rows of the round."""
        age = summaries.age[row]
        contiguous = age if gap is None else np.minimum(age, gap.since[row]).astype(np.intp)
        recent = self._views.recent_range(len(series), row, np.maximum(contiguous, 1))
        return np.array([summaries.deviation[row], self._pace.interval(series[row]), age, *recent])


def _complete(state: dict[str, NDArray[np.generic]], name: str) -> None:
    """Fill up a saved array that an earlier release has left out, or that had fewer fields then."""
    fill = np.array(_LAYOUT[name].fill)
    age = state.get("summary")
    if age is None or age.ndim != 3:
        return
    saved = state.get(name, np.zeros((*age.shape[:2], 0)))
    fewer = (0, 4) if name == "visit" else (0,) if name == "pace" else (FIELDS_BEFORE_GAPS,)
    if saved.ndim == 3 and saved.shape[2] in fewer:
        missing = np.broadcast_to(fill[saved.shape[2] :], (*saved.shape[:2], len(fill) - saved.shape[2]))
        state[name] = np.concatenate([saved, missing], axis=2)


class _Records(NamedTuple):
    """Scores above 0 of a round, and what it takes to put them into words."""

    row: NDArray[np.intp]
    """(K,) positions in the round."""
    size: NDArray[np.float64]
    """(K,) scores."""
    breaks: Breaks
    """(B,) all breaks of these series, also by other views than the one with the largest."""
    other_side: NDArray[np.float64]
    """(B,) see `Ranges.other_side`."""
    past: NDArray[np.float64]
    """(6, B) of `Past`, but for the reading."""

    def describe(self, i: int, x: float) -> Finding:
        """The i-th break, by the reading `x`, in words."""
        deviation, interval, age, recent, least, most = self.past[:, i].tolist()
        past = Past(x, deviation, interval, int(age), int(recent), least, most)
        place = int(self.breaks.place[i])
        value, high, low = float(self.breaks.value[i]), float(self.breaks.reach[i]), -float(self.other_side[i])
        if place >= VIEWS:
            value, low, high = -value, -high, -low
        return describe(place % VIEWS, value, low, high, past, HORIZON)


class _Found(NamedTuple):
    """The records of a round, and where its rows stand in the batch."""

    cells: NDArray[np.intp]
    """(R,) reading x channels + channel."""
    x: NDArray[np.float64]
    records: _Records


class RangeBreakScores:
    """Scores of a batch of N readings with C channels; findings are put into words only when asked for."""

    def __init__(self, by_channel: NDArray[np.float64], found: list[_Found]) -> None:
        self.by_channel = by_channel
        self.total: NDArray[np.float64] = by_channel.max(axis=1, initial=0.0)
        self._found = found

    def finding(self, row: int, channel: int) -> Finding | None:
        """Why `by_channel[row, channel]` is what it is; None where it is 0.

        Of the views whose own score is at least half of it, the one that is easiest to understand.
        """
        score = self.by_channel[row, channel]
        if score == 0:
            return None
        cell = row * self.by_channel.shape[1] + channel
        for cells, x, records in self._found:
            breaks = records.breaks
            which = np.flatnonzero((cells[breaks.row] == cell) & (breaks.size >= score / 2))
            if len(which):
                plainest = min(which.tolist(), key=lambda i: (PLAINNESS[breaks.place[i] % VIEWS], -breaks.size[i]))
                return records.describe(plainest, float(x[breaks.row[plainest]]))
        return None
