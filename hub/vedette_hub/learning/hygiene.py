"""Hygiene: what is known about readings, and which of them must not be learnt as normal. Pure.

What people said about alerts, and which faults sensors had, becomes a mark on every reading that lies in such a time.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from vedette_hub.learning.cleaning import Note, Series


class Mark(IntEnum):
    """What is known about a reading; where several things are, the highest counts."""

    NORMAL = 0
    """Nothing speaks against it."""
    NEAR = 1
    """Less than a window away from an anomaly: no window ends here, but what follows begins with it."""
    MARGIN = 2
    """Less than a window away from a fault."""
    SUSPECT = 3
    """An alert was open that nobody has labelled, or less than a window away."""
    FALSE_ALARM = 4
    """Somebody said that the alert was false, or this normal for the device."""
    FAULT = 5
    """The sensor was at fault, so it says nothing about the device."""
    ANOMALOUS = 6
    """Somebody said that the alert was true, or the data came with this label."""


LEFT_OUT = frozenset({Mark.MARGIN, Mark.SUSPECT, Mark.FAULT})
"""Readings that are cut out."""
UNLESS_TOO_LITTLE = LEFT_OUT - {Mark.SUSPECT}

_AROUND: dict[int, Mark] = {
    Mark.FAULT: Mark.MARGIN,
    Mark.ANOMALOUS: Mark.NEAR,
    Mark.SUSPECT: Mark.SUSPECT,
}
"""What a reading is less than a window away from such a period."""
_REASONS = {
    Mark.NEAR: "less than a window away from an alert labelled true: neither judged nor trained with",
    Mark.MARGIN: "less than a window away from a fault of the sensor: left out",
    Mark.SUSPECT: "during alerts that nobody has labelled: left out",
    Mark.FALSE_ALARM: "during alerts labelled false or normal: kept as normal time",
    Mark.FAULT: "during faults of the sensor: left out",
    Mark.ANOMALOUS: "known to be anomalous: judged, not trained with",
}
_KEPT_SUSPECTS = (
    "during alerts that nobody has labelled: kept, because too little would be left without them; label these alerts"
)


@dataclass(frozen=True)
class Period:
    """A time of which something is known about a device."""

    device: str
    first: float
    """Seconds since 1970."""
    last: float
    """Infinite for what goes on."""
    mark: Mark


def labelled(series: Series, anomalous: NDArray[np.bool_]) -> Series:
    """The series with what its source says of each reading (R,)."""
    return replace(series, marks=np.where(anomalous, Mark.ANOMALOUS, Mark.NORMAL).astype(np.uint8))


def suspected(series: Series) -> Series:
    """The series with every reading under suspicion, as a gateway sends those around its alerts."""
    return replace(series, marks=np.full(len(series), Mark.SUSPECT, np.uint8))


def mark(series: Sequence[Series], periods: Iterable[Period], width: int) -> list[Series]:
    """The series, times in order, with a mark for each reading; a margin is as long as `width` readings.

    Readings that a gateway sent because of an alert stay under suspicion only if no period tells more about them.
    """
    by_device: dict[str, list[Period]] = defaultdict(list)
    for period in periods:
        by_device[period.device].append(period)
    tables = {device: _Periods.of(found) for device, found in by_device.items()}
    return [_marked(one, tables[one.device], width) if one.device in tables else one for one in series]


def cut(series: Sequence[Series], without: Collection[Mark]) -> list[Series]:
    """The series in pieces, without the readings that have one of these marks."""
    pieces: list[Series] = []
    for one in series:
        if one.marks is None:
            pieces.append(one)
            continue
        kept = np.concatenate([[False], ~np.isin(one.marks, [int(value) for value in without]), [False]])
        edges = np.flatnonzero(kept[1:] != kept[:-1]).reshape(-1, 2)
        pieces += [
            replace(one, times=one.times[a:b], values=one.values[a:b], marks=one.marks[a:b]) for a, b in edges.tolist()
        ]
    return pieces


def notes(series: Sequence[Series], without: Collection[Mark]) -> list[Note]:
    """How many readings have which mark, and what that means when those of `without` are left out."""
    counts = np.zeros(len(Mark), np.int64)
    for one in series:
        if one.marks is not None:
            counts += np.bincount(one.marks, minlength=len(Mark))
    kept_suspects = Mark.SUSPECT not in without
    return [
        Note("readings", "", int(counts[value]), _KEPT_SUSPECTS if value is Mark.SUSPECT and kept_suspects else reason)
        for value, reason in _REASONS.items()
        if counts[value]
    ]


@dataclass(frozen=True)
class _Periods:
    """Periods of one device, in columns."""

    first: NDArray[np.float64]
    last: NDArray[np.float64]
    mark: NDArray[np.uint8]

    @classmethod
    def of(cls, periods: Sequence[Period]) -> _Periods:
        return cls(
            np.array([period.first for period in periods]),
            np.array([period.last for period in periods]),
            np.array([period.mark for period in periods], np.uint8),
        )


def _marked(series: Series, periods: _Periods, width: int) -> Series:
    times = series.times
    margin = width * float(np.median(np.diff(times))) if len(times) > 1 else 0.0
    near = (periods.first - margin <= times[-1]) & (periods.last + margin >= times[0])
    if not near.any():
        return series
    before = np.zeros(len(times), np.uint8) if series.marks is None else series.marks
    marks = np.where(before == Mark.SUSPECT, Mark.NORMAL, before).astype(np.uint8)
    for first, last, value in zip(periods.first[near], periods.last[near], periods.mark[near].tolist(), strict=True):
        _raise(marks, times, first, last, Mark(value))
        if value in _AROUND:
            _raise(marks, times, first - margin, last + margin, _AROUND[value])
    return replace(series, marks=marks)


def _raise(marks: NDArray[np.uint8], times: NDArray[np.float64], first: float, last: float, value: Mark) -> None:
    start = int(np.searchsorted(times, first, "left"))
    end = len(times) if math.isinf(last) else int(np.searchsorted(times, last, "right"))
    np.maximum(marks[start:end], np.uint8(value), out=marks[start:end])
