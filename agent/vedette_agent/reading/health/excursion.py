"""Excursion: how much a stretch of readings stands out between those before and after it."""

from __future__ import annotations

import math
from functools import lru_cache
from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

BEFORE = 20
"""Readings before the excursion that it is compared with."""
SUDDEN = 0.5
"""Share of the mean departure by which the readings beside its beginning, and beside its end, must differ."""
ALIKE = 0.45
"""Share of the larger edge that the smaller must have: what leaves by one step and comes back by another is a level."""
BY_CHANCE = 3.0
"""Standard errors by which the two edges may differ whatever their share."""
_BESIDE = ((6.0, 5), (10.0, 2), (math.inf, 1))
"""Readings beside an edge, by the departure in standard deviations below which it takes so many to tell."""
CLOSE = 0.62
"""Share of the mean departure within which the readings after it must be back."""
BEYOND = 0.4
"""Share of the mean departure by which the excursion must lie beyond both the readings before and those after it."""
_EARLIER = 4
"""Readings by which it may have begun before it was noticed."""
SURE = 1.3
"""Times the usual noise that the scatter of the few readings around an excursion reaches by chance; what counts is the
excess: a noise that is known from hundreds of readings is not to be replaced by the luck of 25."""
_TREND, _STEEP = 1.5, 3.0
"""Standard errors from which the readings before the excursion were heading somewhere; so many where what comes after
is almost as far from what was before as the excursion."""
_ALMOST = 0.8
_NEAR = 6
"""Readings before the excursion that say where it left, where there is no trend."""
_NEARLY = 1.0 - 1e-9
"""What rounding may take from a weight, and much more."""
_SHAPES = 256
"""Shapes of excursions that are kept at hand, of those last seen; another one is worked out anew."""


class Excursion(NamedTuple):
    """What an excursion amounts to."""

    departure: float
    """Mean distance from the line through the readings before and after it."""
    error: float
    """Standard error of the departure."""
    level: float
    """Mean of the readings after it."""
    first: int
    """Place of its first reading."""
    length: int
    """Readings that it lasted."""

    @property
    def weight(self) -> float:
        """Standard errors by which it stands out."""
        return abs(self.departure) / self.error if self.error > 0.0 else 0.0


class _Shape(NamedTuple):
    """What a line through readings depends on apart from their values."""

    where: NDArray[np.intp]
    """Places of the readings."""
    center: float
    offset: NDArray[np.float64]
    """Places less the center."""
    square: float
    """Sum of the squares of the offsets."""


def weigh(x: NDArray[np.float64], end: int, sigma: float, least: float = 0.0) -> Excursion | None:
    """Weigh the excursion in `x`, oldest first: BEFORE readings, then the excursion until `end` readings later, then
    those after it; `sigma` is the channel's usual noise, which counts unless there is clearly more around it.

    Returns nothing where it did not begin and end at once, where the readings after it are not where those before it
    were, or were heading, or where it weighs less than `least`, and perhaps if it weighs just as much. The line is
    fitted by least squares to what surrounds the excursion; the error is that of a mean about such a line.
    """
    count = len(x)
    place = _places(count)
    slope, level = _line(x, _around(count, BEFORE, BEFORE + end))
    first, last = _stretch(x - (level + slope * place), BEFORE, BEFORE + end)
    around = _around(count, first, last)
    slope, level = _line(x, around)
    off = x - (level + slope * place)
    length = last - first
    departure = _mean(off[first:last])
    size = abs(departure)
    middle = (first + last - 1) / 2.0
    spread = math.sqrt(1.0 / length + (1.0 / len(around.where) + (middle - around.center) ** 2 / around.square))
    if not size > least * sigma * spread * _NEARLY or size == math.inf:
        return None  # infinite: values too far apart for single precision
    beside = next(readings for most, readings in _BESIDE if size < most * sigma)
    inward, outward = _edges(x, first, last, beside, departure)
    if not (inward >= SUDDEN * size and outward >= SUDDEN * size):
        return None
    if min(inward, outward) < ALIKE * max(inward, outward):
        # a steep season makes one edge larger and the other smaller, and so does chance
        inward, outward = _edges(off, first, last, beside, departure)
        by_chance = BY_CHANCE * sigma * math.sqrt(2.0 / beside + 2.0 / min(beside, length))
        if abs(inward - outward) > max((1.0 - ALIKE) * max(inward, outward), by_chance):
            return None
    surrounding = off.take(around.where)
    noise = max(sigma, math.sqrt(float(np.add.reduce(surrounding**2)) / (len(surrounding) - 2)) / SURE)
    before, within, after = _mean(x[first - _NEAR : first]), _mean(x[first:last]), _mean(x[last:])
    sign = math.copysign(1.0, departure)
    if min(sign * (within - before), sign * (within - after)) < BEYOND * size:
        return None  # one step that tilts the line, and no more
    away = abs(after - before)
    if away > CLOSE * size:
        earlier = _until(first)
        slope, level = _line(x, earlier)
        if not abs(slope) * math.sqrt(earlier.square) > (_TREND if away <= _ALMOST * size else _STEEP) * noise:
            return None
        if abs(after - (level + slope * _mean(place[last:]))) > CLOSE * size:
            return None
    return Excursion(departure, noise * spread, after, first, length)


def _edges(x: NDArray[np.float64], first: int, last: int, beside: int, departure: float) -> tuple[float, float]:
    """By how much `x` leaves at `first` and comes back at `last`, of `beside` readings on either side."""
    sign, edge = math.copysign(1.0, departure), min(beside, last - first)
    near = x[first - beside : last + beside].tolist()
    inward = sign * (_mean_of(near[beside : beside + edge]) - _mean_of(near[:beside]))
    return inward, sign * (_mean_of(near[-beside - edge : -beside]) - _mean_of(near[-beside:]))


def _stretch(off: NDArray[np.float64], first: int, last: int) -> tuple[int, int]:
    """Where the excursion began and ended: the stretch with the largest sum of what exceeds half of its mean."""
    departure = _mean(off[first:last])
    sign, half = float(np.sign(departure)), abs(departure) / 2.0
    gains = (off[first - _EARLIER : last] * sign - half).tolist()
    total = list(accumulate(gains, initial=0.0))
    least, largest, end = 0.0, -math.inf, 1
    for i, at in enumerate(total):
        least = min(least, at)
        if i and at - least > largest:
            largest, end = at - least, i
    begin = total.index(min(total[:end]))
    return first - _EARLIER + begin, first - _EARLIER + end


def _line(x: NDArray[np.float64], shape: _Shape) -> tuple[float, float]:
    """(slope, level at 0) of the least-squares line through those of `x` that `shape` says."""
    x = x.take(shape.where)
    mean = _mean(x)
    x -= mean
    x *= shape.offset
    slope = float(np.add.reduce(x)) / shape.square
    return slope, mean - slope * shape.center


def _mean(x: NDArray[np.float64]) -> float:
    return float(np.add.reduce(x)) / len(x)


def _mean_of(few: list[float]) -> float:
    """In a loop: from some version on, `sum` adds up more exactly than arrays do."""
    total = 0.0
    for x in few:
        total += x
    return total / len(few)


@lru_cache(maxsize=64)
def _places(count: int) -> NDArray[np.float64]:
    return np.arange(count, dtype=np.float64)


@lru_cache(maxsize=_SHAPES)
def _around(count: int, first: int, last: int) -> _Shape:
    """Of `count` readings those that are not between `first` and `last`."""
    return _shape(np.concatenate([np.arange(first), np.arange(last, count)]))


@lru_cache(maxsize=64)
def _until(first: int) -> _Shape:
    return _shape(np.arange(first))


def _shape(where: NDArray[np.intp]) -> _Shape:
    place = where.astype(np.float64)
    center = float(place.mean())
    offset = place - center
    return _Shape(where, center, offset, float((offset**2).sum()))
