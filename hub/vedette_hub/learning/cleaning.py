"""Cleaning: series of readings that can be learnt from, and a note on everything that was left out. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Series:
    """R consecutive readings of one device, C channels, without a gap that is known."""

    device: str
    times: NDArray[np.float64]
    """(R,) seconds since 1970."""
    values: NDArray[np.float64]
    """(R, C); NaN: not reported."""
    marks: NDArray[np.uint8] | None = None
    """(R,) what is known about each reading, as `hygiene.Mark` numbers it; None: nothing is known about any."""

    def __len__(self) -> int:
        return len(self.times)


@dataclass(frozen=True)
class Note:
    """Something that was left out of a dataset, or changed in it."""

    what: str
    """`channel`, `column`, `readings`, `segments` or `vectors`."""
    name: str
    """Which channel or column; empty for others."""
    count: int
    reason: str


def clean(series: Sequence[Series]) -> tuple[list[Series], list[Note]]:
    """The readings in order of time, each time of a device once, none without a value; and what was left out."""
    counted: dict[str, int] = defaultdict(int)
    by_device: dict[str, list[Series]] = defaultdict(list)
    for one in series:
        sound = np.isfinite(one.times) & ~np.isinf(one.values).any(axis=1)
        counted["its time or a value is not finite: left out"] += int((~sound).sum())
        silent = sound & np.isnan(one.values).all(axis=1)
        counted["reports no channel: left out"] += int(silent.sum())
        part = _take(one, np.flatnonzero(sound & ~silent))
        moved = int((np.diff(part.times) < 0).sum())
        if moved:
            counted["older than the one before it: sorted by time"] += moved
            part = _take(part, np.argsort(part.times, kind="stable"))
        by_device[one.device].append(part)
    cleaned = []
    for device in sorted(by_device):
        parts = sorted((part for part in by_device[device] if len(part)), key=lambda part: float(part.times[0]))
        for part, kept in zip(parts, _first_of_each_time(parts), strict=True):
            counted["its device has another reading at that time: left out"] += int((~kept).sum())
            if kept.any():
                cleaned.append(_take(part, np.flatnonzero(kept)))
    return cleaned, [Note("readings", "", number, reason) for reason, number in counted.items() if number]


def channel_notes(series: Sequence[Series], channels: Sequence[str]) -> list[Note]:
    """Channels that nothing can be learnt about: never reported, or always the same."""
    low = np.full(len(channels), np.inf)
    high = np.full(len(channels), -np.inf)
    seen = np.zeros(len(channels), np.int64)
    for one in series:
        np.fmin(low, np.fmin.reduce(one.values, axis=0), out=low)
        np.fmax(high, np.fmax.reduce(one.values, axis=0), out=high)
        seen += (~np.isnan(one.values)).sum(axis=0)
    notes = []
    for i, channel in enumerate(channels):
        if not seen[i]:
            notes.append(Note("channel", channel, 0, "never reported: the model does not judge it"))
        elif low[i] == high[i]:
            reason = f"always {low[i]:g}: the model does not judge it"
            notes.append(Note("channel", channel, int(seen[i]), reason))
    return notes


def missing_notes(series: Sequence[Series], channels: Sequence[str]) -> list[Note]:
    """Channels that some readings do not report, though others do."""
    total = sum(len(one) for one in series)
    seen = [sum(int((~np.isnan(one.values[:, i])).sum()) for one in series) for i in range(len(channels))]
    return [
        Note("channel", channel, total - count, f"not reported in {total - count} of {total} readings")
        for channel, count in zip(channels, seen, strict=True)
        if 0 < count < total
    ]


def _take(series: Series, rows: NDArray[np.intp]) -> Series:
    marks = None if series.marks is None else series.marks[rows]
    return replace(series, times=series.times[rows], values=series.values[rows], marks=marks)


def _first_of_each_time(parts: Sequence[Series]) -> list[NDArray[np.bool_]]:
    """For each part of one device, which of its readings have a time that no reading before them has."""
    if not parts:
        return []
    _, first = np.unique(np.concatenate([part.times for part in parts]), return_index=True)
    kept = np.zeros(sum(len(part) for part in parts), bool)
    kept[first] = True
    return np.split(kept, np.cumsum([len(part) for part in parts])[:-1])
