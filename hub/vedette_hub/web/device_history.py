"""What the charts of a device show of its past: readings, the band that was expected, scores, and alerts.

Readings are those that have come as samples. Where the device's gateway runs a model that this hub has, readings are
run through it again, as on the gateway but for its calibration. The band is what a forecast model expected before each
stretch of readings; without such a model it is the usual range: 1st to 99th percentile of unsuspicious samples, as of
the vectors of training (`detectors.usual`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from vedette_hub.api.answers import alert_answer
from vedette_hub.learning import registry
from vedette_hub.store.alert_search import AlertFilter, list_alerts
from vedette_hub.store.devices import DeviceKey, Readings, extent, readings_between
from vedette_hub.store.fleet import StoredGateway
from vedette_models.artifact import Artifact, from_bytes
from vedette_models.detectors.forecast import Forecast
from vedette_models.readings import ReadingBatch
from vedette_models.rejection import ArtifactRejected

MOST_READINGS = 20_000
"""Readings of a range that are read, the newest."""
FOLLOWED = 1_200
"""Readings run through a model, the newest of the range and those before it; a reading costs up to half a ms."""
LEAD = 200
"""Of these so many before the range, for the model to know the device."""
STRETCHES = 60
"""Stretches of a band: what was expected of each, before its first reading."""
BUCKETS = 400
"""A channel is drawn by the smallest and the largest value of each of so many stretches of time."""
CHANNELS_SHOWN = 16
ALERTS_SHOWN = 200
LONGEST = 400 * 86_400.0
USUAL = (1.0, 99.0)
LEAST_FOR_USUAL = 20


@dataclass(frozen=True)
class _Scored:
    """What a model said of readings; (R,) and (R, C), NaN where it said nothing."""

    score: NDArray[np.float64]
    low: NDArray[np.float64] | None
    high: NDArray[np.float64] | None


def device_history(
    connection: Connection,
    gateway: StoredGateway | None,
    key: DeviceKey,
    profile: str,
    asked: tuple[float, float],
) -> dict[str, Any]:
    """The answer for the charts, as JSON: times are seconds since 1970, None stands for what is not there."""
    start, end = asked[0], min(asked[1], asked[0] + LONGEST)
    known = extent(connection, key, profile)
    lead = start - (end - start)
    found = readings_between(connection, key, profile, lead, end, most=MOST_READINGS)
    inside = found.time >= start
    model = _model(connection, gateway, profile, found.channels)
    scored = _scored(model[1], found, inside) if model is not None else None
    low, high, words = _band(found, scored, model[0] if model else "")
    return {
        "start": start,
        "end": end,
        "first": known[0] if known else None,
        "last": known[1] if known else None,
        "channels": [
            _channel(name, found.time[inside], found.values[inside, i], low[inside, i], high[inside, i])
            for i, name in enumerate(found.channels[:CHANNELS_SHOWN])
        ],
        "more_channels": max(0, len(found.channels) - CHANNELS_SHOWN),
        "band": words,
        "score": None
        if scored is None
        else _score(found.time[inside], scored.score[inside], model[0] if model else ""),
        "alerts": _alerts(connection, key, start, end),
    }


def _model(
    connection: Connection, gateway: StoredGateway | None, profile: str, channels: tuple[str, ...]
) -> tuple[str, Artifact] | None:
    """(its name, the model) that the gateway runs for this profile; None: none that this hub could run."""
    running = gateway.status.models.get(profile) if gateway is not None and gateway.status is not None else None
    if running is None or (data := registry.artifact(connection, running.sha256)) is None:
        return None
    try:
        artifact = from_bytes(data)
    except ArtifactRejected:
        return None
    if not set(artifact.channels) <= set(channels):
        return None
    return f"{running.detector.replace('_', ' ')}, version {running.version}", artifact


def _scored(artifact: Artifact, found: Readings, inside: NDArray[np.bool_]) -> _Scored:
    first = max(0, int(np.argmax(inside)) - LEAD) if inside.any() else len(found.time)
    rows = np.arange(max(first, len(found.time) - FOLLOWED), len(found.time))
    columns = np.array([found.channels.index(name) for name in artifact.channels], np.intp)
    score = np.full(len(found.time), np.nan)
    detector = artifact.build()
    detector.resize(1)
    if not isinstance(detector, Forecast):
        batch = ReadingBatch.of(np.zeros(len(rows), np.intp), found.time[rows], found.values[rows][:, columns])
        score[rows] = detector.score(batch).total / detector.default_threshold
        return _Scored(score, None, None)
    low, high = np.full(found.values.shape, np.nan), np.full(found.values.shape, np.nan)
    for stretch in np.array_split(rows, min(STRETCHES, max(1, len(rows)))):
        if not len(stretch):
            continue
        expected = detector.forecast(0, found.time[stretch])
        low[np.ix_(stretch, columns)], high[np.ix_(stretch, columns)] = expected.low, expected.high
        batch = ReadingBatch.of(np.zeros(len(stretch), np.intp), found.time[stretch], found.values[stretch][:, columns])
        score[stretch] = detector.score(batch).total / detector.default_threshold
    return _Scored(score, low, high)


def _band(found: Readings, scored: _Scored | None, model: str) -> tuple[NDArray[np.float64], NDArray[np.float64], str]:
    """((R, C) lower edges, upper edges, what they are)."""
    if scored is not None and scored.low is not None and scored.high is not None:
        return scored.low, scored.high, f"expected by {model}"
    low, high = np.full(found.values.shape, np.nan), np.full(found.values.shape, np.nan)
    for column in range(found.values.shape[1]):
        plain = found.values[~found.suspect & ~np.isnan(found.values[:, column]), column]
        if len(plain) >= LEAST_FOR_USUAL:
            low[:, column], high[:, column] = np.percentile(plain, USUAL)
    return low, high, "usual: 98 % of the samples that were not suspect, of this time and as long before"


def _channel(
    name: str,
    time: NDArray[np.float64],
    values: NDArray[np.float64],
    low: NDArray[np.float64],
    high: NDArray[np.float64],
) -> dict[str, Any]:
    there = np.flatnonzero(~np.isnan(values))
    time, values, low, high = time[there], values[there], low[there], high[there]
    rows = _drawn(time, values)
    return {
        "name": name,
        "readings": len(there),
        "time": time[rows].tolist(),
        "values": _numbers(values[rows]),
        "low": _numbers(low[rows]),
        "high": _numbers(high[rows]),
    }


def _score(time: NDArray[np.float64], score: NDArray[np.float64], model: str) -> dict[str, Any]:
    there = np.flatnonzero(~np.isnan(score))
    time, score = time[there], score[there]
    rows = _drawn(time, score)
    return {"model": model, "time": time[rows].tolist(), "values": _numbers(score[rows])}


def _drawn(time: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.intp]:
    """Positions to draw: all, or the extremes of each stretch, so that no peak is lost."""
    if len(time) <= 2 * BUCKETS:
        return np.arange(len(time))
    edges = np.linspace(time[0], time[-1], BUCKETS + 1)[1:-1]
    kept = []
    for part in np.split(np.arange(len(time)), np.searchsorted(time, edges)):
        if len(part):
            kept += [part[int(values[part].argmin())], part[int(values[part].argmax())]]
    return np.unique(np.array(kept, np.intp))


def _alerts(connection: Connection, key: DeviceKey, start: float, end: float) -> list[dict[str, Any]]:
    found = list_alerts(connection, AlertFilter(gateway=(key[0],), device=(key[1],)), limit=ALERTS_SHOWN)
    shown = []
    for alert in map(alert_answer, found):
        until = (
            alert["cleared"] if alert["cleared"] is not None else end if alert["state"] == "active" else alert["time"]
        )
        if alert["opened"] <= end and until >= start:
            names = ("id", "opened", "severity", "state", "reason", "kind", "score")
            shown.append({**{name: alert[name] for name in names}, "until": until})
    return shown


def _numbers(values: NDArray[np.float64]) -> list[float | None]:
    return [None if value != value else value for value in values.tolist()]
