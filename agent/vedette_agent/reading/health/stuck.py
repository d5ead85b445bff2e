"""Stuck: a channel that normally moves repeats one value for longer than it ever does when it is sound.

How long that is follows from how often the channel repeats itself. If it repeats with probability p from one reading to
the next, k repeats in a row happen by chance with p^k; the limit is where that is one in a billion, at least MIN_RUN,
and beyond three times the longest run of its memory, since quantised and slow channels repeat in spells. A channel
that mostly repeats is not one that normally moves: it is never stuck.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from vedette_agent.reading import reason
from vedette_agent.reading.health.faults import STUCK, Explained, Found
from vedette_agent.reading.health.fields import Fields
from vedette_models.messages import ChannelReason

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vedette_models.profile import Profile
    from vedette_models.readings import ReadingBatch

CHANCE = 1e-9
"""Of a sound channel, from any one reading on."""
MIN_RUN = 8
"""Repeats in a row that are never enough before."""
LONGEST_TIMES = 3.0
MOSTLY = 0.5
"""A channel that repeats with this probability or more is not one that normally moves."""
WARM_UP = 100
"""Readings from which the probability is known."""
OFTEN = 0.1
"""A channel that repeats with this probability or more must have been watched through its quiet hours, too."""
QUIET_HOURS = 2 * 86_400.0
MEMORY = 4_096
"""Readings after which counts are halved; the longest run is that of the last one to two memories."""
ENTRY = 6.0
"""A run that began with a step so many times the usual was no freezing: the channel went to a place where it rests."""
REST = (0.0, 1.0, 100.0)
"""Where a channel that reaches the end of its range rests: off, open, closed, full."""

# STEP: mean size of moves; ENTRY: the move into the present value; SINCE: time of the first reading
_VALUE, _RUN, _COUNT, _REPEATS, _LONGEST, _EARLIER, _LOW, _HIGH, _STEP, _ENTRY, _SINCE = range(11)
_FILLS = (math.nan, 0.0, 0.0, 0.0, 0.0, 0.0, math.inf, -math.inf, 0.0, 0.0, math.nan)


class Stuck:
    """Runs of equal values of every channel of every device."""

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        self.fields = Fields(_FILLS, len(profile.channels))
        ends = [(c.low, c.high) for c in profile.channels]
        self._rests = [frozenset({*REST, *(end for end in pair if end is not None)}) for pair in ends]

    def examine(
        self, series: NDArray[np.intp], x: NDArray[np.float64], time: NDArray[np.float64]
    ) -> dict[int, tuple[float, float]]:
        """Learn one value `x` (M,) of each of `series` (M,), each series once; times (M,) in seconds.

        Returns those that are stuck: position → (repeats so far, longest usual).
        """
        table = self.fields.table
        flat = table.reshape(-1)
        base = series * len(_FILLS)
        # one field at a time, and only those that change: most readings are neither repeats nor the lowest or highest
        value, run, count = flat.take(base + _VALUE), flat.take(base + _RUN), flat.take(base + _COUNT)
        step = np.abs(x - value)
        same = x == value
        if (run > 0.0).any():
            ended = base[~same & (run > flat.take(base + _LONGEST))]
            flat[ended + _LONGEST] = flat[ended + _RUN]
        run += 1.0
        run *= same
        count += 1.0
        if same.any():
            flat[base[same] + _REPEATS] += 1.0
        first = np.isnan(step)
        if first.any():
            step[first] = count[first] = 0.0
            flat[base[first] + _SINCE] = time[first]
        lower, higher = x < flat.take(base + _LOW), x > flat.take(base + _HIGH)
        for beyond, field in ((lower, _LOW), (higher, _HIGH)):
            if beyond.any():
                flat[base[beyond] + field] = x[beyond]
        flat[base + _VALUE] = x
        flat[base + _RUN] = run
        flat[base + _COUNT] = count
        moved = ~same
        flat[base[moved] + _ENTRY] = step[moved]
        stuck = {}
        for i in np.flatnonzero(run >= MIN_RUN).tolist():
            f = table[series[i]].tolist()
            if f[_RUN] >= self._limit(int(series[i]), f, float(time[i])):
                stuck[i] = (f[_RUN], max(f[_LONGEST], f[_EARLIER]))
        mean = flat.take(base + _STEP)
        mean += moved * (step - mean) / np.clip(count, 1.0, 64.0)
        flat[base + _STEP] = mean
        full = count >= MEMORY
        if full.any():
            old = base[full]
            flat[old + _EARLIER] = flat[old + _LONGEST]
            flat[old + _LONGEST] = 0.0
            flat[old + _REPEATS] *= 0.5
            flat[old + _COUNT] *= 0.5
        return stuck

    def _limit(self, series: int, f: list[float], time: float) -> float:
        """Repeats from which this channel is stuck; infinite where it cannot be told."""
        # the run itself is no part of what is usual
        count, repeats = f[_COUNT] - f[_RUN], f[_REPEATS] - f[_RUN]
        if count < WARM_UP:
            return math.inf
        often = (repeats + 1.0) / (count + 2.0)
        if often >= MOSTLY or (often >= OFTEN and time - f[_SINCE] < QUIET_HOURS):
            return math.inf
        limit = max(MIN_RUN, math.log(CHANCE) / math.log(often), LONGEST_TIMES * max(f[_LONGEST], f[_EARLIER]) + 2.0)
        at_an_end = f[_VALUE] in (f[_LOW], f[_HIGH])
        if at_an_end and f[_VALUE] in self._rests[series % len(self._rests)]:
            return math.inf
        if at_an_end and f[_ENTRY] > ENTRY * f[_STEP]:
            return math.inf
        return limit

    def found(self, batch: ReadingBatch, stuck: dict[tuple[int, int], tuple[float, float]]) -> Found:
        """The fault, from `stuck` by (row, column): (repeats, longest usual)."""
        rows = np.zeros(len(batch), np.bool_)
        for row, _ in stuck:
            rows[row] = True

        def explain(row: int) -> Explained:
            columns = sorted(column for at, column in stuck if at == row)
            reasons = []
            for column in columns:
                channel, value = self._profile.channels[column], float(batch.values[row, column])
                repeats, usual = stuck[row, column]
                share = round(1.0 / len(columns), 4)
                aspect = "readings in a row with the same value"
                reasons.append(ChannelReason(channel.name, repeats + 1, 1.0, usual + 1, share, aspect))
                if column == columns[0]:
                    sentence = reason.stuck(channel, value, int(repeats) + 1, int(usual) + 1)
            return Explained(sentence, tuple(reasons), columns[0])

        return Found(STUCK, rows, explain)
