"""Calibration: from "at most k false alerts per device-week" to a threshold for each device.

Detectors differ in what their scores mean, and devices in how restless they are. What counts is how often a score is
exceeded: an *episode* of a strength (score / the detector's default threshold) is a run of readings at least as strong,
less than EPISODE_GAP apart. Episodes of each strength are counted per device, and a device's rate is estimated from
three sources, each the prior of the next: what the detector is known for, the other devices of the profile on this
gateway, the device itself. All follow a Poisson process with a gamma prior worth PRIOR_WEEKS:

    rate(strength) = (PRIOR_WEEKS * prior rate + episodes) / (PRIOR_WEEKS + weeks watched)

The threshold is the strength at which that rate meets the budget. Every episode counts, whatever caused it: nobody has
labelled them here, and no share of them is guessed to be false. So a device with real faults becomes a little less
sensitive, within limits, rather than one with false alerts staying above its budget.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from vedette_models.columns import Column, Columnar, Columns
from vedette_models.detectors.base import StateError
from vedette_models.exposure import NEVER, WEEK, Watched

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

EPISODE_GAP = 3_600.0
"""Seconds: readings of a strength that are less than this apart are one episode, as a device's cooldown has it."""
PER_OCTAVE = 8
STRENGTHS = 2.0 ** (np.arange(-PER_OCTAVE // 2, 3 * PER_OCTAVE + 1) / PER_OCTAVE)
"""(G,) grid on which episodes are counted."""
LOWEST, HIGHEST = float(STRENGTHS[0]), float(STRENGTHS[-1])
"""Limits of every threshold, as multiples of the default: however restless a device is, what is far beyond anything
known still alerts; however quiet, nothing trivial does."""
RAREST = 16.0
"""The upper limit in terms of the detector: where it is known to alert this many times more seldom than the budget."""
PRIOR_WEEKS = 24.0
"""Weeks of watching that count as much as what was known before. With few weeks, what was found in a device soon
speaks against finding it again."""
FAIR_SHARE = 4.0
"""What a single device can add to what is known of the others: so many times the budget. One broken device among ten
must not make the other nine deaf."""
FEW = 8
"""Episodes of a strength from which on their number says something."""
_GAP = round(EPISODE_GAP * 1_000)
_LAYOUT = {
    "last": Column((len(STRENGTHS),), float(NEVER), np.int64),
    "episodes": Column((len(STRENGTHS),), 0.0, np.int32),
    "shared": Column((len(STRENGTHS),), 0.0, np.int32),
    "multiplier": Column((), 0.0, np.float64),
}


class Prior(NamedTuple):
    """How often a detector alerts in normal time, before anything is known about the devices at hand.

    A power law of the strength, that is of score / default threshold: `per_week * strength ** -exponent` episodes of
    alerting per device-week.

    >>> Prior(per_week=1.0, exponent=2.0).rate(2.0)
    0.25
    """

    per_week: float
    """Episodes per device-week of normal time at strength 1."""
    exponent: float
    """How fast they get rarer with strength."""

    def rate(self, strength: float) -> float:
        """Episodes per device-week at this strength (> 0)."""
        return float(self.per_week * strength**-self.exponent)

    def strength(self, per_week: float) -> float:
        """The strength that is exceeded in so many episodes per device-week (> 0).

        >>> Prior(per_week=1.0, exponent=2.0).strength(0.25)
        2.0
        """
        return float((self.per_week / per_week) ** (1.0 / self.exponent))

    @classmethod
    def fit(cls, episodes: NDArray[np.int64], device_weeks: float) -> Prior:
        """The power law of (G,) episodes counted in so many device-weeks: least squares of logarithms, weighted by
        counts; strengths that were hardly ever reached say nothing.

        Raises:
            ValueError: fewer than two strengths were reached FEW times, or the episodes do not get rarer.
        """
        enough = episodes >= FEW
        if enough.sum() < 2 or not device_weeks > 0.0:
            raise ValueError(f"a rate needs two strengths with {FEW} episodes or more, got {episodes.tolist()}")
        x, y = np.log(STRENGTHS[enough]), np.log(episodes[enough] / device_weeks)
        weight = episodes[enough] / episodes[enough].sum()
        x_mean, y_mean = float(weight @ x), float(weight @ y)
        exponent = -float(weight @ ((x - x_mean) * (y - y_mean))) / float(weight @ (x - x_mean) ** 2)
        if not exponent > 0.0:
            raise ValueError(f"episodes do not get rarer with strength: {episodes.tolist()}")
        return cls(math.exp(y_mean + exponent * x_mean), exponent)


def count_episodes(strength: NDArray[np.float64], time: NDArray[np.float64]) -> NDArray[np.int64]:
    """(G,) episodes of each of STRENGTHS among the (N,) readings of one device, times in seconds.

    >>> count_episodes(np.array([0.8, 2.0, 0.0, 1.0]), np.array([0.0, 60.0, 120.0, 3660.0]))[[0, 4, 12, 28]].tolist()
    [2, 2, 1, 0]
    """
    counts = np.zeros(len(STRENGTHS), np.int64)
    for level, least in enumerate(STRENGTHS):
        when = time[strength >= least]
        counts[level] = (len(when) > 0) + np.count_nonzero(np.abs(np.diff(when)) >= EPISODE_GAP)
    return counts


class Calibration(Columnar):
    """Threshold of each of `devices` devices for the scores of one detector, as a multiple of its default.

    >>> quiet = Calibration(Prior(per_week=0.5, exponent=1.0), budget=0.5)
    >>> quiet.start
    1.0
    """

    def __init__(self, prior: Prior, budget: float, devices: int = 0) -> None:
        self.prior, self.budget = prior, budget
        self._prior_rates = np.array([prior.rate(strength) for strength in STRENGTHS.tolist()])
        super().__init__(Columns(_LAYOUT, 1, devices))

    def _bind(self) -> None:
        self._all: NDArray[np.int64] = self._arrays["shared"].sum(axis=0, dtype=np.int64)
        """(G,) episodes of all devices, none beyond its fair share."""

    @property
    def limits(self) -> tuple[float, float]:
        """Smallest and largest multiple of the default threshold."""
        return LOWEST, min(HIGHEST, max(1.0, self.prior.strength(self.budget / RAREST)))

    @property
    def start(self) -> float:
        """Multiple of the default threshold for a device of which nothing is known."""
        return self._limited(self.prior.strength(self.budget))

    def multipliers(
        self, device: NDArray[np.intp], strength: NDArray[np.float64], watched: Watched
    ) -> NDArray[np.float64]:
        """(N,) multiples of the default threshold for readings of these (N,) devices and strengths, then learn them.

        A device's threshold moves only when an episode begins, by what was known before it.
        """
        cached = self._arrays["multiplier"]
        multiplier = cached[device]
        multiplier[multiplier == 0.0] = self.start
        rows = np.flatnonzero(strength >= LOWEST)
        if len(rows) == 0:
            return multiplier
        levels = STRENGTHS.searchsorted(strength[rows], side="right")
        each = zip(
            rows.tolist(),
            device[rows].tolist(),
            levels.tolist(),
            watched.time[rows].tolist(),
            watched.device[rows].tolist(),
            watched.fleet[rows].tolist(),
            strict=True,
        )
        last = self._arrays["last"]
        for row, of, level, time, own, fleet in each:
            # a reading of a strength is one of every lower strength too: the highest level was reached longest ago
            if self._is_far(int(last[of, level - 1]), time):
                threshold = self._threshold(of, own, fleet)
                if threshold != cached[of]:
                    cached[of] = threshold
                    multiplier[row:][device[row:] == of] = threshold
                self._count(of, level, time, own)
            last[of, :level] = time
        return multiplier

    @staticmethod
    def _is_far(last: int, time: int) -> bool:
        return last == NEVER or abs(time - last) >= _GAP

    def _count(self, device: int, level: int, time: int, watched: int) -> None:
        """A new episode of every strength below `level` that was not reached of late."""
        arrays = self._arrays
        last = arrays["last"][device, :level].tolist()
        lowest = next(i for i, then in enumerate(last) if self._is_far(then, time))
        arrays["episodes"][device, lowest:level] += 1
        shared = arrays["shared"][device, lowest:level]
        fair = shared < 1.0 + FAIR_SHARE * self.budget * watched / WEEK
        shared += fair
        self._all[lowest:level] += fair

    def _threshold(self, device: int, watched: int, fleet: int) -> float:
        """Where the estimated rate meets the budget."""
        others = self._all - self._arrays["shared"][device]
        rate = _estimate(self._prior_rates, others, max(fleet - watched, 0))
        rate = _estimate(rate, self._arrays["episodes"][device], watched)
        # one long episode of a low strength may hold several of a higher one
        rate = np.maximum.accumulate(rate[::-1])[::-1]
        place = len(rate) - int(rate[::-1].searchsorted(self.budget, side="right"))
        if place == 0:
            return LOWEST
        if place == len(rate):
            return self.limits[1]
        above, below = float(rate[place - 1]), float(rate[place])
        share = math.log(above / self.budget) / math.log(above / below)
        return self._limited(float(STRENGTHS[place - 1]) * math.exp2(share / PER_OCTAVE))

    def _limited(self, multiple: float) -> float:
        low, high = self.limits
        return min(max(multiple, low), high)

    def forget(self, rows: NDArray[np.intp]) -> None:
        """Return these devices' rows to knowing nothing; the others no longer know of them either.

        Raises:
            ValueError: a row there is no room for; nothing is forgotten then.
        """
        super().forget(rows)
        self._bind()

    def _check(self, state: Mapping[str, NDArray[np.generic]]) -> None:
        episodes, shared = (np.asarray(state[name], np.int64) for name in ("episodes", "shared"))
        if (shared < 0).any() or (shared > episodes).any():
            raise StateError('saved arrays "episodes" and "shared" do not count episodes by strength')
        multiplier = np.asarray(state["multiplier"], np.float64)
        if not ((multiplier == 0.0) | ((multiplier >= LOWEST) & (multiplier <= HIGHEST))).all():
            raise StateError(f'saved array "multiplier" is not within {LOWEST:.3g} and {HIGHEST:g}')


def _estimate(prior: NDArray[np.float64], episodes: NDArray[Any], watched: int) -> NDArray[np.float64]:
    """(G,) episodes per device-week, from the (G,) rates known before, and those counted in so many milliseconds."""
    result: NDArray[np.float64] = (PRIOR_WEEKS * prior + episodes) / (PRIOR_WEEKS + watched / WEEK)
    return result
