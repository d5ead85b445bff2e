"""Devices as the store knows them: from the samples that have come of them, and from alerts that are open."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, func, select

from vedette_hub.store.schema import alerts, samples

DeviceKey = tuple[str, str]
"""(gateway, device)"""

ALERTS_READ = 2_000
"""Active alerts among which devices are looked for that no sample has come of."""


@dataclass(frozen=True)
class StoredDevice:
    """What is known of a device."""

    gateway: str
    device: str
    profile: str
    last: float | None
    """Time of the newest reading that has come as a sample; None: none has."""
    interval: float | None
    """Usual seconds between its readings; None: too few have come."""
    channels: tuple[str, ...]
    """Of its newest samples."""


def list_devices(
    connection: Connection, *, limit: int, after: DeviceKey | None = None, gateway: str | None = None
) -> list[StoredDevice]:
    """Devices by gateway and name, at most `limit`, those after `after`; of one gateway where that is given.

    A device that no sample has come of is among them while it has an active alert, one of the newest ALERTS_READ.
    """
    found: list[StoredDevice] = []
    for key in _keys(connection, after, gateway):
        if len(found) == limit:
            break
        device = find_device(connection, key)
        if device is not None:
            found.append(device)
    return found


def find_device(connection: Connection, key: DeviceKey) -> StoredDevice | None:
    """One device; None when nothing has come of it."""
    same = (samples.c.gateway == key[0]) & (samples.c.device == key[1])
    query = select(samples.c.profile, samples.c.last, samples.c.channels, samples.c.body).where(same)
    row = connection.execute(query.order_by(samples.c.first.desc()).limit(1)).first()
    if row is not None:
        channels = tuple(json.loads(row.channels))
        return StoredDevice(*key, row.profile, row.last, _interval(row.body, len(channels)), channels)
    same = (alerts.c.device == key[1]) & (alerts.c.gateway == key[0])
    raised = select(alerts.c.profile).where(same).order_by(alerts.c.serial.desc()).limit(1)
    profile = connection.execute(raised).scalar()
    return None if profile is None else StoredDevice(*key, profile, None, None, ())


def _keys(connection: Connection, after: DeviceKey | None, gateway: str | None) -> Iterator[DeviceKey]:
    """Keys in order."""
    alerted = _alerted(connection, gateway)
    at: DeviceKey = after if after is not None else (gateway or "", "")
    while True:
        candidates = [key for key in (_next_sampled(connection, at), _next(alerted, at)) if key is not None]
        if not candidates or (gateway is not None and min(candidates)[0] != gateway):
            return
        at = min(candidates)
        yield at


def _next_sampled(connection: Connection, at: DeviceKey) -> DeviceKey | None:
    """The key behind `at`; looked up in the index, however many samples there are of each."""
    own = samples.c.gateway == at[0]
    device = connection.execute(select(func.min(samples.c.device)).where(own, samples.c.device > at[1])).scalar()
    if device is not None:
        return at[0], device
    gateway = connection.execute(select(func.min(samples.c.gateway)).where(samples.c.gateway > at[0])).scalar()
    if gateway is None:
        return None
    first = select(func.min(samples.c.device)).where(samples.c.gateway == gateway)
    return gateway, connection.execute(first).scalar_one()


def _alerted(connection: Connection, gateway: str | None) -> list[DeviceKey]:
    query = select(alerts.c.gateway, alerts.c.device).where(alerts.c.state == "active")
    if gateway is not None:
        query = query.where(alerts.c.gateway == gateway)
    newest = connection.execute(query.order_by(alerts.c.serial.desc()).limit(ALERTS_READ))
    return sorted({(row.gateway, row.device) for row in newest})


def _next(keys: Sequence[DeviceKey], at: DeviceKey) -> DeviceKey | None:
    place = bisect_right(keys, at)
    return keys[place] if place < len(keys) else None


def _interval(body: bytes, channels: int) -> float | None:
    times = np.frombuffer(body, "<f8").reshape(-1, 1 + channels)[:, 0]
    steps = np.diff(times)
    steps = steps[np.isfinite(steps) & (steps > 0.0)]
    return float(np.median(steps)) if len(steps) else None


@dataclass(frozen=True)
class Readings:
    """Readings of a device in order of time, each time once: R of them, C channels."""

    channels: tuple[str, ...]
    time: NDArray[np.float64]
    """(R,) seconds since 1970 UTC."""
    values: NDArray[np.float64]
    """(R, C); NaN: not reported."""
    suspect: NDArray[np.bool_]
    """(R,) whether it came with an anomaly or an open alert."""


def readings_between(
    connection: Connection, key: DeviceKey, profile: str, start: float, end: float, *, most: int
) -> Readings:
    """Readings that have come as samples from `start` to `end`; of more than `most` the newest."""
    table = samples.c
    same = (table.gateway == key[0]) & (table.device == key[1]) & (table.profile == profile)
    query = select(table.channels, table.body, table.suspect).where(same, table.first <= end, table.last >= start)
    parts: list[tuple[tuple[str, ...], NDArray[np.float64], bool]] = []
    count = 0
    for row in connection.execute(query.order_by(table.first.desc()).execution_options(yield_per=50)):
        channels = tuple(json.loads(row.channels))
        readings = np.frombuffer(row.body, "<f8").reshape(-1, 1 + len(channels))
        readings = readings[(readings[:, 0] >= start) & (readings[:, 0] <= end)]
        parts.append((channels, readings, row.suspect))
        count += len(readings)
        if count >= most:
            break
    names = tuple(dict.fromkeys(name for channels, _, _ in parts for name in channels))
    time = np.concatenate([readings[:, 0] for _, readings, _ in parts]) if parts else np.empty(0)
    values = np.full((len(time), len(names)), np.nan)
    suspect = np.zeros(len(time), bool)
    place = 0
    for channels, readings, is_suspect in parts:
        rows = slice(place, place + len(readings))
        values[rows, [names.index(name) for name in channels]] = readings[:, 1:]
        suspect[rows] = is_suspect
        place += len(readings)
    values[np.isinf(values)] = np.nan
    time, first = np.unique(time, return_index=True)
    return Readings(names, time[-most:], values[first][-most:], suspect[first][-most:])


def extent(connection: Connection, key: DeviceKey, profile: str) -> tuple[float, float] | None:
    """Time of the first and of the newest reading that have come as samples; None: none have."""
    table = samples.c
    same = (table.gateway == key[0]) & (table.device == key[1]) & (table.profile == profile)
    row = connection.execute(select(func.min(table.first), func.max(table.last)).where(same)).one()
    return None if row[0] is None else (float(row[0]), float(row[1]))


def sampled_profiles(connection: Connection, key: DeviceKey) -> list[str]:
    """Profiles that samples of a device have come for, by name."""
    same = (samples.c.gateway == key[0]) & (samples.c.device == key[1])
    return sorted(connection.execute(select(samples.c.profile).where(same).distinct()).scalars())
