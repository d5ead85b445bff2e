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
from vedette_agent.reading.health.excursion import BEFORE, weigh
from vedette_agent.reading.health.faults import JUMP, Explained, Found
from vedette_agent.reading.health.fields import Fields
from vedette_models.messages import ChannelReason

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vedette_models.profile import Profile
    from vedette_models.readings import ReadingBatch

LONGEST = 20
"""Readings that a jump may last."""
AFTER = 5
"""Readings back at the level that confirm the return."""
EDGE = 2.0
"""Standard deviations of the noise by which the means beside an edge differ: 2.7 standard errors."""
LOOKS, LOOKS_READINGS = 0.03, 500.0
"""Share of the last readings that may be looked at closely; where levels wander, edges must be larger by the excess."""
SPIKE = 4.3
"""Standard deviations of the noise by which a single value is far off the five before it."""
LOOSE = 1.25
"""Times the departure that an edge shows which there may be."""
SHORT = 4
"""Readings that what begins with a value far off may last to be looked at without an edge."""
WEIGHT = 5.2
"""Standard errors that a jump needs at least: beyond what Gaussian noise shows in years."""
GAUSSIAN = 4.4
"""Standard errors that Gaussian noise shows ..."""
TAIL = 4.0
"""... and how often counts what is usual beyond: heavy tails show ever larger ones."""
FEW, FEW_TIMES = 2, 1.5
"""So few readings must stand out so many times as much: any noise has its outliers, seldom in a row."""
YOUNG = 100.0
"""Readings that weigh as much as none: the largest of a few is not the largest of many."""
WARM_UP, DAY, WARM_UP_WITHOUT_DAY = 300, 86_400.0, 3_000
"""A channel is known after so many readings and a day, or after so many readings."""
MEMORY = 2_048
"""The largest usual excursion is that of the last one to two memories of so many readings."""
MOVES = 0.25
"""A channel that moves less often than at this share of its readings has no noise to compare with."""
SIGMA = math.sqrt(math.pi / 2.0 / 6.0)
"""Standard deviation of Gaussian noise by its mean absolute second difference, which trend and season leave alone."""
KEPT = BEFORE + LONGEST + AFTER + SHORT
"""Readings of each channel that are kept to look at an excursion."""
_WINDOW = 20
"""Newest readings kept at hand."""
_LARGEST = 4.0
"""A second difference counts in the scale with at most so many times the scale."""
_SCALE_READINGS, _MOVES_READINGS = 128.0, 256.0

(
    _SCALE,  # mean absolute second difference
    _COUNT,
    _SINCE,  # time of the first reading
    _MOVING,  # share of readings that differ from the one before
    _USUAL,  # largest excursion, in standard errors, of this memory ...
    _EARLIER,  # ... and of the one before
    _EDGE,  # the edge of the reading before, in standard deviations
    _RISEN,  # place of the last edge upwards, counted in readings; 0: none
    _FALLEN,
    _SPIKED,  # place of the last value far off
    _RISEN_BY,  # how much, in standard deviations
    _FALLEN_BY,
    _SPIKED_BY,
    _BUSY,  # share of readings looked at closely
    _FIRST_TIME,  # from which KEPT readings are counted, and from the KEPT before
    _SECOND_TIME,
) = range(16)
_NEWEST = slice(16, 16 + _WINDOW)
_FILLS = (0.0,) * (16 + _WINDOW)


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
        self.fields = Fields(_FILLS, len(profile.channels), last=KEPT)

    def examine(self, series: NDArray[np.intp], x: NDArray[np.float64], time: NDArray[np.float64]) -> dict[int, Jumped]:
        """Learn one value `x` (M,) of each of `series` (M,), each series once; times (M,) in seconds.

        Returns the jumps that these values end, by position.
        """
        f = self.fields.take(series)
        self.fields.keep(series, f[_COUNT], x)
        sigma = f[_SCALE] * SIGMA
        w = f[_NEWEST]
        spike = x - w[:5].mean(axis=0)
        _learn(f, x, time)
        newer, older = w[:5].mean(axis=0), w[5:10].mean(axis=0)
        edge = newer - older - 0.5 * (older - w[15:].mean(axis=0))
        able = (f[_COUNT] > _WINDOW) & (f[_MOVING] >= MOVES) & (sigma > 0.0)
        edge *= able
        np.divide(edge, sigma, out=edge, where=able)
        before, f[_EDGE] = f[_EDGE].copy(), edge
        count = f[_COUNT]
        f[_BUSY] *= 1.0 - 1.0 / LOOKS_READINGS
        times = np.maximum(1.0, f[_BUSY] / LOOKS)
        far = able & (np.abs(spike) > SPIKE * times * sigma) & (f[_SPIKED] == 0.0)
        if far.any():
            np.copyto(f[_SPIKED], count, where=far)
            f[_SPIKED_BY, far] = np.abs(spike[far]) / sigma[far]
        # an edge is where the difference is largest: one reading ago
        times *= EDGE
        rose = (before > times) & (edge < before)
        fell = (before < -times) & (edge > before)
        looked = (f[_SPIKED] > 0.0) & (count - f[_SPIKED] >= SHORT + AFTER - 1)
        pending = np.flatnonzero(rose | fell | looked)
        jumps = {}
        for i in pending.tolist():
            g = f[:, i]
            place = float(count[i]) - 1.0
            by, began, other = abs(float(before[i])), 0.0, 0.0
            if rose[i]:
                began, other = g[_FALLEN], g[_FALLEN_BY]
                g[_RISEN], g[_RISEN_BY] = place, by
            elif fell[i]:
                began, other = g[_RISEN], g[_RISEN_BY]
                g[_FALLEN], g[_FALLEN_BY] = place, by
            length, by = place - float(began), min(by, float(other))
            if began == 0.0 or length > LONGEST:
                if not looked[i]:
                    continue
                length = by = 0.0
            length = max(int(length), SHORT)
            if looked[i]:
                by = max(by, float(g[_SPIKED_BY]))
                g[_SPIKED] = 0.0
            # an edge shows a departure to about a third of it; what cannot be more than usual is not looked at
            most = LOOSE * by / math.sqrt(1.0 / (1 if length == SHORT else length) + 0.05)
            if most < max(g[_USUAL], g[_EARLIER], GAUSSIAN):
                continue
            g[_BUSY] += 1.0 / LOOKS_READINGS
            jumped = self._weigh(g, int(series[i]), length, float(sigma[i]), float(time[i]))
            if jumped is not None:
                jumps[i] = jumped
                g[_RISEN] = g[_FALLEN] = g[_SPIKED] = 0.0
        self.fields.put(series, f)
        return jumps

    def leave(self, series: NDArray[np.intp]) -> None:
        """These are stuck: where they went when they froze is no edge."""
        for field in (_RISEN, _FALLEN, _SPIKED):
            self.fields.table[series, field] = 0.0

    def _weigh(self, g: NDArray[np.float64], series: int, length: int, sigma: float, time: float) -> Jumped | None:
        """Look closely at what ended AFTER readings ago, after `length`; learn how large it was, or return the jump."""
        kept = self.fields.kept(series, int(g[_COUNT]))
        needed = BEFORE + length + AFTER
        if len(kept) < needed:
            return None
        excursion = weigh(kept[-needed:], length, sigma)
        weight, usual = excursion.weight, float(max(g[_USUAL], g[_EARLIER]))
        limit = max(WEIGHT, WEIGHT + TAIL * (usual - GAUSSIAN)) * (1.0 + YOUNG / float(g[_COUNT]))
        if excursion.length <= FEW:
            limit *= FEW_TIMES
        warm = g[_COUNT] >= WARM_UP and (time - g[_SINCE] >= DAY or g[_COUNT] >= WARM_UP_WITHOUT_DAY)
        if not (excursion.back and excursion.sudden):
            return None
        if not (warm and weight > limit):
            g[_USUAL] = max(g[_USUAL], weight)
            return None
        # told once; from now on only what stands out more
        g[_USUAL] = max(g[_USUAL], GAUSSIAN + (weight - WEIGHT) / TAIL)
        most = max(usual, GAUSSIAN) * excursion.error
        ago = needed - 1 - excursion.first
        since, readings = g[_FIRST_TIME], (g[_COUNT] - 1.0) % KEPT
        if g[_COUNT] > KEPT:
            since, readings = g[_SECOND_TIME], readings + KEPT
        began = time - (ago + 0.5) * float((time - since) / readings)
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
        return reason.jump(channel, jumped.level, jumped.departure, jumped.usual, jumped.readings)

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


def _learn(f: NDArray[np.float64], x: NDArray[np.float64], time: NDArray[np.float64]) -> None:
    """Noise, moves and the newest readings from one value each."""
    w = f[_NEWEST]
    if (new := f[_COUNT] == 0.0).any():
        np.copyto(f[_SINCE], time, where=new)
        np.copyto(w, x, where=new)
    if (turn := f[_COUNT] % KEPT == 0.0).any():
        np.copyto(f[_SECOND_TIME], f[_FIRST_TIME], where=turn)
        np.copyto(f[_FIRST_TIME], time, where=turn)
    f[_COUNT] += 1.0
    count = f[_COUNT]
    step = x - w[0]
    size = np.abs(step - (w[0] - w[1]))
    known = (count > _WINDOW) & (f[_SCALE] > 0.0)
    np.copyto(size, np.minimum(size, _LARGEST * f[_SCALE]), where=known)
    f[_SCALE] += (size - f[_SCALE]) / np.minimum(count, _SCALE_READINGS)
    f[_MOVING] += ((step != 0.0) - f[_MOVING]) / np.minimum(count, _MOVES_READINGS)
    w[1:] = w[:-1].copy()
    w[0] = x
    if (full := count % MEMORY == 0.0).any():
        np.copyto(f[_EARLIER], f[_USUAL], where=full)
        np.copyto(f[_USUAL], 0.0, where=full)
