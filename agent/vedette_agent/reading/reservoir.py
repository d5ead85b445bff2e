"""Reservoir: readings to train with, a bounded random sample of everything that was normal, columnar and pure.

What is kept are segments: consecutive readings of one device, since features are made of windows. A reading with a
known fault, an anomaly or an open alert ends its device's segment, which is thrown away: the hub must not learn it as
normal.
Which segments stay is decided by reservoir sampling (algorithm R, J. S. Vitter 1985): each has the same chance.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import numpy as np

from vedette_models.messages import Segment
from vedette_models.rounds import rounds

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from vedette_models.readings import ReadingBatch


class Reservoir:
    """At most `capacity` segments of `length` readings with C channels, until they are taken."""

    def __init__(self, channels: int, length: int, capacity: int, seed: int = 0) -> None:
        self._channels, self._length, self._capacity = channels, length, capacity
        self._values = np.zeros((0, length, channels))
        self._times = np.zeros((0, length))
        self._count = np.zeros(0, np.intp)
        """(D,) readings in each device's unfinished segment."""
        self._kept: list[Segment] = []
        self._offered = 0
        self._random = random.Random(seed)  # noqa: S311 - a sample, not a secret

    def __len__(self) -> int:
        """Segments kept now."""
        return len(self._kept)

    def offer(self, batch: ReadingBatch, unusable: NDArray[np.bool_], name: Callable[[int], str]) -> None:
        """Take note of a batch; `unusable` (N,) marks readings not to learn from, `name` gives a device row's name."""
        if len(batch) == 0:
            return
        self._make_room(int(batch.device.max()) + 1)
        for rows in rounds(batch.device):
            device, bad = batch.device[rows], unusable[rows]
            self._count[device[bad]] = 0
            rows, device = rows[~bad], device[~bad]
            place = self._count[device]
            self._values[device, place] = batch.values[rows]
            self._times[device, place] = batch.time[rows]
            self._count[device] = place + 1
            for full in device[place + 1 == self._length]:
                self._finish(int(full), name(int(full)))

    def _finish(self, row: int, device: str) -> None:
        self._count[row] = 0
        self._offered += 1
        place = self._offered - 1
        if place >= self._capacity:
            place = self._random.randrange(self._offered)
        if place < len(self._kept):
            self._kept[place] = self._segment(row, device)
        elif place < self._capacity:  # also where a forgotten device has left room: no easier for who comes after it
            self._kept.append(self._segment(row, device))

    def _segment(self, row: int, device: str) -> Segment:
        values = tuple(
            tuple(None if value != value else value for value in reading) for reading in self._values[row].tolist()
        )
        return Segment(device, tuple(self._times[row].tolist()), values)

    def forget(self, row: int, device: str) -> None:
        """Drop a device's readings."""
        if row < len(self._count):
            self._count[row] = 0
        self._kept = [segment for segment in self._kept if segment.device != device]

    def take(self) -> list[Segment]:
        """The sample so far, in random order; a new one begins."""
        taken, self._kept, self._offered = self._kept, [], 0
        self._random.shuffle(taken)
        return taken

    def _make_room(self, devices: int) -> None:
        have = len(self._count)
        if have >= devices:
            return
        more = max(devices - have, have // 16, 16)
        self._values = np.concatenate([self._values, np.zeros((more, self._length, self._channels))])
        self._times = np.concatenate([self._times, np.zeros((more, self._length))])
        self._count = np.concatenate([self._count, np.zeros(more, np.intp)])
