"""Forecasting: a device's samples run through its profile's forecast model, and what that expects of the time ahead."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from vedette_hub.errors import HubError
from vedette_hub.learning import registry
from vedette_hub.learning.registry import ListedVersion
from vedette_hub.store.fleet import find_gateway
from vedette_hub.store.samples import device_segments, sampled_devices
from vedette_models.artifact import Artifact, from_bytes
from vedette_models.detectors.forecast import Forecast, Forecasts
from vedette_models.readings import ReadingBatch

DAY = 86_400.0
MOST_READINGS = 20_000
"""Readings of a device that are read, the newest ..."""
NEWEST = 1_000
"""... of which so many are followed one by one, ..."""
OLDER = 1_000
"""... and of the others so many, evenly spread: level, trend and season's size need time, not density."""
LONGEST_DAYS = 28.0
"""Days before the newest reading that are looked at."""
LEAST_READINGS = 20
STEPS = 288
"""Times ahead at most."""
VERSIONS = 200
"""Versions of a profile among which a forecast is looked for."""


class UnknownDeviceError(HubError):
    """No samples have come of it."""


class NoForecastError(HubError):
    """There is no model for it, too little history, or more than one device is meant."""


@dataclass(frozen=True)
class Known:
    """A device that can be forecast."""

    gateway: str
    device: str
    version: ListedVersion
    artifact: Artifact
    time: NDArray[np.float64]
    """(R,) in order."""
    values: NDArray[np.float64]
    """(R, C); NaN: not reported."""


class Crossing(NamedTuple):
    """When a limit is crossed; None: not within the horizon."""

    channel: str
    limit: float
    upwards: bool
    """Whether it lies above what is expected now."""
    expected: float | None
    """When the expected value crosses it, seconds since 1970."""
    band: float | None
    """When the band's edge does: from then on it may."""


@dataclass(frozen=True)
class Outlook:
    """What is expected of a device."""

    known: Known
    time: NDArray[np.float64]
    """(T,) seconds since 1970, from one step after the newest reading on."""
    ahead: Forecasts
    last: NDArray[np.float64]
    """(C,) time of each channel's newest reading; NaN for one without."""
    judged: NDArray[np.bool_]
    """(C,) whether the model has learnt this channel."""


def find(connection: Connection, device: str, gateway: str = "", profile: str = "") -> Known:
    """The device, its profile's newest forecast model (one that is released before one that is not), and its samples.

    Raises:
        UnknownDeviceError: no samples of it.
        NoForecastError: several devices have this name, there is no forecast model, or too few readings.
    """
    named = sampled_devices(connection, device)
    chosen = [(g, p) for g, p in named if gateway in ("", g) and profile in ("", p)]
    if not chosen:
        where = f" on gateway {gateway!r}" if gateway else ""
        seen = f"; there are {_listed(named)}" if named else ""
        raise UnknownDeviceError(f"no samples have come of a device {device!r}{where}{seen}")
    versions = {p: _newest_forecast(connection, p) for p in {p for _, p in chosen}}
    able = [(g, p) for g, p in chosen if versions[p] is not None] or chosen
    if len(able) > 1:
        raise NoForecastError(f"{device!r} is not one device: {_listed(able)}; say which gateway and profile")
    of_gateway, of_profile = able[0]
    version = versions[of_profile]
    if version is None:
        raise NoForecastError(
            f"profile {of_profile!r} has no forecast model; train one with "
            f"`vedette-hub train --profile {of_profile} --algorithm forecast`"
        )
    data = registry.artifact(connection, version.sha256)
    assert data is not None  # noqa: S101  # versions and their bytes are one row
    model = _read(version.sha256, data)
    time, values = _history(connection, of_gateway, device, of_profile, model.channels)
    if len(time) < LEAST_READINGS:
        raise NoForecastError(
            f"{len(time)} readings of {device!r} have come as samples; at least {LEAST_READINGS} are needed"
        )
    return Known(of_gateway, device, version, model, time, values)


def outlook(known: Known, horizon: float) -> Outlook:
    """What is expected over `horizon` seconds from the newest reading on, in even steps."""
    detector = known.artifact.build()
    assert isinstance(detector, Forecast)  # noqa: S101  # as `find` has chosen
    detector.resize(1)
    detector.score(ReadingBatch.of(np.zeros(len(known.time), np.intp), known.time, known.values))
    step = max(detector.interval, horizon / STEPS)
    time = known.time[-1] + step * np.arange(1.0, max(1, int(horizon / step + 1e-9)) + 1.0)
    return Outlook(known, time, detector.forecast(0, time), detector.last_times(0), detector.judged)


def profile_limits(connection: Connection, known: Known) -> list[tuple[str, float]]:
    """(channel, value) of each limit that the profile has on the device's gateway, as that says in its status."""
    gateway = find_gateway(connection, known.gateway)
    if gateway is None or gateway.status is None:
        return []
    by_channel = gateway.status.limits.get(known.artifact.profile, {})
    found = [(channel, by_channel[channel]) for channel in known.artifact.channels if channel in by_channel]
    return [(channel, value) for channel, limits in found for value in (limits.low, limits.high) if value is not None]


def crossings(found: Outlook, limits: Iterable[tuple[str, float]]) -> list[Crossing]:
    """When which of these limits is crossed, of channels that something is expected of."""
    channels = found.known.artifact.channels
    expected = {channel: not np.isnan(found.ahead.expected[0, i]) for i, channel in enumerate(channels)}
    return [crossing(found, channel, limit) for channel, limit in limits if expected[channel]]


def crossing(found: Outlook, channel: str, limit: float) -> Crossing:
    """When a channel crosses a limit, to a straight line between the steps.

    Raises:
        NoForecastError: the model has no such channel, or knows nothing of it.
    """
    channels = found.known.artifact.channels
    if channel not in channels:
        raise NoForecastError(f"there is no channel {channel!r}; the model has {', '.join(channels[:16])}")
    column = channels.index(channel)
    expected, low, high = (part[:, column] for part in found.ahead)
    if np.isnan(expected[0]):
        raise NoForecastError(f"channel {channel!r} has no forecast: it has not reported, or could not be learnt")
    upwards = bool(expected[0] < limit)
    edge = high if upwards else low
    return Crossing(
        channel, limit, upwards, *(_first_crossing(found.time, part, limit, upwards) for part in (expected, edge))
    )


def _first_crossing(
    time: NDArray[np.float64], values: NDArray[np.float64], limit: float, upwards: bool
) -> float | None:
    beyond = np.flatnonzero(values >= limit if upwards else values <= limit)
    if not len(beyond):
        return None
    i = int(beyond[0])
    if i == 0:
        return float(time[0])
    share = (limit - values[i - 1]) / (values[i] - values[i - 1])
    return float(time[i - 1] + share * (time[i] - time[i - 1]))


def _newest_forecast(connection: Connection, profile: str) -> ListedVersion | None:
    found = [
        version
        for version in registry.list_versions(connection, profile, limit=VERSIONS)
        if version.detector == Forecast.name
    ]
    released = [version for version in found if version.stage == "released"]
    return next(iter(released or found), None)


@lru_cache(maxsize=8)
def _read(sha256: str, data: bytes) -> Artifact:
    # It was proved when it was kept; only what it says is needed here.
    return from_bytes(data)


def _history(
    connection: Connection, gateway: str, device: str, profile: str, channels: tuple[str, ...]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The device's readings in order of time, each time once, thinned beyond the newest."""
    times: list[NDArray[np.float64]] = []
    values: list[NDArray[np.float64]] = []
    count = 0
    for segment in device_segments(connection, gateway, device, profile):
        table = np.frombuffer(segment.readings, "<f8").reshape(-1, 1 + len(segment.channels))
        if not set(channels) <= set(segment.channels):
            continue
        times.append(table[:, 0])
        values.append(table[:, [1 + segment.channels.index(channel) for channel in channels]])
        count += len(table)
        if count >= MOST_READINGS or times[-1].max() < times[0].max() - LONGEST_DAYS * DAY:
            break
    if not times:
        return np.empty(0), np.empty((0, len(channels)))
    time, table = np.concatenate(times), np.concatenate(values)
    sound = np.isfinite(time) & ~np.isinf(table).any(axis=1)
    time, table = time[sound], table[sound]
    time, first = np.unique(time, return_index=True)
    older = max(0, len(time) - NEWEST)
    rows = np.unique(np.linspace(0, older, min(OLDER, older), endpoint=False).astype(np.intp))
    rows = np.concatenate([rows, np.arange(older, len(time))])
    return time[rows], table[first[rows]]


def _listed(found: list[tuple[str, str]]) -> str:
    return ", ".join(f"gateway {gateway!r} with profile {profile!r}" for gateway, profile in found[:8])
