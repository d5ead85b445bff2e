"""Training data from a generator: devices with a daily rhythm and noise, and faults at known places."""

from __future__ import annotations

import numpy as np

from vedette_hub.learning.cleaning import Series
from vedette_hub.learning.datasets import Source
from vedette_hub.learning.errors import TrainingRefusedError

DEVICES = 4
PERIOD = 60.0
"""Seconds between readings."""
ANOMALOUS = 0.02
"""Share of the readings that lie in a fault."""
FAULT_READINGS = 20
MAX_VALUES = 20_000_000
_START = 1_700_000_000.0


def generate(profile: str, samples: int, features: int, seed: int = 0) -> Source:
    """`samples` readings of `features` channels from a few devices; the same seed gives the same data.

    A fault lasts 20 readings and shifts half of the channels by 6 to 12 of their standard deviations.

    Raises:
        TrainingRefusedError: too few or too many.
    """
    if samples < DEVICES * 2 * FAULT_READINGS or features < 1 or samples * features > MAX_VALUES:
        raise TrainingRefusedError(
            f"{samples} samples of {features} features: at least {DEVICES * 2 * FAULT_READINGS} samples of 1 are "
            f"needed, and samples x features may be {MAX_VALUES:,}"
        )
    draw = np.random.default_rng(seed)
    level, swing = draw.uniform(10.0, 100.0, features), draw.uniform(0.5, 5.0, features)
    phase, noise = draw.uniform(0.0, 2.0 * np.pi, features), draw.uniform(0.1, 1.0, features)
    spread = np.sqrt(1.0 + swing**2 / 2.0 + noise**2)
    series, labels = [], []
    for number, length in enumerate(len(part) for part in np.array_split(np.arange(samples), DEVICES)):
        times = _START + PERIOD * np.arange(length, dtype=np.float64)
        angle = 2.0 * np.pi * times[:, None] / 86_400.0 + phase
        values = (
            level
            + draw.normal(0.0, 1.0, features)
            + swing * np.sin(angle)
            + draw.normal(0.0, noise, (length, features))
        )
        anomalous = np.zeros(length, bool)
        for _ in range(max(1, round(ANOMALOUS * length / FAULT_READINGS))):
            start = int(draw.integers(0, length - FAULT_READINGS + 1))
            hit = draw.permutation(features)[: (features + 1) // 2]
            shift = draw.choice([-1.0, 1.0], len(hit)) * draw.uniform(6.0, 12.0, len(hit)) * spread[hit]
            values[start : start + FAULT_READINGS, hit] += shift
            anomalous[start : start + FAULT_READINGS] = True
        series.append(Series(f"synthetic-{number + 1}", times, values))
        labels.append(anomalous)
    names = tuple(f"channel {number + 1}" for number in range(features))
    return Source(profile, names, tuple(series), "synthetic", name=f"seed {seed}", anomalous=tuple(labels))
