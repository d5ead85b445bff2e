"""Readings to learn from: a daily rhythm with noise, as series, and as batches of samples from a gateway."""

from __future__ import annotations

import numpy as np
from sqlalchemy import Engine

from tests.hub.gateway import row
from vedette_hub.config import LimitsSection
from vedette_hub.fleet.arrivals import parse
from vedette_hub.fleet.commit import Outcome, commit
from vedette_hub.learning.cleaning import Series
from vedette_hub.learning.datasets import Source
from vedette_models import topics
from vedette_models.messages import Delivery, SampleBatch, Segment, to_bytes

START = 1_700_000_000.0


def series(number: int = 1, readings: int = 600, channels: int = 2, start: float = START) -> Series:
    draw = np.random.default_rng(number)
    times = start + 60.0 * np.arange(readings)
    angle = 2 * np.pi * times[:, None] / 86_400 + np.arange(channels)
    values = 1000.0 + 5.0 * np.sin(angle) + draw.normal(0.0, 0.5, (readings, channels))
    return Series(f"pump-{number}", times, values)


def source(*parts: Series, channels: int = 2) -> Source:
    names = ("pressure", "flow", "current", "speed")[:channels]
    return Source("pump", names, parts or (series(1), series(2)), "csv", name="test")


def samples(number: int = 1, *, readings: int = 300, profile: str = "pump", **fields: object) -> SampleBatch:
    one = series(number, readings, start=START + 100_000.0 * number)
    segment = Segment(one.device, tuple(one.times.tolist()), tuple(tuple(reading) for reading in one.values.tolist()))
    return SampleBatch(**{  # type: ignore[arg-type]  # checked by the tests that use it
        "profile": profile, "channels": ("pressure", "flow"), "segments": (segment,), "time": START, **fields
    })  # fmt: skip


def deliver(engine: Engine, *batches: SampleBatch | bytes, first: int = 1, gateway: str = "gw-1") -> Outcome:
    """Commit rows of class samples as if a gateway had sent them, each in a message of its own."""
    outcome = Outcome()
    for sequence, batch in enumerate(batches, start=first):
        body = batch if isinstance(batch, bytes) else to_bytes(batch)
        found = parse(topics.gateway_up(gateway, "samples"), to_bytes(Delivery((row(sequence, body),))))
        outcome.add(commit(engine, found, START, LimitsSection()))
    return outcome
