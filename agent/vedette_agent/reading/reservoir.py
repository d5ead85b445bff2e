"""Reservoir: readings to train with, a bounded random sample of everything that was normal, columnar and pure.

What is kept are segments: consecutive readings of one device, since features are made of windows. A reading with a
known fault ends its device's segment, which is thrown away. A segment with an anomaly or an open alert in it is kept
apart: the hub must not learn it as normal, unless somebody says that it was, but can judge models by it.
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
    """At most `capacity` segments of `length` readings with C channels, until they are taken; and a quarter as many,
    one at least, that are suspect.
    """

    def __init__(self, channels: int, length: int, capacity: int, seed: int = 0) -> None:
        self._channels, self._length = channels, length
        self._values = np.zeros((0, length, channels))
        self._times = np.zeros((0, length))
        self._count = np.zeros(0, np.intp)
        """(D,) readings in each device's unfinished segment."""
        self._tainted = np.zeros(0, np.bool_)
        """(D,) whether one of them is suspect."""
        self._quality = np.zeros(0, np.uint8)
        """(D,) what is known of their times, all together."""
        self._random = random.Random(seed)  # noqa: S311 - a sample, not a secret
        self._normal = _Sample(capacity, self._random)
        self._suspect = _Sample(max(1, capacity // 4), self._random)

    def __len__(self) -> int:
        """Segments kept now that are not suspect."""
        return len(self._normal.kept)

    def offer(
        self,
        batch: ReadingBatch,
        unusable: NDArray[np.bool_],
        name: Callable[[int], str],
        suspect: NDArray[np.bool_] | None = None,
    ) -> None:
        """Take note of a batch; `name` gives a device row's name.

        `unusable` (N,) marks readings not to learn from, `suspect` (N,) those that may be anomalous.
        """
        if len(batch) == 0:
            return
        self._make_room(int(batch.device.max()) + 1)
        for rows in rounds(batch.device):
            device, bad = batch.device[rows], unusable[rows]
            self._count[device[bad]] = 0
            self._tainted[device[bad]] = False
            self._quality[device[bad]] = 0
            rows, device = rows[~bad], device[~bad]
            place = self._count[device]
            self._values[device, place] = batch.values[rows]
            self._times[device, place] = batch.time[rows]
            self._count[device] = place + 1
            self._quality[device] |= batch.quality[rows]
            if suspect is not None:
                self._tainted[device] |= suspect[rows]
            for full in device[place + 1 == self._length]:
                self._finish(int(full), name(int(full)))

    def _finish(self, row: int, device: str) -> None:
        sample = self._suspect if self._tainted[row] else self._normal
        self._count[row] = 0
        self._tainted[row] = False
        place = sample.place()
        if place is not None:
            sample.put(place, self._segment(row, device))
        self._quality[row] = 0

    def _segment(self, row: int, device: str) -> Segment:
        values = tuple(
            tuple(None if value != value else value for value in reading) for reading in self._values[row].tolist()
        )
        return Segment(device, tuple(self._times[row].tolist()), values, int(self._quality[row]))

    def forget(self, row: int, device: str) -> None:
        """Drop a device's readings."""
        if row < len(self._count):
            self._count[row] = 0
            self._tainted[row] = False
            self._quality[row] = 0
        self._normal.forget(device)
        self._suspect.forget(device)

    def take(self) -> list[Segment]:
        """The sample so far of what is not suspect, in random order; a new one begins."""
        return self._normal.take()

    def take_suspect(self) -> list[Segment]:
        """The same of what is suspect."""
        return self._suspect.take()

    def _make_room(self, devices: int) -> None:
        have = len(self._count)
        if have >= devices:
            return
        more = max(devices - have, have // 16, 16)
        self._values = np.concatenate([self._values, np.zeros((more, self._length, self._channels))])
        self._times = np.concatenate([self._times, np.zeros((more, self._length))])
        self._count = np.concatenate([self._count, np.zeros(more, np.intp)])
        self._tainted = np.concatenate([self._tainted, np.zeros(more, np.bool_)])
        self._quality = np.concatenate([self._quality, np.zeros(more, np.uint8)])


class _Sample:
    """At most `capacity` segments, chosen at random among all that were offered."""

    def __init__(self, capacity: int, chance: random.Random) -> None:
        self._capacity, self._chance = capacity, chance
        self._offered = 0
        self.kept: list[Segment] = []

    def place(self) -> int | None:
        """Where the segment goes that is offered now; None: nowhere."""
        self._offered += 1
        place = self._offered - 1
        if place >= self._capacity:
            place = self._chance.randrange(self._offered)
        return place if place < self._capacity else None

    def put(self, place: int, segment: Segment) -> None:
        """Keep a segment at its place."""
        if place < len(self.kept):
            self.kept[place] = segment
        else:  # also where a forgotten device has left room: no easier for who comes after it
            self.kept.append(segment)

    def forget(self, device: str) -> None:
        """Drop a device's segments."""
        self.kept = [segment for segment in self.kept if segment.device != device]

    def take(self) -> list[Segment]:
        """All, in random order; a new sample begins."""
        taken, self.kept, self._offered = self.kept, [], 0
        self._chance.shuffle(taken)
        return taken
