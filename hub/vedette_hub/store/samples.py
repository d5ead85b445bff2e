"""Samples in the store: consecutive readings of one device, to train with."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, func, insert, select

from vedette_hub.store.schema import samples
from vedette_models.messages import SampleBatch

_ROW_BYTES = 256
"""What a segment costs beside its readings."""


@dataclass(frozen=True)
class StoredSegment:
    """R consecutive readings of one device, C channels."""

    number: int
    """Higher for one that reached the hub later."""
    gateway: str
    device: str
    channels: tuple[str, ...]
    times: NDArray[np.float64]
    """(R,) seconds since 1970."""
    values: NDArray[np.float64]
    """(R, C); NaN: not reported."""


@dataclass(frozen=True)
class SampleTotals:
    """What there is of one profile."""

    profile: str
    segments: int
    readings: int
    bytes: int
    newest: int
    """Number of the newest segment."""


def add_samples(connection: Connection, batches: Iterable[tuple[str, SampleBatch]], now: float) -> int:
    """Keep (gateway, batch of samples); how many readings they have."""
    rows = []
    for gateway, batch in batches:
        channels = json.dumps(batch.channels)
        for segment in batch.segments:
            if not segment.times:
                continue
            times = np.array(segment.times, "<f8")
            values = np.array(segment.values, "<f8").reshape(len(times), len(batch.channels))
            body = np.column_stack([times, values]).tobytes()
            rows.append(
                {
                    "gateway": gateway,
                    "profile": batch.profile,
                    "device": segment.device,
                    "channels": channels,
                    "first": float(times.min()),
                    "last": float(times.max()),
                    "readings": len(times),
                    "bytes": len(body) + _ROW_BYTES,
                    "received": now,
                    "body": body,
                }
            )
    if rows:
        connection.execute(insert(samples), rows)
    return sum(int(str(row["readings"])) for row in rows)


def newest_segments(connection: Connection, profile: str) -> Iterator[StoredSegment]:
    """The segments of a profile, those that reached the hub last first; one is read at a time."""
    query = select(samples).where(samples.c.profile == profile).order_by(samples.c.number.desc())
    for row in connection.execute(query.execution_options(yield_per=100)).mappings():
        channels = tuple(json.loads(row["channels"]))
        table = np.frombuffer(row["body"], "<f8").reshape(row["readings"], 1 + len(channels))
        yield StoredSegment(row["number"], row["gateway"], row["device"], channels, table[:, 0], table[:, 1:])


def sample_totals(connection: Connection) -> list[SampleTotals]:
    """What there is of each profile, by name."""
    table = samples.c
    query = select(
        table.profile,
        func.count().label("segments"),
        func.sum(table.readings).label("readings"),
        func.sum(table.bytes).label("bytes"),
        func.max(table.number).label("newest"),
    )
    return [
        SampleTotals(row.profile, int(row.segments), int(row.readings), int(row.bytes), int(row.newest))
        for row in connection.execute(query.group_by(table.profile).order_by(table.profile))
    ]
