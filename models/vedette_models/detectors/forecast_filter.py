"""Filter: level, slope, a deviation that passes, and the size of the season, followed from reading to reading.

The model, with time in days and variances in units of the channel's noise (A. C. Harvey, Forecasting, Structural Time
Series Models and the Kalman Filter, 1989, chapter 9, for readings that come at irregular times):

    reading = level + passing + (1 + swing) * season(time) + noise
    d level = slope dt + a random walk          d slope = -slope / 14 dt + noise (a trend that flattens out)
    d passing = -passing / its time dt + noise  d swing = -swing / 90 dt + noise

Its Kalman filter, for many series at once, one reading each. What a reading may move is bounded: the innovation counts
as at most so many of its standard deviations (Huber's function; S. Gelper, R. Fried, C. Croux, Robust forecasting with
exponential and Holt-Winters smoothing, Journal of Forecasting 29, 2010). Everything is elementwise: a series is
followed the same, whoever else is in the batch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

SLOPE_DAYS = 14.0
"""Time in which a slope loses most of its hold on the forecast."""
SWING_DAYS = 90.0
"""Time in which a device's own size of the season is forgotten."""
LONGEST_GAP = 400.0
"""Days; a longer gap counts as this."""
MOST_MOVING = 3.0
"""Standard deviations of an innovation that count at most."""

# Rows of a series' state; P_XY is the covariance of X and Y, in units of the noise.
LEVEL, SLOPE, PASSING, SWING = range(4)
P_LL, P_LS, P_LP, P_LA, P_SS, P_SP, P_SA, P_PP, P_PA, P_AA = range(4, 14)
ROWS = 14
VARIANCES = (P_LL, P_SS, P_PP, P_AA)
_LEAST_VARIANCE = 1e-15


class Dynamics(NamedTuple):
    """How the series of each channel move; (C,) or, looked up for R series, (R,). Variances in units of the noise."""

    unit: NDArray[np.float64]
    """Standard deviation of the noise, in the channel's own unit."""
    passing: NDArray[np.float64]
    """Variance of the deviation that passes."""
    passing_days: NDArray[np.float64]
    """Time in which it does."""
    wander: NDArray[np.float64]
    """Variance by which the level wanders in a day."""
    slope: NDArray[np.float64]
    """Variance of the slope per day."""
    swing: NDArray[np.float64]
    """Variance of the size of the season from device to device, where the profile's is 1."""

    def of(self, channel: NDArray[np.intp]) -> Dynamics:
        """Those of channels (R,)."""
        return Dynamics(*(each[channel] for each in self))


def begin(
    state: NDArray[np.float64],
    dynamics: Dynamics,
    x: NDArray[np.float64],
    season: NDArray[np.float64],
    noise: NDArray[np.float64],
) -> None:
    """Start series (ROWS, R) from their first readings `x` (R,): nothing was known of the level (exact diffuse start).

    `season` in units of the noise, `noise` its variance at this time.
    """
    state[:ROWS] = 0.0
    state[P_AA] = dynamics.swing
    set_level(state, dynamics, x, season, noise)


def set_level(
    state: NDArray[np.float64],
    dynamics: Dynamics,
    x: NDArray[np.float64],
    season: NDArray[np.float64],
    noise: NDArray[np.float64],
) -> None:
    """Take the level from these readings alone; slope and swing stay, the slope as uncertain as it ever was."""
    state[PASSING] = 0.0
    state[P_PP], state[P_SP], state[P_PA] = dynamics.passing, 0.0, 0.0
    state[P_SS], state[P_SA] = dynamics.slope, 0.0
    state[LEVEL] = x - (1.0 + state[SWING]) * season * dynamics.unit
    state[P_LL] = noise + dynamics.passing + season * season * state[P_AA]
    state[P_LS] = 0.0
    state[P_LP] = -dynamics.passing
    state[P_LA] = -season * state[P_AA]


def predict(state: NDArray[np.float64], days: NDArray[np.float64], dynamics: Dynamics) -> None:
    """Carry series (ROWS, R) `days` (R,), >= 0, forward; in place."""
    x = days / SLOPE_DAYS
    lost = -np.expm1(-x)
    kept = 1.0 - lost
    reach = SLOPE_DAYS * lost
    hold = np.exp(-days / dynamics.passing_days)
    stay = np.exp(-days / SWING_DAYS)
    state[LEVEL] += reach * state[SLOPE]
    state[SLOPE] *= kept
    state[PASSING] *= hold
    state[SWING] *= stay
    p_ls, p_ss, p_sp, p_sa = state[P_LS], state[P_SS], state[P_SP], state[P_SA]
    along = reach * p_ss
    # The level gains what an integrated Ornstein-Uhlenbeck process does in this time.
    gained = x - lost
    gained *= 2.0
    gained -= lost * lost
    gained *= dynamics.slope * (SLOPE_DAYS * SLOPE_DAYS)
    gained += dynamics.wander * days
    state[P_LL] += reach * (2.0 * p_ls + along) + gained
    p_ls += along
    p_ls *= kept
    p_ls += dynamics.slope * SLOPE_DAYS * lost * lost
    state[P_LP] += reach * p_sp
    state[P_LP] *= hold
    state[P_LA] += reach * p_sa
    state[P_LA] *= stay
    p_ss *= kept * kept
    p_ss += dynamics.slope * lost * (1.0 + kept)
    p_sp *= kept * hold
    p_sa *= kept * stay
    hold2 = hold * hold
    state[P_PP] *= hold2
    state[P_PP] += dynamics.passing * (1.0 - hold2)
    state[P_PA] *= hold * stay
    stay2 = stay * stay
    state[P_AA] *= stay2
    state[P_AA] += dynamics.swing * (1.0 - stay2)


class Gains(NamedTuple):
    """What a reading would say about a series (R,), all in units of the noise."""

    level: NDArray[np.float64]
    slope: NDArray[np.float64]
    passing: NDArray[np.float64]
    swing: NDArray[np.float64]
    """Covariances of reading and state."""
    variance: NDArray[np.float64]
    """Of the innovation."""
    slow: NDArray[np.float64]
    """Of level and season together, as far as they are not known."""


def gains(state: NDArray[np.float64], season: NDArray[np.float64], noise: NDArray[np.float64]) -> Gains:
    """For predicted series (ROWS, R), with the season in units of the noise and the noise's variance at this time."""
    level = state[P_LL] + season * state[P_LA]
    swing = state[P_LA] + season * state[P_AA]
    slow = level + season * swing
    np.maximum(slow, 0.0, out=slow)
    both = state[P_LP] + season * state[P_PA]
    level += state[P_LP]
    swing += state[P_PA]
    passing = both + state[P_PP]
    variance = np.maximum(slow + both + passing, 0.0)
    variance += noise
    return Gains(level, state[P_LS] + state[P_SP] + season * state[P_SA], passing, swing, variance, slow)


def update(
    state: NDArray[np.float64], found: Gains, innovation: NDArray[np.float64], unit: NDArray[np.float64]
) -> None:
    """Learn readings; `innovation` (R,) in units of the noise, bounded by the caller. In place."""
    level, slope, passing, swing, variance, _ = found
    step = innovation / variance
    state[SWING] += swing * step
    step *= unit
    state[LEVEL] += level * step
    state[SLOPE] += slope * step
    state[PASSING] += passing * step
    by = level / variance
    state[P_LL] -= by * level
    state[P_LS] -= by * slope
    state[P_LP] -= by * passing
    state[P_LA] -= by * swing
    np.divide(slope, variance, out=by)
    state[P_SS] -= by * slope
    state[P_SP] -= by * passing
    state[P_SA] -= by * swing
    np.divide(passing, variance, out=by)
    state[P_PP] -= by * passing
    state[P_PA] -= by * swing
    np.divide(swing, variance, out=by)
    state[P_AA] -= by * swing
    for row in VARIANCES:
        np.maximum(state[row], _LEAST_VARIANCE, out=state[row])
    np.maximum(state[SWING], -1.0, out=state[SWING])
    np.minimum(state[SWING], 99.0, out=state[SWING])
