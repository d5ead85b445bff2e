"""Jump: a channel leaves its level suddenly and comes back as suddenly: a loose contact, an electrical glitch.

A jump is recognised once it is over; what stays away is a change of level, and a matter for the anomaly detectors.
An edge is where the mean of five readings differs from that of the five before by more than noise and trend explain. A
stretch between two opposite edges, or a single value far off, is looked at closely (`excursion`): how many standard
errors it stands out from what surrounds it, whether it began and ended at once, whether the channel is back. It is a
jump if it stands out more than the largest excursion that is usual here: channels that are spiky by nature set their
own limit.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from vedette_agent.reading import reason
from vedette_agent.reading.health import newest
from vedette_agent.reading.health.excursion import BEFORE, weigh
from vedette_agent.reading.health.faults import JUMP, Explained, Found
from vedette_agent.reading.health.fields import Remembered
from vedette_agent.reading.health.newest import Means
from vedette_models.columns import Column
from vedette_models.messages import ChannelReason

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vedette_models.profile import Profile
    from vedette_models.readings import ReadingBatch

LONGEST = 20
"""Readings that a jump may last."""
AFTER = 5
"""Readings back at the level that confirm the return."""
EDGE = 1.8
"""Standard deviations of the noise by which the means beside an edge differ: 2.8 standard errors."""
TREND = 1.9
"""Standard deviations of the noise by which the means before an edge differ on a trend: 3 standard errors."""
LOOKS, LOOKS_READINGS = 0.03, 500.0
"""Share of the last readings that may be looked at closely; where levels wander, edges must be larger by the excess."""
SPIKE = 4.3
"""Standard deviations of the noise by which a single value is far off the five before it."""
LOOSE = 1.5
"""Times the departure that an edge shows which there may be."""
SHORT = 4
"""Readings that what begins with a value far off may last to be looked at without an edge."""
WEIGHT = 6.2
"""Standard errors that a jump needs at least: beyond what Gaussian noise shows in years."""
SIZE, BEND = 2.4, 0.0025
"""Standard deviations of the noise that a jump needs, and how many more by the square of its readings: less is what a
season or a load does to a level, whose bends grow so."""
GAUSSIAN = 5.2
"""Standard errors that Gaussian noise hardly ever shows in a memory ..."""
TAIL = 6.0
"""... and how often counts what is usual beyond: heavy tails show ever larger ones."""
FEW, FEW_TIMES = 2, 1.5
"""So few readings must stand out so many times as much: any noise has its outliers, seldom in a row."""
YOUNG = 40.0
"""Readings that weigh as much as none: the largest of a few is not the largest of many."""
KNOWN = 128
"""Readings after which the noise is known well enough to say what is usual."""
WARM_UP, DAY, WARM_UP_WITHOUT_DAY = 300, 86_400.0, 3_000
"""A channel is known after so many readings and a day, or after so many readings."""
MEMORY = 2_048
"""The largest usual excursion is that of the last one to two memories of so many readings."""
MOVES = 0.25
"""A channel that moves less often than at this share of its readings has no noise to compare with."""
SIGMA = math.sqrt(math.pi / 2.0 / 6.0)
"""Standard deviation of Gaussian noise by its mean absolute second difference, which trend and season leave alone."""
TURN = BEFORE + LONGEST + AFTER + SHORT
"""Readings after which the mean interval is that of the last one to two turns."""
_LARGEST = 4.0
"""A second difference counts in the scale with at most so many times the scale."""
_SCALE_READINGS, _MOVES_READINGS = 128.0, 256.0

_LAYOUT = {
    **newest.LAYOUT,
    "count": Column(dtype=np.int64),
    **dict.fromkeys(
        (
            "scale",  # mean absolute second difference
            "moving",  # share of readings that differ from the one before
            "edge",  # the edge of the reading before, in standard deviations
            "busy",  # share of readings looked at closely
            "since",  # time of the first reading
            "first_time",  # from which a turn of readings is counted, and from the turn before
            "second_time",
            "usual",  # largest excursion, in standard errors, of this memory ...
            "earlier",  # ... and of the one before
            "lately",  # largest excursion at the last place where any was weighed: it may still be going on
            "lately_at",  # that place, counted in readings
            "risen",  # place of the last edge upwards, counted in readings; 0: none
            "fallen",
            "spiked",  # place of the last value far off
            "risen_by",  # how much, in standard deviations
            "fallen_by",
            "spiked_by",
        ),
        Column(),
    ),
}


class Jumped(NamedTuple):
    """A jump that is over."""

    readings: int
    """That it lasted; AFTER more have confirmed the return."""
    ago: int
    """Readings from its first to the present one."""
    began: float
    """Time just before its first reading, by the mean interval."""
    departure: float
    """Mean, in the channel's unit."""
    level: float
    """That it came back to."""
    usual: float
    """Largest usual departure of the same length, in the channel's unit."""
    weight: float


class Jump:
    """Noise, edges and usual excursions of every channel of every device."""

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        self.fields = Remembered(_LAYOUT, len(profile.channels))

    @np.errstate(over="ignore", invalid="ignore")  # values too far apart for single precision are no jumps
    def examine(self, series: NDArray[np.intp], x: NDArray[np.float64], time: NDArray[np.float64]) -> dict[int, Jumped]:
        """Learn one value `x` (M,) of each of `series` (M,), each series once; times (M,) in seconds.

        Returns the jumps that these values end, by position.
        """
        c = self.fields.columns
        count = c["count"].take(series)
        self._begin(series, count, x, time)
        scale = c["scale"].take(series)
        sigma = scale * SIGMA
        mean = Means(c, series, count, x)
        newest.add(c, series, count, x)
        count += 1
        readings = count.astype(np.float64)
        moving = self._learn(series, x, mean, scale, readings)
        c["count"][series] = count
        edge = mean.newer - mean.older
        trend = mean.older - mean.oldest
        # half of what it moved in twice the time; what may be noise would only add to the noise
        trend *= np.abs(trend) > TREND * sigma
        trend *= 0.5
        edge -= trend
        able = (count > newest.WINDOW) & (moving >= MOVES) & (sigma > 0.0)
        edge *= able
        np.divide(edge, sigma, out=edge, where=able)
        before = c["edge"].take(series)
        c["edge"][series] = edge
        busy = c["busy"].take(series)
        busy *= 1.0 - 1.0 / LOOKS_READINGS
        c["busy"][series] = busy
        times = np.maximum(1.0, busy / LOOKS)
        spiked = c["spiked"].take(series)
        spike = np.abs(x - mean.before)
        far = able & (spike > SPIKE * times * sigma) & (spiked == 0.0)
        if far.any():
            c["spiked"][series[far]] = spiked[far] = readings[far]
            c["spiked_by"][series[far]] = spike[far] / sigma[far]
        # an edge is where the difference is largest: one reading ago
        times *= EDGE
        rose = (before > times) & (edge < before)
        fell = (before < -times) & (edge > before)
        looked = (spiked > 0.0) & (readings - spiked >= SHORT + AFTER - 1)
        pending = np.flatnonzero(rose | fell | looked)
        jumps: dict[int, Jumped] = {}
        if not len(pending):
            return jumps
        by, looked = np.abs(before[pending]), looked[pending]
        close, lengths = self._close(series[pending], readings[pending], by, rose[pending], fell[pending], looked)
        for i, length in zip(pending[close].tolist(), lengths[close].tolist(), strict=True):
            jumped = self._weigh(int(series[i]), int(length), float(sigma[i]), float(time[i]))
            if jumped is not None:
                jumps[i] = jumped
        return jumps

    def leave(self, series: NDArray[np.intp]) -> None:
        """These are stuck: where they went when they froze is no edge."""
        for name in ("risen", "fallen", "spiked"):
            self.fields.columns[name][series] = 0.0

    def _begin(
        self, series: NDArray[np.intp], count: NDArray[np.int64], x: NDArray[np.float64], time: NDArray[np.float64]
    ) -> None:
        """What is to be done at a first reading, at the beginning of a turn and at the end of a memory."""
        c = self.fields.columns
        turn = count % TURN == 0
        if turn.any():
            new = count == 0
            if new.any():
                newest.begin(c, series[new], x[new])
                c["since"][series[new]] = time[new]
            turning = series[turn]
            c["second_time"][turning] = c["first_time"][turning]
            c["first_time"][turning] = time[turn]
        full = count % MEMORY == MEMORY - 1
        if full.any():
            forgetting = series[full]
            c["earlier"][forgetting] = c["usual"][forgetting]
            c["usual"][forgetting] = 0.0

    def _learn(
        self,
        series: NDArray[np.intp],
        x: NDArray[np.float64],
        mean: Means,
        scale: NDArray[np.float64],
        readings: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        """Noise and moves from one value each, `scale` (M,) in place; returns the share that moves (M,)."""
        c = self.fields.columns
        step = x - mean.last
        size = np.abs(step - (mean.last - mean.last_but_one))
        known = (readings > newest.WINDOW) & (scale > 0.0)
        np.minimum(size, _LARGEST * scale, out=size, where=known)
        scale += (size - scale) / np.minimum(readings, _SCALE_READINGS)
        c["scale"][series] = scale
        moving: NDArray[np.float64] = c["moving"].take(series)
        moving += ((step != 0.0) - moving) / np.minimum(readings, _MOVES_READINGS)
        c["moving"][series] = moving
        return moving

    def _close(
        self,
        series: NDArray[np.intp],
        readings: NDArray[np.float64],
        by: NDArray[np.float64],
        rose: NDArray[np.bool_],
        fell: NDArray[np.bool_],
        looked: NDArray[np.bool_],
    ) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
        """Note edges `by` so much and pair them with opposite ones: (which are looked at closely, lengths)."""
        c = self.fields.columns
        place = readings - 1.0
        fell = fell & ~rose
        began, other = np.zeros(len(series)), np.zeros(len(series))
        for edge, name, opposite in ((rose, "risen", "fallen"), (fell, "fallen", "risen")):
            mine = series[edge]
            began[edge], other[edge] = c[opposite][mine], c[opposite + "_by"][mine]
            c[name][mine], c[name + "_by"][mine] = place[edge], by[edge]
        length, by = place - began, np.minimum(by, other)
        alone = (began == 0.0) | (length > LONGEST)
        length[alone] = by[alone] = 0.0
        np.maximum(length, SHORT, out=length)
        if looked.any():
            mine = series[looked]
            by[looked] = np.maximum(by[looked], c["spiked_by"][mine])
            c["spiked"][mine] = 0.0
        # an edge shows a departure to about a third of it; what cannot be more than usual is not looked at
        most = LOOSE * by / np.sqrt(1.0 / np.where(length == SHORT, 1.0, length) + 0.05)
        usual = np.maximum(np.maximum(c["usual"][series], c["earlier"][series]), GAUSSIAN)
        close = (looked | ~alone) & (most >= usual)
        c["busy"][series[close]] += 1.0 / LOOKS_READINGS
        return close, length

    def _weigh(self, series: int, length: int, sigma: float, time: float) -> Jumped | None:
        """Look closely at what ended AFTER readings ago, after `length`; learn how large it was, or return the jump."""
        c = self.fields.columns
        count = int(c["count"][series])
        needed = BEFORE + length + AFTER
        if count < max(needed, KNOWN):
            return None
        known, lately = float(c["usual"][series]), float(c["lately"][series])
        if lately and count - float(c["lately_at"][series]) > TURN:
            known = c["usual"][series] = max(known, lately)
            c["lately"][series] = lately = 0.0
        # what weighs less than the largest of this memory is neither a jump nor anything to learn
        excursion = weigh(newest.last(c, series, count, needed), length, sigma, known)
        if excursion is None or excursion.length > LONGEST:
            return None
        if abs(excursion.departure) < (SIZE + BEND * excursion.length**2) * sigma:
            return None
        weight, usual = excursion.weight, max(known, float(c["earlier"][series]))
        limit = max(WEIGHT, WEIGHT + TAIL * (usual - GAUSSIAN)) * (1.0 + YOUNG / count)
        if excursion.length <= FEW:
            limit *= FEW_TIMES
        warm = count >= WARM_UP and (time - float(c["since"][series]) >= DAY or count >= WARM_UP_WITHOUT_DAY)
        if not (warm and weight > limit):
            # a jump is looked at several times while it becomes one: its beginning is not what is usual here
            if weight > lately:
                c["lately"][series], c["lately_at"][series] = weight, count
            return None
        # told once; from now on only what stands out more
        c["lately"][series] = 0.0
        c["usual"][series] = max(known, GAUSSIAN + (weight - WEIGHT) / TAIL)
        for name in ("risen", "fallen", "spiked"):
            c[name][series] = 0.0
        most = max(usual, GAUSSIAN) * excursion.error
        ago = needed - 1 - excursion.first
        since, readings = float(c["first_time"][series]), (count - 1) % TURN
        if count > TURN:
            since, readings = float(c["second_time"][series]), readings + TURN
        began = time - (ago + 0.5) * ((time - since) / readings)
        return Jumped(excursion.length, ago, began, excursion.departure, excursion.level, most, weight)

    def found(self, batch: ReadingBatch, jumps: dict[tuple[int, int], Jumped]) -> Found:
        """The fault, from `jumps` by (row, column)."""
        rows = np.zeros(len(batch), np.bool_)
        for row, _ in jumps:
            rows[row] = True

        def explain(row: int) -> Explained:
            mine = {column: jumped for (at, column), jumped in jumps.items() if at == row}
            columns = sorted(mine, key=lambda column: (-mine[column].weight, column))
            total = sum(jumped.weight for jumped in mine.values())
            reasons = tuple(self._reason(column, mine[column], total) for column in columns)
            first = columns[0]
            sentence = self._sentence(first, mine[first])
            return Explained(sentence, reasons, first)

        return Found(JUMP, rows, explain)

    def _sentence(self, column: int, jumped: Jumped) -> str:
        channel = self._profile.channels[column]
        return reason.jump(channel, jumped.level, jumped.departure, jumped.usual, jumped.readings, jumped.began)

    def _reason(self, column: int, jumped: Jumped, total: float) -> ChannelReason:
        channel = self._profile.channels[column]
        return ChannelReason(
            channel.name,
            jumped.level + jumped.departure,
            jumped.level - jumped.usual,
            jumped.level + jumped.usual,
            round(jumped.weight / total, 4),
            unit=channel.unit,
        )
