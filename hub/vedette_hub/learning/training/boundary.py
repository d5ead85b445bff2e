"""Boundary: the score that normal time exceeds no more often than a budget of alerts allows. Pure."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import defaultdict

import numpy as np
from numpy.typing import NDArray

from vedette_models.calibration import EPISODE_GAP

WEEK = 7 * 86_400.0
QUIET = EPISODE_GAP
"""Scores above the boundary that are less than so many seconds apart are one alert: an episode, as on the gateway."""


def boundary(
    scores: NDArray[np.float64],
    device: NDArray[np.intp],
    time: NDArray[np.float64],
    device_seconds: float,
    per_week: float,
) -> float:
    """The lowest score that is exceeded in at most `per_week` alerts per device-week of the time that was watched.

    `scores`, `device` and `time` are (N,), N > 0; `device_seconds` is how long all devices together were watched. Where
    that is too short for a single alert, it is the highest score.

    >>> boundary(np.array([0.4, 0.9, 0.8, 0.5]), np.zeros(4, int), np.array([0.0, 1.0, 2.0, 1e5]), WEEK, 1.0)
    0.5
    """
    allowed = int(per_week * device_seconds / WEEK)
    alerts = 0
    times: dict[int, list[float]] = defaultdict(list)
    for i in np.argsort(-scores, kind="stable"):
        known, when = times[int(device[i])], float(time[i])
        place = bisect_left(known, when)
        before = place > 0 and when - known[place - 1] < QUIET
        after = place < len(known) and known[place] - when < QUIET
        joined = before and after and known[place] - known[place - 1] >= QUIET
        alerts += 0 if before != after else -1 if joined else 0 if before else 1
        if alerts > allowed:
            return float(scores[i])
        insort(known, when)
    return float(scores.min())
