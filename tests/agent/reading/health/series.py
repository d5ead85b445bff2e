"""Values of one channel, shown to a check one after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vedette_models.profile import Channel, Profile

T0 = 1.7e9
INTERVAL = 300.0
ONE = Profile("p", (Channel("x", "bar"),))

Examine = Callable[[NDArray[np.intp], NDArray[np.float64], NDArray[np.float64]], dict[int, Any]]


def shown(examine: Examine, values: Sequence[float] | NDArray[np.float64], start: int = 0) -> dict[int, Any]:
    """What a check says, by place in `values`; readings every five minutes."""
    said = {}
    for i, value in enumerate(values):
        at = np.array([T0 + INTERVAL * (start + i)])
        for what in examine(np.zeros(1, np.intp), np.array([float(value)]), at).values():
            said[i] = what
    return said
