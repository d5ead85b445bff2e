"""Views: what is looked at to tell that a series no longer follows its forecast, and what is put into words.

Each view is a number that is about normally distributed with variance 1 while the model holds, however dense or
irregular the readings are:

    value       the reading against what was expected of it
    means       the mean deviation from level and season over an hour, six hours and a day: level shifts, drifts
    swing       how far deviations go along with the season over a day: a season that ends, grows or moves
    slope       the slope against what it was in the last weeks: trends that begin or turn

A deviation that lasts is reported, and then adopted: a level after a day, the size of the season after three.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from vedette_models.detectors import forecast_filter as filtered

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vedette_models.detectors.forecast_filter import Dynamics, Gains

HOURS = (1, 6, 24)
"""Windows of the means: the time constants of exponential weights."""
VALUE, MEANS, SWING, SLOPE = 0, 1, 1 + len(HOURS), 2 + len(HOURS)
VIEWS = 3 + len(HOURS)
ASPECTS = (
    "value",
    *(f"mean of the last {hours} hours" if hours > 1 else "mean of the last hour" for hours in HOURS),
    "swing over the last day",
    "change per day",
)
USUAL_SLOPE_DAYS = 7.0
"""Days over which the usual slope is learnt."""
TOLERANCE = 0.2
"""Share of a deviation's own size by which a window's mean may be off for ever: no profile is exact."""
MOST_IN_MEAN = 6.0
"""Standard deviations that a reading counts in a mean at most: one outlier is no level shift."""
LASTING = 0.5
"""A deviation that has reached its limit lasts while its view has this share of it."""
ADOPT_LEVEL = 1.0
"""Days after which a lasting deviation is the new level."""
ADOPT_SWING = 3.0
"""Days after which a season of another size is the new one."""
_LONGEST_STEP = 0.25
"""Days that the time between two readings counts at most towards adopting."""
_FASTEST = 1e6
_MIDDLE, _DAY = 1, 2
_WINDOWS: NDArray[np.float64] = np.array(HOURS)[:, None] / 24.0
_LEAST_SEASON = 1e-3

# Rows after those of the filter.
MEAN = filtered.ROWS
WHITE = MEAN + len(HOURS)
"""Variance of a mean of white noise with the weights so far."""
USUAL = WHITE + len(HOURS)
"""Mean of level and season with the same weights, in the channel's unit."""
ALONG, ALONG_WHITE, SEASON_MEAN, SEASON_SQUARE = range(USUAL + len(HOURS), USUAL + len(HOURS) + 4)
USUAL_SLOPE, AWAY, OFF = range(SEASON_SQUARE + 1, SEASON_SQUARE + 4)
ROWS = OFF + 1


class Seen(NamedTuple):
    """What the views saw of R readings; enough to put each into words."""

    z: NDArray[np.float64]
    """(VIEWS, R) deviations in their own standard deviations."""
    expected: NDArray[np.float64]
    """(R,)"""
    deviation: NDArray[np.float64]
    """(R,) standard deviation of what was expected, in the channel's unit."""
    centre: NDArray[np.float64]
    """(VIEWS, R) what is usual, in the channel's unit, but for `value`."""
    one: NDArray[np.float64]
    """(VIEWS, R) what one of these standard deviations is, in the channel's unit."""


class Moment(NamedTuple):
    """What is known about R readings before their values are looked at; each (R,)."""

    dynamics: Dynamics
    season: NDArray[np.float64]
    """In units of the noise."""
    noise: NDArray[np.float64]
    """Variance of the noise at this time of the day, in units of the channel's own."""
    days: NDArray[np.float64]
    """Since the readings before."""
    scale: NDArray[np.float64]
    """The device's noise as a multiple of the channel's."""
    swing: NDArray[np.float64]
    """How far the season goes, in units of the noise."""


class _Deviations(NamedTuple):
    """How far readings are from level and season, in their own standard deviations, and what that is made of."""

    size: NDArray[np.float64]
    each: NDArray[np.float64]
    """A standard deviation, in units of the channel's noise."""
    white: NDArray[np.float64]
    """Share of the noise in its variance ..."""
    coloured: NDArray[np.float64]
    """... of the deviation that passes ..."""
    slow: NDArray[np.float64]
    """... and of what is not known about level and season."""


def look(state: NDArray[np.float64], moment: Moment, found: Gains, x: NDArray[np.float64]) -> Seen:
    """Look at readings `x` (R,) of predicted series (ROWS, R), and take note of them."""
    dynamics, season, noise, days, scale, _ = moment
    unit = dynamics.unit
    slow = state[filtered.LEVEL] + (1.0 + state[filtered.SWING]) * season * unit
    expected = slow + state[filtered.PASSING]
    deviation = scale * np.sqrt(found.variance)
    deviation *= unit
    seen = Seen(np.empty((VIEWS, len(x))), expected, deviation, np.empty((VIEWS, len(x))), np.empty((VIEWS, len(x))))
    seen.centre[VALUE], seen.one[VALUE] = expected, deviation
    np.divide(x - expected, deviation, out=seen.z[VALUE])

    total = found.slow + dynamics.passing
    total += noise
    each = np.sqrt(total)
    each *= scale
    size = (x - slow) / (each * unit)
    np.maximum(size, -MOST_IN_MEAN, out=size)
    np.minimum(size, MOST_IN_MEAN, out=size)
    away = _Deviations(size, each, noise / total, dynamics.passing / total, found.slow / total)
    kept = np.exp(days * (-1.0 / _WINDOWS))
    gain = 1.0 - kept
    mean, weights, usual = state[MEAN:WHITE], state[WHITE:USUAL], state[USUAL:ALONG]
    mean *= kept
    mean += gain * away.size
    usual *= kept
    usual += gain * slow
    weights *= kept * kept
    weights += gain * gain
    variance = away.white * weights
    variance += _lasting_variance(away, dynamics, _WINDOWS)
    spread = np.sqrt(variance)
    np.divide(mean, spread, out=seen.z[MEANS:SWING])
    seen.centre[MEANS:SWING] = usual
    spread *= each
    np.multiply(spread, unit, out=seen.one[MEANS:SWING])
    _look_at_swing(state, moment, away, kept[_DAY], seen)  # over the last window, a day
    _look_at_slope(state, moment, seen)
    return seen


def _lasting_variance(
    away: _Deviations, dynamics: Dynamics, window: NDArray[np.float64] | float
) -> NDArray[np.float64]:
    """Variance of an exponentially weighted mean over `window` days, one or (W, 1), but for the noise.

    Of the deviation that passes: that of an Ornstein-Uhlenbeck process seen all the time.
    """
    variance = away.coloured * (dynamics.passing_days / (dynamics.passing_days + window))
    variance += away.slow
    variance += TOLERANCE * TOLERANCE
    return variance


def _look_at_swing(
    state: NDArray[np.float64], moment: Moment, away: _Deviations, kept: NDArray[np.float64], seen: Seen
) -> None:
    """Regress the deviations on the season, both around their means over a day."""
    season, dynamics = moment.season, moment.dynamics
    gain = 1.0 - kept
    weighted = gain * season
    state[ALONG] *= kept
    state[ALONG] += weighted * away.size
    state[SEASON_MEAN] *= kept
    state[SEASON_MEAN] += weighted
    state[SEASON_SQUARE] *= kept
    state[SEASON_SQUARE] += weighted * season
    state[ALONG_WHITE] *= kept * kept
    state[ALONG_WHITE] += weighted * weighted
    along = state[ALONG] - state[MEAN + _DAY] * state[SEASON_MEAN]
    square = np.maximum(state[SEASON_SQUARE] - state[SEASON_MEAN] * state[SEASON_MEAN], 0.0)
    variance = _lasting_variance(away, dynamics, 1.0)
    variance *= square
    variance += away.white * state[ALONG_WHITE]
    # A season that hardly moves says nothing about its size.
    variance += _LEAST_SEASON
    spread = np.sqrt(variance)
    np.divide(along, spread, out=seen.z[SWING])
    reach = moment.swing * dynamics.unit
    np.multiply(1.0 + state[filtered.SWING], reach, out=seen.centre[SWING])
    np.multiply(spread * away.each / (square + _LEAST_SEASON), reach, out=seen.one[SWING])


def _look_at_slope(state: NDArray[np.float64], moment: Moment, seen: Seen) -> None:
    usual, prior = state[USUAL_SLOPE], moment.dynamics.slope
    # The variance of an estimate is what was unknown before it less what still is.
    known = np.maximum(prior - state[filtered.P_SS], 0.1 * prior)
    known += np.maximum(2.0 * (state[filtered.P_SS] - prior), 0.0)
    deviation = np.sqrt(known)
    deviation *= moment.scale
    deviation *= moment.dynamics.unit
    difference = state[filtered.SLOPE] - usual
    np.divide(difference, deviation, out=seen.z[SLOPE])
    seen.centre[SLOPE], seen.one[SLOPE] = usual, deviation
    usual += difference * -np.expm1(moment.days * (-1.0 / USUAL_SLOPE_DAYS))


def adopt(
    state: NDArray[np.float64],
    moment: Moment,
    z: NDArray[np.float64],
    limits: NDArray[np.float64],
    x: NDArray[np.float64],
) -> None:
    """Take what has lasted as the new level, or as the new size of the season; `z` and `limits` (VIEWS, R)."""
    step = np.minimum(moment.days, _LONGEST_STEP)
    lasting = _lasting(state[AWAY], z[MEANS + _MIDDLE], limits[MEANS + _MIDDLE], step)
    state[AWAY] = lasting
    away = np.flatnonzero((np.abs(lasting) >= ADOPT_LEVEL) & (lasting * z[VALUE] > 0.0))
    lasting = _lasting(state[OFF], z[SWING], limits[SWING], step)
    state[OFF] = lasting
    off = np.flatnonzero(np.abs(lasting) >= ADOPT_SWING)
    if len(away):
        part, dynamics = state[:, away], moment.dynamics.of(away)
        slow = part[filtered.LEVEL] + (1.0 + part[filtered.SWING]) * moment.season[away] * dynamics.unit
        moved = np.clip((x[away] - slow) / dynamics.unit, -_FASTEST, _FASTEST)
        part[MEAN : MEAN + len(HOURS)] = 0.0
        part[ALONG] = part[AWAY] = 0.0
        part[filtered.SLOPE] = part[USUAL_SLOPE]
        filtered.set_level(part, dynamics, x[away], moment.season[away], moment.noise[away])
        # It may have got there in one step or little by little: the slope is as uncertain as that.
        part[filtered.P_SS] = np.maximum(part[filtered.P_SS], moved * moved)
        state[:, away] = part
    if len(off):
        for row in (filtered.P_LA, filtered.P_SA, filtered.P_PA, OFF):
            state[row, off] = 0.0
        state[filtered.P_AA, off] = 1.0


def _lasting(
    so_far: NDArray[np.float64], z: NDArray[np.float64], limit: NDArray[np.float64], step: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Days for which a view has been high (> 0) or low (< 0) without a break."""
    size = np.abs(z)
    goes_on = (so_far * z > 0.0) & (size >= LASTING * limit)
    side = np.sign(z)
    side *= step
    return np.where(goes_on, so_far + side, np.where(size >= limit, side, 0.0))
