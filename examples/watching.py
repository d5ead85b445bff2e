"""Simulated readings of several devices, through the stages of the gateway."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from vedette_models.readings import ReadingBatch

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from vedette_agent.reading.profile_watch import ProfileWatch
    from vedette_models.messages import Alert

BATCH = 512


class Recording(NamedTuple):
    """What one device reported."""

    device: str
    time: NDArray[np.float64]
    """(N,) seconds since 1970 UTC, rising."""
    values: NDArray[np.float64]
    """(N, C) by channel of the profile."""

    @property
    def span(self) -> tuple[float, float]:
        """Times of the first and the last reading."""
        return float(self.time[0]), float(self.time[-1])


def between(recordings: Sequence[Recording], begin: float, end: float) -> list[Recording]:
    """What was reported from `begin` until before `end`."""
    parts = []
    for each in recordings:
        rows = slice(*np.searchsorted(each.time, (begin, end)))
        parts.append(Recording(each.device, each.time[rows], each.values[rows]))
    return parts


def watch(watched: ProfileWatch, recordings: Sequence[Recording]) -> list[Alert]:
    """Every alert event that the recordings cause, read side by side in the order of time."""
    return [event for batch in _batches(watched, recordings) for event in watched.process(batch).decided.events]


def _batches(watched: ProfileWatch, recordings: Sequence[Recording]) -> Iterator[ReadingBatch]:
    rows = [watched.table.row(each.device) for each in recordings]
    if None in rows:
        raise ValueError(f"{len(rows)} devices, there is room for {watched.table.limit}")
    device = np.repeat(np.array(rows, np.intp), [len(each.time) for each in recordings])
    time = np.concatenate([each.time for each in recordings])
    values = np.concatenate([each.values for each in recordings])
    order = np.argsort(time, kind="stable")
    for first in range(0, len(order), BATCH):
        part = order[first : first + BATCH]
        yield ReadingBatch.of(device[part], time[part], values[part])
