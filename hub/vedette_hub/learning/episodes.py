"""Episodes: moments of a device that are one alert, because little time lies between them. Pure."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vedette_models.calibration import EPISODE_GAP


def episodes(device: NDArray[np.intp], time: NDArray[np.float64]) -> NDArray[np.intp]:
    """(M,) the number of each moment's episode, from 0: moments of a device less than EPISODE_GAP apart are one.

    >>> episodes(np.array([0, 0, 1, 0]), np.array([0.0, 60.0, 60.0, 9000.0])).tolist()
    [0, 0, 2, 1]
    """
    order = np.lexsort((time, device))
    begins = np.ones(len(order), bool)
    begins[1:] = (np.diff(device[order]) != 0) | (np.diff(time[order]) >= EPISODE_GAP)
    found = np.empty(len(order), np.intp)
    found[order] = np.cumsum(begins) - 1
    return found
