"""A forecast as a chart: readings, what is expected, and the band, as the text of SVG paths. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from vedette_hub.learning.forecasting import Outlook

WIDTH, HEIGHT = 720, 220
LEFT, RIGHT, TOP, BOTTOM = 56, 8, 8, 24
MOST_POINTS = 400
_TICKS = 4


@dataclass(frozen=True)
class Chart:
    """One channel's chart; places are in units of a view box of WIDTH x HEIGHT."""

    channel: str
    words: str
    """What it shows, for who cannot see it."""
    readings: str
    expected: str
    band: str
    now: float
    """Where the newest reading stands, from the left."""
    values: list[tuple[float, str]]
    """(place from above, text) of the lines across."""
    times: list[tuple[float, str]]
    """(place from the left, text) of the lines down."""


def charts(found: Outlook, horizon: float) -> list[Chart]:
    """A chart for each channel that has a forecast, with as much of the past as of the time ahead."""
    since = float(found.known.time[-1])
    recent = found.known.time >= since - horizon
    drawn = []
    for column, channel in enumerate(found.known.artifact.channels):
        if np.isnan(found.last[column]):
            continue
        past = found.known.values[recent, column]
        there = ~np.isnan(past)
        ahead = tuple(part[:, column] for part in found.ahead)
        drawn.append(_chart(channel, found.known.time[recent][there], past[there], found.time, ahead, horizon))
    return drawn


def _chart(
    channel: str,
    past_time: NDArray[np.float64],
    past: NDArray[np.float64],
    time: NDArray[np.float64],
    ahead: tuple[NDArray[np.float64], ...],
    horizon: float,
) -> Chart:
    expected, low, high = ahead
    if len(past) > MOST_POINTS:
        rows = np.linspace(0, len(past) - 1, MOST_POINTS).astype(np.intp)
        past_time, past = past_time[rows], past[rows]
    since = float(time[0] - (time[1] - time[0] if len(time) > 1 else 0.0))
    start, end = since - horizon, float(time[-1])
    lowest = float(min(low.min(), past.min(initial=np.inf)))
    highest = float(max(high.max(), past.max(initial=-np.inf)))
    room = 0.04 * (highest - lowest) or 1.0
    lowest, highest = lowest - room, highest + room

    def across(when: NDArray[np.float64]) -> NDArray[np.float64]:
        return LEFT + (when - start) / max(end - start, 1e-9) * (WIDTH - LEFT - RIGHT)

    def down(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return TOP + (highest - values) / (highest - lowest) * (HEIGHT - TOP - BOTTOM)

    edges = np.concatenate([time, time[::-1]]), np.concatenate([high, low[::-1]])
    ticks = np.linspace(lowest + room, highest - room, _TICKS)
    moments = np.linspace(start, end, 5)
    words = (
        f"{channel}: {expected[-1]:.4g} is expected at {_clock(end)}, usually {low[-1]:.4g} to {high[-1]:.4g}; "
        f"over the whole time between {expected.min():.4g} and {expected.max():.4g}."
    )
    return Chart(
        channel,
        words,
        _path(across(past_time), down(past)),
        _path(across(time), down(expected)),
        _path(across(edges[0]), down(edges[1])) + "Z",
        float(across(np.array([since]))[0]),
        [(float(place), f"{value:.4g}") for place, value in zip(down(ticks), ticks, strict=True)],
        [(float(place), _clock(float(when))) for place, when in zip(across(moments), moments, strict=True)],
    )


def _path(x: NDArray[np.float64], y: NDArray[np.float64]) -> str:
    return "M" + "L".join(f"{a:.1f} {b:.1f}" for a, b in zip(x, y, strict=True)) if len(x) else ""


def _clock(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%d %b %H:%M")
