"""How far `mahalanobis` has come with each device: from nothing to a trial to a trusted baseline, and to a new regime.

Each field is a column of one table with a row per device, so that a round gathers them at once.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vedette_models.columns import Column

(
    READINGS,  # learnt by the baseline in the making
    NEXT_FIT,  # readings at which the baseline is taken anew
    TRUST,  # NOTHING, TRIAL or TRUSTED
    HELD_SUM,  # of T² since the trial began, and of how many
    HELD_COUNT,
    T_SQUARED,  # smoothed
    REACH,  # the largest smoothed T² that normal time has shown
    PEAK,  # the largest since the newest block of readings began, and how many there were; infinite: not normal
    PEAK_COUNT,
    REGIME,  # readings since something began that is not normal; 0: nothing has
    STRANGE,  # how many of them were beyond the reach
    CALM,  # how many in a row were not
    TOP,  # the largest smoothed T² among them
) = range(13)
FIELDS = 13
NOTHING, TRIAL, TRUSTED = 0.0, 1.0, 2.0

LAYOUT = {"progress": Column((FIELDS,))}

T_SQUARED_SMOOTHING = 0.1
YOUNG = 300
"""Scores count readings / (readings + YOUNG), and so does the drift that a channel may show."""
PROVED = 2.0
"""A trial baseline has proved itself when the mean T² of what followed is at most this; at home it is 1."""
REACH_BLOCK = 64
"""Readings before the largest T² of normal time counts: an anomaly on its way up must not be its own excuse."""
FADE = 0.99
"""What is left, after so many readings more, of the largest T²."""
ABOVE = 1.5
"""Times the reach from which T² is not normal time's, whatever comes after."""
LESSON = 2.0
"""What came and went by itself makes the reach so many times larger at most: what comes again counts, but less."""
SHORTEST_REGIME, LONGEST_REGIME = 1024, 4096
"""Readings that a new regime must have lasted: as many as were known of the old one, within these bounds."""
REGIME_CHECK = 128
QUIET = 64
"""Readings in a row within the reach after which what began is over."""
_PEAK_SIGMA = 3.0
_CHANCE = 2.0 * (1 + 4 / 9) / (1 - 4 / 9) * T_SQUARED_SMOOTHING / (2.0 - T_SQUARED_SMOOTHING)
"""Variance of the smoothed T² of one channel: 2, by the correlation of its values in time, by the smoothing."""

Progress = NDArray[np.float64]
"""(R, FIELDS) rows of the table, changed in place."""


def weight(readings: NDArray[np.float64]) -> NDArray[np.float64]:
    """(R,) how much counts what so many readings let expect: little at first, all in the end."""
    return readings / (readings + YOUNG)


def least_reach(channels: NDArray[np.intp]) -> NDArray[np.float64]:
    """(R,) what chance alone makes the smoothed T² of so many channels reach now and then."""
    return 1.0 + _PEAK_SIGMA * np.sqrt(_CHANCE / np.maximum(channels, 1))


def begin(progress: Progress, first_fit: int) -> None:
    """Say when the first baseline is due, where nothing has been read."""
    new = progress[:, NEXT_FIT] == 0.0
    progress[new, NEXT_FIT] = first_fit
    progress[new, T_SQUARED] = 1.0


def tempered(t_squared: NDArray[np.float64], reach: NDArray[np.float64]) -> NDArray[np.float64]:
    """(R,) T² that beyond the reach only grows with its logarithm: one reading, however far, is one reading."""
    reach = np.maximum(reach, 1.0)
    excess = np.maximum(t_squared / reach, 1.0)
    return np.minimum(t_squared, reach) + reach * np.log(excess)


def judge(
    progress: Progress, t_squared: NDArray[np.float64], channels: NDArray[np.intp], sees: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Enter tempered T² (R,) of readings with so many judged `channels`; only those that the detector `sees` count.

    Returns the scores (R,), 0 where the baseline is not trusted, and which readings are beyond the reach.
    """
    smoothed = progress[:, T_SQUARED]
    smoothed = smoothed + np.where(sees, T_SQUARED_SMOOTHING * (t_squared - smoothed), 0.0)
    progress[:, T_SQUARED] = smoothed
    progress[:, HELD_SUM] += np.where(sees, t_squared, 0.0)
    progress[:, HELD_COUNT] += sees
    reach = progress[:, REACH]
    trusted = sees & (progress[:, TRUST] == TRUSTED)
    ratio = np.where(trusted, smoothed / np.maximum(reach, 1.0), 0.0)
    peak = np.maximum(progress[:, PEAK], np.where(sees, smoothed, 0.0))
    progress[:, PEAK] = np.where(ratio >= ABOVE, np.inf, peak)
    progress[:, PEAK_COUNT] += sees
    done = trusted & (progress[:, PEAK_COUNT] >= REACH_BLOCK)
    if done.any():
        normal = done & np.isfinite(progress[:, PEAK])
        learnt = np.maximum(np.maximum(reach * FADE, progress[:, PEAK]), least_reach(channels))
        progress[:, REACH] = np.where(normal, learnt, reach)
        progress[done, PEAK] = progress[done, PEAK_COUNT] = 0.0
    return ratio * weight(progress[:, READINGS]), ratio >= 1.0


def follow(
    progress: Progress, strange: NDArray[np.bool_]
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
    """What goes on beyond the reach, after readings of which some were `strange`: positions in the round.

    Returns where it begins now, where it goes on, and where it has lasted long enough to be looked at as a new regime.
    """
    begins = np.flatnonzero(strange & (progress[:, REGIME] == 0.0))
    progress[begins, STRANGE] = progress[begins, CALM] = progress[begins, TOP] = 0.0
    on = np.flatnonzero(strange | (progress[:, REGIME] > 0.0))
    if not len(on):
        return begins, on, on
    progress[on, REGIME] += 1.0
    progress[on, STRANGE] += strange[on]
    progress[on, TOP] = np.maximum(progress[on, TOP], progress[on, T_SQUARED])
    progress[on, CALM] = np.where(strange[on], 0.0, progress[on, CALM] + 1.0)
    over = on[progress[on, CALM] >= QUIET]
    progress[over, REGIME] = 0.0
    progress[over, REACH] = np.maximum(
        progress[over, REACH], np.minimum(progress[over, TOP], LESSON * progress[over, REACH])
    )
    lasted = progress[on, REGIME]
    long = lasted >= np.clip(progress[on, READINGS], SHORTEST_REGIME, LONGEST_REGIME)
    long &= (lasted % REGIME_CHECK == 0.0) & (2.0 * progress[on, STRANGE] >= lasted)
    return begins, on, on[long]


def settle(progress: Progress, channels: NDArray[np.intp]) -> None:
    """A baseline with so many judged `channels` (R,) has been taken: trust the trial before it, or begin another."""
    trial = progress[:, TRUST] == TRIAL
    held = trial & (progress[:, HELD_COUNT] > 0.0) & (progress[:, HELD_SUM] <= PROVED * progress[:, HELD_COUNT])
    progress[held, REACH] = np.maximum(progress[held, PEAK], least_reach(channels[held]))
    progress[held, TRUST] = TRUSTED
    trial = progress[:, TRUST] != TRUSTED
    progress[trial, TRUST] = TRIAL
    progress[trial, T_SQUARED] = 1.0
    anew = held | trial
    for field in (HELD_SUM, HELD_COUNT, PEAK, PEAK_COUNT):
        progress[anew, field] = 0.0


def adopt(progress: Progress) -> None:
    """What was strange is the new normal."""
    progress[:, READINGS] = progress[:, REGIME]
    progress[:, T_SQUARED] = 1.0
    for field in (REGIME, HELD_SUM, HELD_COUNT, PEAK, PEAK_COUNT):
        progress[:, field] = 0.0
