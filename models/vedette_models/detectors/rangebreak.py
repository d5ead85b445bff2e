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
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from vedette_models.columns import Columns
from vedette_models.detectors import rangebreak_ranges, rangebreak_views
from vedette_models.detectors.base import Finding, StateError
from vedette_models.detectors.rangebreak_ranges import Breaks, Ranges, Records
from vedette_models.detectors.rangebreak_views import RING, VIEWS, Views, describe, hour_of_week
from vedette_models.rounds import rounds

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from vedette_models.readings import ReadingBatch

LARGEST = 1e100
"""Readings beyond ± this count as this, so that squares and sums stay finite."""
_CHUNK = 256
"""Series worked on at a time: few enough that what is gathered of them stays near the processor."""

_LAYOUT = {**rangebreak_views.LAYOUT, **rangebreak_ranges.LAYOUT}


class RangeBreak:
    """Scores `channels` channels of `devices` devices; about 6.5 KiB of state per device and channel.

    >>> from vedette_models.readings import ReadingBatch
    >>> detector = RangeBreak(channels=1, devices=1)
    >>> values = np.sin(np.arange(400.0))[:, None]
    >>> values[350] = 3.0
    >>> scores = detector.score(ReadingBatch.of([0] * 400, 60.0 * np.arange(400), values))
    >>> int(scores.total.argmax()), scores.finding(350, 0).aspect
    (350, 'average change over the last 12 readings')
    """

    name = "rangebreak"
    default_threshold = 0.25

    def __init__(self, channels: int, devices: int = 0) -> None:
        self._columns = Columns(_LAYOUT, channels, devices)
        self._bind()

    def _bind(self) -> None:
        """Point the parts to the arrays as they are now."""
        arrays = self._columns.arrays
        self._age: NDArray[np.int64] = arrays["age"]
        self._views, self._ranges, self._records = Views(arrays), Ranges(arrays), Records(arrays)

    @property
    def channels(self) -> int:
        """Channels of each reading."""
        return self._columns.channels

    @property
    def devices(self) -> int:
        """Rows there is room for."""
        return self._columns.devices

    def resize(self, devices: int) -> None:
        """Make room for `devices` rows; new rows know nothing. Copies all state: grow in large steps.

        Raises:
            ValueError: fewer rows than now.
        """
        self._columns.resize(devices)
        self._bind()

    def forget(self, rows: NDArray[np.intp]) -> None:
        """Return these devices' rows to knowing nothing.

        Raises:
            ValueError: a row there is no room for; nothing is forgotten then.
        """
        self._columns.forget(rows)

    def state(self) -> dict[str, NDArray[np.generic]]:
        """Everything learnt, as copies, each (devices, channels, …)."""
        state = self._columns.state()
        state["readings"] = state["readings"][..., :RING].copy()
        return state

    def restore(self, state: Mapping[str, NDArray[np.generic]]) -> None:
        """Take over what `state` returned, row by row; rows beyond the saved ones stay as they are.

        Raises:
            StateError: arrays missing, of another shape or type, or values that no reading leads to. Nothing is taken
                over then.
        """
        if "readings" in state and state["readings"].ndim:
            twice = np.concatenate([state["readings"]] * 2, axis=-1)
            state = {**state, "readings": twice}
        self._columns.check(state)
        age, renewal, visits = (np.asarray(state[name], np.int64) for name in ("age", "renewal", "week_visits"))
        if (age < 0).any() or (renewal < 0).any():
            raise StateError('saved arrays "age" and "renewal" must not be negative')
        if (visits > 3).any():
            raise StateError('saved array "week_visits" must not exceed 3')
        self._columns.restore(state)

    def score(self, batch: ReadingBatch) -> RangeBreakScores:
        """Score each reading against what came before it, then learn it. NaN marks a channel that was not reported.

        The time of a reading matters only as its hour of the week. Values beyond ± 1e100 count as that.

        Raises:
            ValueError: columns that do not fit together or another number of channels, an infinite value, a time that
                is not finite, or a device row there is no room for. Nothing is learnt then.
        """
        values = self._checked(batch)
        by_channel = np.zeros(values.shape)
        flat_scores, flat_values = by_channel.reshape(-1), values.reshape(-1)
        cells = np.flatnonzero(flat_values == flat_values)
        reading, channel = np.divmod(cells, self.channels)
        series = batch.device[reading] * self.channels + channel
        x = flat_values[cells]
        hour = hour_of_week(batch.time)[reading]
        found: list[_Found] = []
        for part in rounds(series):
            for first in range(0, len(part), _CHUNK):
                chunk = part[first : first + _CHUNK]
                broken = self._round(series[chunk], x[chunk], hour[chunk])
                if broken is not None:
                    breaks, deviation = broken
                    which = chunk[breaks.row]
                    flat_scores[cells[which]] = breaks.size
                    found.append(_Found(cells[which], x[which], deviation, breaks))
        return RangeBreakScores(by_channel, found)

    def _round(
        self, series: NDArray[np.intp], x: NDArray[np.float64], hour: NDArray[np.intp]
    ) -> tuple[Breaks, NDArray[np.float64]] | None:
        """Score and learn one reading of each of R different series: records, one per series, and their deviations."""
        age = self._age[series]
        summary, count = self._ranges.open(series, age, x)
        deviation = self._ranges.deviation(summary)
        views = np.empty((2, VIEWS, len(x)))  # values, values a lag ago
        views[1] = self._ranges.previous(summary)
        look = self._views.look(series, age, x, hour, deviation, views[0], views[1])
        breaks = self._ranges.learn(series, summary, count, look, views)
        self._age[series] = age + 1
        if breaks is None:
            return None
        largest = breaks.largest_by_row()
        largest = largest.take(self._records.keep(series[largest.row], age[largest.row], largest.size))
        return (largest, deviation[largest.row]) if len(largest.row) else None

    def _checked(self, batch: ReadingBatch) -> NDArray[np.float64]:
        """The batch's values, within ± LARGEST."""
        values, n = batch.values, len(batch.device)
        if values.shape != (n, self.channels) or batch.time.shape != (n,) or batch.device.shape != (n,):
            raise ValueError(
                f"{self.name}: needs devices and times ({n},) and values ({n}, {self.channels}), "
                f"got {batch.device.shape}, {batch.time.shape} and {values.shape}"
            )
        if n == 0:
            return values
        lowest, highest = batch.device.min(), batch.device.max()
        if lowest < 0 or highest >= self.devices:
            raise ValueError(f"{self.name}: device rows {lowest} to {highest}, room for {self.devices}: resize first")
        if not np.isfinite(batch.time).all():
            raise ValueError(f"{self.name}: a reading's time must be finite")
        largest = np.fmax.reduce(np.abs(values), axis=None)
        if largest > LARGEST:
            if largest == np.inf:
                raise ValueError(f"{self.name}: a value must be finite, or NaN where the channel was not reported")
            values = np.clip(values, -LARGEST, LARGEST)
        return values


class _Found(NamedTuple):
    """Records of one round: cells of the batch (reading x channels + channel), their readings, and why."""

    cells: NDArray[np.intp]
    x: NDArray[np.float64]
    deviation: NDArray[np.float64]
    breaks: Breaks


class RangeBreakScores:
    """Scores of a batch of N readings with C channels; findings are put into words only when asked for."""

    def __init__(self, by_channel: NDArray[np.float64], found: list[_Found]) -> None:
        self.by_channel = by_channel
        self.total: NDArray[np.float64] = by_channel.max(axis=1, initial=0.0)
        self._found = found
        self._places: dict[int, tuple[_Found, int]] | None = None

    def finding(self, row: int, channel: int) -> Finding | None:
        """Why `by_channel[row, channel]` is what it is; None where it is 0."""
        if self._places is None:
            self._places = {cell: (found, i) for found in self._found for i, cell in enumerate(found.cells.tolist())}
        place = self._places.get(row * self.by_channel.shape[1] + channel)
        if place is None:
            return None
        found, i = place
        breaks = found.breaks
        return describe(
            int(breaks.view[i]),
            float(found.x[i]),
            float(breaks.value[i]),
            float(breaks.low[i]),
            float(breaks.high[i]),
            float(found.deviation[i]),
        )
