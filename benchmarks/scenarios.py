"""Scenarios: generated fleets that learn for two weeks and are watched for four, with faults at known places. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from vedette_hub.learning.cleaning import Series
from vedette_hub.learning.datasets import Source
from vedette_models.readings import ReadingBatch

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    Normal = Callable[[np.random.Generator, np.random.Generator, int], NDArray[np.float64]]
    Disturb = Callable[[np.random.Generator, NDArray[np.float64], int, int], None]

INTERVAL = 300.0
WEEK = 2_016
"""Readings of a device in a week."""
LEARNT_WEEKS, WATCHED_WEEKS = 2, 4
DEVICES = 6
EVERY = 100
"""Readings of a device from one fault to the next."""
_DAY = WEEK // 7
_START = 1_700_000_000.0


class Event(NamedTuple):
    """A fault: readings `start` to `end` (exclusive) of a device."""

    device: int
    start: int
    end: int


class Scenario(NamedTuple):
    """A fleet: what is learnt from, and what is watched after that."""

    name: str
    learnt: Source
    watched: tuple[NDArray[np.float64], ...]
    """By device, (readings, channels), following what was learnt."""
    events: tuple[Event, ...]

    @property
    def channels(self) -> int:
        """Channels of each reading."""
        return len(self.learnt.channels)

    def batch(self) -> ReadingBatch:
        """What is watched, all devices interleaved, in order of time."""
        values = np.stack(self.watched, axis=1)
        readings, devices, channels = values.shape
        times = _START + INTERVAL * (LEARNT_WEEKS * WEEK + np.arange(readings))
        return ReadingBatch.of(
            np.tile(np.arange(devices), readings), np.repeat(times, devices), values.reshape(-1, channels)
        )

    def history(self) -> ReadingBatch:
        """What was learnt from, interleaved likewise."""
        values = np.stack([one.values for one in self.learnt.series], axis=1)
        readings, devices, channels = values.shape
        times = self.learnt.series[0].times
        return ReadingBatch.of(
            np.tile(np.arange(devices), readings), np.repeat(times, devices), values.reshape(-1, channels)
        )


def generate(name: str, seed: int = 0) -> Scenario:
    """The scenario of this name in SCENARIOS; the same seed gives the same data.

    Raises:
        KeyError: there is none.
    """
    normal, disturb = SCENARIOS[name]
    draw = np.random.default_rng([seed, list(SCENARIOS).index(name)])
    fleet = int(draw.integers(2**32))
    learnt, watched, events = [], [], []
    for device in range(DEVICES):
        values = normal(np.random.default_rng(fleet), draw, (LEARNT_WEEKS + WATCHED_WEEKS) * WEEK)
        begins = LEARNT_WEEKS * WEEK
        times = _START + INTERVAL * np.arange(begins, dtype=np.float64)
        learnt.append(Series(f"device-{device + 1}", times, values[:begins]))
        seen = values[begins:].copy()
        for first in range(EVERY // 2, len(seen) - EVERY // 2, EVERY):
            start = first + int(draw.integers(EVERY // 4))
            end = start + int(draw.integers(8, 25))
            disturb(draw, seen, start, end)
            events.append(Event(device, start, end))
        watched.append(seen)
    channels = tuple(f"channel {number + 1}" for number in range(watched[0].shape[1]))
    return Scenario(name, Source(name, channels, tuple(learnt), "synthetic"), tuple(watched), tuple(events))


def _gaussian(fleet: np.random.Generator, draw: np.random.Generator, readings: int) -> NDArray[np.float64]:
    return 50.0 + draw.normal(0.0, 0.2, 4) + draw.normal(size=(readings, 4))


def _one_channel(draw: np.random.Generator, values: NDArray[np.float64], start: int, end: int) -> None:
    """One channel is off by 3 to 6 of its deviations, or three times as restless, or jumps up once by 8."""
    channel, kind = int(draw.integers(values.shape[1])), int(draw.integers(3))
    if kind == 0:
        values[start:end, channel] += draw.choice([-1.0, 1.0]) * draw.uniform(3.0, 6.0)
    elif kind == 1:
        values[start:end, channel] += draw.normal(0.0, 3.0, end - start)
    else:
        values[start, channel] += 8.0


_STATES = 10.0 * np.array([[0, 0, 0], [1, 1, 0], [1, 0, 1], [0, 1, 1]])


def _clustered(fleet: np.random.Generator, draw: np.random.Generator, readings: int) -> NDArray[np.float64]:
    """Four states of a machine that follow each other; of each channel, low and high are equally common."""
    state = np.repeat(draw.integers(4, size=readings), draw.integers(40, 160, readings))[:readings]
    return (
        _STATES[state]
        + draw.normal(0.0, 0.1, 3)
        + draw.normal(0.0, np.array([0.5, 1.0, 1.5, 0.7])[state, None], (readings, 3))
    )


def _no_state(draw: np.random.Generator, values: NDArray[np.float64], start: int, end: int) -> None:
    """A combination of usual values that is no state."""
    values[start:end] = 10.0 - _STATES[draw.integers(4)] + draw.normal(0.0, 1.0, (end - start, 3))


def _high_dimensional(fleet: np.random.Generator, draw: np.random.Generator, readings: int) -> NDArray[np.float64]:
    """Sixteen channels that follow three slow causes."""
    loadings = fleet.normal(size=(3, 16))
    loadings /= np.sqrt((loadings**2).sum(axis=0))
    causes = _slow(draw, readings, 3)
    values: NDArray[np.float64] = causes @ loadings
    values += draw.normal(0.0, 0.3, (readings, 16)) + draw.normal(0.0, 0.05, 16)
    return values


def _slow(draw: np.random.Generator, readings: int, series: int) -> NDArray[np.float64]:
    """(readings, series) of variance 1 that remember themselves for about 50 readings."""
    steps = draw.normal(0.0, np.sqrt(1.0 - 0.98**2), (readings, series))
    values = np.empty_like(steps)
    now = draw.normal(size=series)
    for number, step in enumerate(steps):
        now = 0.98 * now + step
        values[number] = now
    return values


def _some_channels(draw: np.random.Generator, values: NDArray[np.float64], start: int, end: int) -> None:
    """One to three channels leave the others by 2 to 4 of their deviations."""
    channels = draw.permutation(values.shape[1])[: draw.integers(1, 4)]
    values[start:end, channels] += draw.choice([-1.0, 1.0], len(channels)) * draw.uniform(2.0, 4.0, len(channels))


def _seasonal(fleet: np.random.Generator, draw: np.random.Generator, readings: int) -> NDArray[np.float64]:
    """A daily rhythm, with a peak of its own for each channel."""
    angle = 2.0 * np.pi * np.arange(readings)[:, None] / _DAY + np.array([0.0, 1.0, 2.0])
    rhythm: NDArray[np.float64] = 5.0 * np.sin(angle) + 3.0 * np.exp(4.0 * (np.cos(angle - 1.0) - 1.0))
    return rhythm + draw.normal(0.0, 0.2, 3) + draw.normal(0.0, 0.5, (readings, 3))


def _out_of_rhythm(draw: np.random.Generator, values: NDArray[np.float64], start: int, end: int) -> None:
    """One channel shows what it shows at another time of the day, or is off by 3 to 6 of what it varies by at one."""
    channel = int(draw.integers(values.shape[1]))
    if draw.integers(2):
        other = (start + _DAY // 3) % (len(values) - _DAY)
        values[start:end, channel] = values[other : other + end - start, channel]
    else:
        values[start:end, channel] += draw.choice([-1.0, 1.0]) * draw.uniform(1.5, 4.0)


def _drifting(fleet: np.random.Generator, draw: np.random.Generator, readings: int) -> NDArray[np.float64]:
    """One deviation further every two weeks, in a direction of each channel's own."""
    direction = draw.choice([-1.0, 1.0], 4)
    return direction * np.arange(readings)[:, None] / (2 * WEEK) + draw.normal(size=(readings, 4))


SCENARIOS: Mapping[str, tuple[Normal, Disturb]] = {
    "gaussian": (_gaussian, _one_channel),
    "clustered": (_clustered, _no_state),
    "high_dimensional": (_high_dimensional, _some_channels),
    "seasonal": (_seasonal, _out_of_rhythm),
    "drift": (_drifting, _one_channel),
}
"""By name: how a device's readings come about, and how a fault changes them."""
