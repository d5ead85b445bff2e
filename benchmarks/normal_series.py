"""Series in which nothing happens, to see how often a detector alerts all the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

KINDS = ("noise", "seasonal", "counts", "wandering", "heavy_tails")
DEVICES = 6
WEEKS = 4
STEP = 300.0
START = 1_704_067_200.0
"""A Monday."""
DAY, WEEK = 86_400.0, 604_800.0
READINGS = int(WEEKS * WEEK / STEP)


def generate(
    kind: str, devices: int = DEVICES, readings: int = READINGS, seed: int = 1
) -> tuple[list[NDArray[np.float64]], list[NDArray[np.float64]]]:
    """Times and values of `devices` series, a reading every five minutes.

    Raises:
        ValueError: no such kind.
    """
    random = np.random.default_rng([seed, KINDS.index(kind)])
    time = START + STEP * np.arange(readings, dtype=np.float64)
    values: list[NDArray[np.float64]] = []
    for _ in range(devices):
        phase = random.uniform(0.0, 2.0 * np.pi)
        day = np.sin(2.0 * np.pi * time / DAY + phase)
        week = np.where((time // DAY).astype(np.int64) % 7 < 5, 1.0, 0.4)
        noise = random.normal(size=readings)
        value: NDArray[np.float64]
        match kind:
            case "noise":
                value = 50.0 + noise
            case "seasonal":
                value = 50.0 + 10.0 * day * week + noise
            case "counts":
                value = random.poisson(20.0 * week * (1.2 + day)).astype(np.float64)
            case "wandering":
                value = _autoregressive(noise, 0.99)
            case _:
                value = 50.0 + random.standard_t(3, readings)
        values.append(value)
    return [time] * devices, values


def _autoregressive(noise: NDArray[np.float64], memory: float) -> NDArray[np.float64]:
    """x[t] = memory * x[t - 1] + noise[t]."""
    value, total = np.empty_like(noise), 0.0
    for i, each in enumerate(noise.tolist()):
        total = memory * total + each
        value[i] = total
    return value
