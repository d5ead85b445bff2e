"""Samples in the store: consecutive readings of one device, to train with."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, func, insert, select

from vedette_hub.store.schema import samples
from vedette_models.messages import SampleBatch, Segment

_ROW_BYTES = 256
"""What a segment costs beside its readings."""


@dataclass(frozen=True)
class StoredSegment:
    """Consecutive readings of one device, C channels."""

    number: int
    """Higher for one that reached the hub later."""
    gateway: str
    device: str
    channels: tuple[str, ...]
    readings: bytes
    """(R, 1 + C) numbers, 8 bytes each, little-endian: time, then a value for each channel; NaN: not reported."""
    suspect: bool = False
    """Whether there is an anomaly or an open alert among them."""


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
    rows: list[dict[str, Any]] = []
    for gateway, batch in batches:
        channels = json.dumps(batch.channels)
        for segment in batch.segments:
            if not segment.times:
                continue
            body = _body(segment)
            rows.append(
                {
                    "gateway": gateway,
                    "profile": batch.profile,
                    "device": segment.device,
                    "channels": channels,
                    "first": min(segment.times),
                    "last": max(segment.times),
                    "readings": len(segment.times),
                    "bytes": len(body) + _ROW_BYTES,
                    "received": now,
                    "body": body,
                    "suspect": batch.suspect,
                }
            )
    if rows:
        connection.execute(insert(samples), rows)
    return sum(row["readings"] for row in rows)


def newest_segments(connection: Connection, profile: str) -> Iterator[StoredSegment]:
    """The segments of a profile, those that reached the hub last first; one is read at a time."""
    query = select(samples).where(samples.c.profile == profile).order_by(samples.c.number.desc())
    for row in connection.execute(query.execution_options(yield_per=100)).mappings():
        channels = tuple(json.loads(row["channels"]))
        yield StoredSegment(row["number"], row["gateway"], row["device"], channels, row["body"], row["suspect"])


def sampled_devices(connection: Connection, device: str) -> list[tuple[str, str]]:
    """(gateway, profile) of every device of this name that samples have come of."""
    found = connection.execute(select(samples.c.gateway).where(samples.c.device == device).distinct()).scalars().all()
    query = select(samples.c.gateway, samples.c.profile).where(samples.c.gateway.in_(found), samples.c.device == device)
    return sorted((row.gateway, row.profile) for row in connection.execute(query.distinct()))


def device_segments(connection: Connection, gateway: str, device: str, profile: str) -> Iterator[StoredSegment]:
    """The segments of one device, the newest by their readings' time first; one is read at a time."""
    table = samples.c
    query = select(samples).where(table.gateway == gateway, table.device == device, table.profile == profile)
    query = query.order_by(table.first.desc())
    for row in connection.execute(query.execution_options(yield_per=100)).mappings():
        channels = tuple(json.loads(row["channels"]))
        yield StoredSegment(row["number"], row["gateway"], row["device"], channels, row["body"], row["suspect"])


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


def _body(segment: Segment) -> bytes:
    numbers: list[float] = []
    for time, reading in zip(segment.times, segment.values, strict=True):
        numbers.append(time)
        numbers += (math.nan if value is None else value for value in reading)
    return struct.pack(f"<{len(numbers)}d", *numbers)
