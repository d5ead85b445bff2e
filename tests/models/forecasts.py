"""Forecasts made by hand, and readings that follow a daily and weekly rhythm."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vedette_models import artifact
from vedette_models.artifact import Artifact, Lineage
from vedette_models.detectors.forecast import Forecast
from vedette_models.detectors.forecast_filter import Dynamics
from vedette_models.detectors.forecast_season import DAY, Tables
from vedette_models.detectors.forecast_views import VIEWS
from vedette_models.golden import Golden
from vedette_models.readings import ReadingBatch

START = 1.7e9
NOISE, PASSING, PASSING_DAYS = 0.5, 0.7, 0.1
DAILY, WEEKEND = 5.0, 3.0
"""The rhythm: a sine over the day, and so much less at the weekend."""


def tables(channels: int) -> Tables:
    """The rhythm as knots: every half hour of the day, every hour of the week."""
    daily = DAILY * np.sin(2.0 * np.pi * np.arange(48) / 48)
    weekly = np.where(weekend(3600.0 * np.arange(168)), -WEEKEND, 0.0)
    every = np.ones((channels, 1))
    return Tables(every * daily, every * weekly, np.ones((channels, 24)))


def weekend(time: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether a time is a Saturday or a Sunday: day 2 and 3 of a week that begins on a Thursday."""
    return np.isin(time // DAY % 7, (2, 3))


def forecast(channels: int, devices: int) -> Forecast:
    """A detector of that rhythm that knows no device."""

    def every(value: float) -> NDArray[np.float64]:
        return np.full(channels, value)

    dynamics = Dynamics(every(NOISE), every(PASSING**2), every(PASSING_DAYS), every(0.01), every(0.01), every(0.02))
    limits = np.tile([4.5] + [5.0] * (VIEWS - 1), (channels, 1))
    return Forecast(tables(channels), dynamics, limits, 300.0, devices)


def rhythm(time: NDArray[np.float64]) -> NDArray[np.float64]:
    """What the knots say at these times."""
    week = tables(1)
    daily = np.interp(time % DAY / DAY, np.arange(48) / 48, week.daily[0], period=1.0)
    return daily + np.interp(time % (7 * DAY) / (7 * DAY), np.arange(168) / 168, week.weekly[0], period=1.0)


def following(
    days: float, *, every: float = 300.0, level: float = 50.0, swing: float = 1.0, noise: float = NOISE, seed: int = 0
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(times, values) of a device: level, rhythm, a deviation that passes, noise."""
    random = np.random.default_rng(seed)
    n = int(days * DAY / every)
    time = START + every * np.arange(n)
    hold = np.exp(-every / DAY / PASSING_DAYS)
    pushes = random.normal(0.0, PASSING * np.sqrt(1.0 - hold**2), n)
    passing = np.zeros(n)
    for i in range(1, n):
        passing[i] = hold * passing[i - 1] + pushes[i]
    return time, level + swing * rhythm(time) + noise * (passing + random.normal(size=n))


def of_one(time: NDArray[np.float64], values: NDArray[np.float64]) -> ReadingBatch:
    """A batch of one device with one channel."""
    return ReadingBatch.of(np.zeros(len(time), np.intp), time, values[:, None])


def small_artifact() -> Artifact:
    """A model with golden readings."""
    time, values = following(1.0, every=1800.0)
    values[-3:] += 9.0
    detector = forecast(1, 0)
    lineage = Lineage(samples=4_000, first=START, last=START + 14 * DAY, trained=1.8e9)
    golden = Golden.recorded(detector, of_one(time, values))
    return Artifact.of(detector, "pump", ("flow",), lineage, golden)


def small_bytes() -> bytes:
    """The same as bytes."""
    return artifact.to_bytes(small_artifact())
