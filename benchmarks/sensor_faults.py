"""Sensor faults: simulated devices, sound ones and ones with a fault put in, as they arrive at a gateway.

Sound devices differ in what they measure (noisy, seasonal, drifting, stepping, constant) and in how they report (every
minute, every five minutes, or a battery device's irregular quarter of an hour; over a slow link; buffered and late).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from vedette_models.profile import Channel, Profile

if TYPE_CHECKING:
    from numpy.typing import NDArray

START = 1_700_000_000.0
DAY = 86_400.0
NOISE, LEVEL, RESOLUTION = 1.0, 20.0, 0.01
"""Robust sigma of every run's noise, in its unit; where runs begin; what is rounded to."""
LOW, HIGH = -200.0, 500.0
"""What the sensors can report."""
RUNS = ("noisy", "seasonal", "drifting", "stepping", "constant")
RHYTHMS = {"minute": (60.0, 0.02, 2_400), "five minutes": (300.0, 0.02, 1_200), "battery": (900.0, 0.3, 1_000)}
"""Median interval in seconds, spread of its logarithm, readings."""
SWING = 2.0
"""Robust sigmas by which a seasonal run swings over the day, either way."""
QUIET = 60
"""Readings before and after a fault in which a stepping run keeps its level: what a fault is must be defined."""
PROFILE = Profile("sensor", (Channel("a", low=LOW, high=HIGH), Channel("b", low=LOW, high=HIGH)))


class Fault(NamedTuple):
    """A fault to put in."""

    name: str
    kind: str
    """Of the alert that must be raised."""
    size: float
    """Robust sigmas, seconds, or what lies outside the range by so much."""
    length: float
    """Readings, or intervals where the device is silent."""

    def fits(self, run: str) -> bool:
        """Whether the fault can be told there: a constant channel cannot be stuck, and has no sigma to jump by."""
        return run != "constant" or self.kind not in ("stuck", "jump")


def faults(share: float = 1.0, jump: int = 10) -> tuple[Fault, ...]:
    """The faults at a share of their severity; jumps last `jump` readings."""
    return (
        *(Fault(f"jump of {m} sigma", "jump", share * m, jump) for m in (4, 6, 8)),
        Fault("stuck for 20 intervals", "stuck", 0.0, share * 20),
        Fault("silent for 5 intervals", "silent", 0.0, share * 5),
        Fault("clock 120 s ahead", "clock", share * 120.0, 40),
        Fault("clock 120 s behind", "clock", share * -120.0, 40),
        Fault("clock runs backwards", "clock", math.nan, share * 10),
        Fault("impossible values", "impossible", share * 400.0, 3),
    )


class Recording(NamedTuple):
    """What one device sent: N readings of two channels, in order of arrival."""

    name: str
    run: str
    rhythm: str
    fault: Fault | None
    arrival: NDArray[np.float64]
    time: NDArray[np.float64]
    """As the device says."""
    values: NDArray[np.float64]
    began: float
    """Arrivals between which an alert is due."""
    ended: float


def sound(run: str, rhythm: str, habit: str, random: np.random.Generator) -> Recording:
    """A device without a fault; `habit`: `prompt`, `slow` (every reading 100 s late) or `buffered` (ten at once)."""
    when, values, _ = _measured(run, rhythm, random)
    arrival = when + random.exponential(0.2, len(when)) + 0.05
    if habit == "slow":
        arrival += 100.0
    elif habit == "buffered":
        last = np.minimum(np.arange(len(when)) // 10 * 10 + 9, len(when) - 1)
        arrival = arrival[last] + 0.01 * (np.arange(len(when)) % 10)
    arrival = np.maximum.accumulate(arrival)
    return Recording(f"sound/{run}/{rhythm}/{habit}", run, rhythm, None, arrival, when, values, math.inf, math.inf)


def faulty(run: str, rhythm: str, fault: Fault, random: np.random.Generator) -> Recording:
    """A prompt device with one fault put into its first channel, or into the device."""
    when, values, at = _measured(run, rhythm, random)
    interval, _, _ = RHYTHMS[rhythm]
    length = math.ceil(fault.length)
    keep = np.ones(len(when), np.bool_)
    time = when.copy()
    hit = slice(at, at + length)
    sign = random.choice([-1.0, 1.0])
    if fault.kind == "jump":
        values[hit, 0] += sign * fault.size * NOISE
    elif fault.kind == "stuck":
        values[at : at + length + 1, 0] = values[at, 0]
    elif fault.kind == "impossible":
        values[hit, 0] = HIGH + fault.size if sign > 0 else LOW - fault.size
    elif fault.kind == "silent":
        until = when[at - 1] + fault.length * interval
        keep = (when <= when[at - 1]) | (when >= until)
        hit = slice(at, int(np.searchsorted(when, until)) + 1)
    elif math.isnan(fault.size):
        time[hit] = when[at] - (when[hit] - when[at])
    else:
        time[hit] += fault.size
    values = values.round(2)
    arrival = when + random.exponential(0.2, len(when)) + 0.05
    arrival = np.maximum.accumulate(arrival)
    ended = float(when[min(hit.stop + 12, len(when) - 1)])
    return Recording(
        f"{fault.name}/{run}/{rhythm}",
        run,
        rhythm,
        fault,
        arrival[keep],
        time[keep],
        values[keep],
        float(when[at - 1]),
        ended,
    )


def _measured(
    run: str, rhythm: str, random: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64], int]:
    """(times (N,), values (N, 2), place for a fault) of a sound device."""
    interval, spread, count = RHYTHMS[rhythm]
    gaps = interval * np.exp(random.normal(0.0, spread, count))
    when = START + random.uniform(0.0, interval) + gaps.cumsum()
    at = int(random.integers(int(0.75 * count), int(0.85 * count)))
    values = np.full((count, 2), LEVEL)
    for channel in range(2):
        noise = random.normal(0.0, NOISE, count)
        if run == "seasonal":
            noise += SWING * NOISE * np.sin(2.0 * np.pi * (when / DAY + random.random()))
        elif run == "drifting":
            noise += random.choice([-1.0, 1.0]) * 0.01 * NOISE * np.arange(count)
        elif run == "stepping":
            noise += _levels(count, at, random)
        if run != "constant":
            values[:, channel] += noise
    return when, (values / RESOLUTION).round() * RESOLUTION, at


def _levels(count: int, at: int, random: np.random.Generator) -> NDArray[np.float64]:
    """(N,) a level that shifts by about ten sigma now and then, and stays."""
    levels, place = np.zeros(count), int(random.integers(100, 400))
    while place < count:
        if not at - QUIET <= place < at + QUIET:
            levels[place:] += random.choice([-1.0, 1.0]) * random.uniform(5.0, 15.0) * NOISE
        place += int(random.integers(100, 400))
    return levels
