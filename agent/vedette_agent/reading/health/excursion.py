"""Excursion: how much a stretch of readings stands out between those before and after it."""

from __future__ import annotations

import math
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
_BESIDE = ((6.0, 4), (10.0, 2), (math.inf, 1))
"""Readings beside an edge, by the departure in standard deviations below which it takes so many to tell."""
CLOSE = 0.62
"""Share of the mean departure within which the readings after it must be back."""
_EARLIER = 4
"""Readings by which it may have begun before it was noticed."""
_TREND = 3.0
"""Standard errors from which the readings before the excursion were heading somewhere."""
_NEAR = 10
"""Readings before the excursion that say where it left, where there is no trend."""


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
    sudden: bool
    """Whether it began and ended at once, not by and by."""
    back: bool
    """Whether the readings after it are where those before it were, or were heading."""

    @property
    def weight(self) -> float:
        """Standard errors by which it stands out."""
        return abs(self.departure) / self.error if self.error > 0.0 else 0.0


def weigh(x: NDArray[np.float64], end: int, sigma: float) -> Excursion:
    """Weigh the excursion in `x`, oldest first: BEFORE readings, then the excursion until `end` readings later, then
    those after it; `sigma` is the channel's usual noise, which counts where there is less around the excursion.

    The line is fitted by least squares to what surrounds the excursion; the error is that of a mean about such a line.
    """
    place = np.arange(len(x), dtype=np.float64)
    off, _, _ = _off(x, place, BEFORE, BEFORE + end)
    first, last = _stretch(off, BEFORE, BEFORE + end)
    off, where, noise = _off(x, place, first, last)
    length = last - first
    departure = float(off[first:last].mean())
    center = where.mean()
    leverage = 1.0 / len(where) + (place[first:last].mean() - center) ** 2 / ((where - center) ** 2).sum()
    error = max(sigma, noise) * float(np.sqrt(1.0 / length + leverage))
    beside = next(readings for most, readings in _BESIDE if abs(departure) < most * sigma)
    edge = min(beside, length)
    inward = float(x[first : first + edge].mean() - x[first - beside : first].mean())
    outward = float(x[last - edge : last].mean() - x[last : last + beside].mean())
    least, most = sorted((math.copysign(1.0, departure) * inward, math.copysign(1.0, departure) * outward))
    sudden = least >= SUDDEN * abs(departure) and least >= ALIKE * most
    after = float(x[last:].mean())
    slope, level = _line(place[:first], x[:first])
    spread = float(np.sqrt(((place[:first] - place[:first].mean()) ** 2).sum()))
    away = abs(after - float(x[first - _NEAR : first].mean()))
    if abs(slope) * spread > _TREND * max(sigma, noise):
        away = min(away, abs(after - (level + slope * float(place[last:].mean()))))
    return Excursion(departure, error, after, first, length, sudden, away <= CLOSE * abs(departure))


def _off(
    x: NDArray[np.float64], place: NDArray[np.float64], first: int, last: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """(distances from the line through what surrounds a stretch, the places of that, its noise)."""
    around = np.ones(len(x), np.bool_)
    around[first:last] = False
    where = place[around]
    slope, level = _line(where, x[around])
    off = x - (level + slope * place)
    return off, where, float(np.sqrt((off[around] ** 2).sum() / (len(where) - 2)))


def _stretch(off: NDArray[np.float64], first: int, last: int) -> tuple[int, int]:
    """Where the excursion began and ended: the stretch with the largest sum of what exceeds half of its mean."""
    departure = off[first:last].mean()
    gain = off[first - _EARLIER : last] * np.sign(departure) - abs(departure) / 2.0
    total = np.concatenate([[0.0], gain.cumsum()])
    end = int((total - np.minimum.accumulate(total))[1:].argmax()) + 1
    begin = int(total[:end].argmin())
    return first - _EARLIER + begin, first - _EARLIER + end


def _line(place: NDArray[np.float64], x: NDArray[np.float64]) -> tuple[float, float]:
    """(slope, level at 0) of the least-squares line."""
    center, mean = place.mean(), x.mean()
    slope = float(((place - center) * (x - mean)).sum() / ((place - center) ** 2).sum())
    return slope, float(mean) - slope * float(center)
