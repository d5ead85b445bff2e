"""Streams of readings with faults, for tests of everything that watches them."""

from __future__ import annotations

import numpy as np

from vedette_models.profile import Channel, Decisions, Profile
from vedette_models.readings import ReadingBatch

PROFILE = Profile(
    "pump",
    (Channel("vibration", "mm/s", low=-50.0, high=50.0), Channel("pressure", "hPa", low=0.0)),
    Decisions(cooldown=600.0, clear_after=3, burst=2, per_day=20.0),
)


def stream(seed: int, readings: int, devices: int = 3) -> ReadingBatch:
    """Readings of several devices in random order.

    With noise, gaps, bursts, level shifts, something that gets worse, impossible values and odd clocks.
    """
    random = np.random.default_rng(seed)
    device = random.integers(0, devices, readings)
    time = 1.7e9 + np.cumsum(random.exponential(20.0, readings))
    values = np.column_stack([random.normal(1.0, 0.1, readings), random.normal(1013.25, 0.01, readings)])
    for _ in range(readings // 60):
        at = random.integers(readings // 4, readings)
        channel = random.integers(2)
        match random.integers(5):
            case 0:
                values[at, channel] += random.choice([-1, 1]) * 10.0 ** random.uniform(-1, 1.5)
            case 1:
                values[at : at + 20, channel] += 10.0 ** random.uniform(-1, 1)
            case 2:
                values[at : at + random.integers(1, 20), channel] = -999.0
            case 3:
                time[at] += random.choice([-1e6, 1e6])
            case _:
                values[at : at + 30, channel] = values[at, channel]
    rising = slice(3 * readings // 4, 3 * readings // 4 + 8 * devices)
    values[rising, 0] += 0.4 * 2.0 ** (np.arange(8 * devices) / devices)[: len(values[rising])]
    values[random.random(values.shape) < 0.1] = np.nan
    return ReadingBatch.of(device, time, values)
