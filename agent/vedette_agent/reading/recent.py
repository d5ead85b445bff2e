"""Recent: the newest readings of a profile, as the detectors saw them, to try models with. Columnar, bounded, pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vedette_models.detectors.base import StateError
from vedette_models.readings import ReadingBatch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

MAX_VALUES = 1 << 19
"""Readings x channels at most, whatever is asked for: 4 MiB."""
_NOBODY = -1
_ARRAYS = ("device", "time", "values")


class Recent:
    """The newest `readings` readings with C channels, in order of arrival; fewer where channels are many."""

    def __init__(self, channels: int, readings: int) -> None:
        capacity = max(1, min(readings, MAX_VALUES // channels))
        self._device = np.full(capacity, _NOBODY, np.int64)
        self._time, self._values = np.zeros(capacity), np.zeros((capacity, channels))
        self._next = 0
        """Where the next reading goes: over the oldest."""

    def add(self, batch: ReadingBatch) -> None:
        """Take note of readings; values that are not credible are NaN already."""
        capacity = len(self._device)
        newest = slice(max(0, len(batch) - capacity), None)
        device = batch.device[newest]
        place = (self._next + np.arange(len(device))) % capacity
        self._device[place], self._time[place], self._values[place] = device, batch.time[newest], batch.values[newest]
        self._next = (self._next + len(device)) % capacity

    def readings(self) -> ReadingBatch:
        """All of them, oldest first, copied; devices are numbered from 0 on, in no particular order."""
        state = self.state()
        _, device = np.unique(state["device"], return_inverse=True)
        return ReadingBatch.of(device, np.asarray(state["time"], float), np.asarray(state["values"], float))

    def forget(self, row: int) -> None:
        """Drop a device's readings."""
        self._device[self._device == row] = _NOBODY

    def state(self) -> dict[str, NDArray[np.generic]]:
        """What is known, oldest first: arrays with a row for each reading."""
        order = (self._next + np.arange(len(self._device))) % len(self._device)
        order = order[self._device[order] != _NOBODY]
        return {"device": self._device[order], "time": self._time[order], "values": self._values[order]}

    def restore(self, state: Mapping[str, NDArray[np.generic]], devices: int) -> None:
        """Take over what `state` returned, for a table of so many devices; where there is less room, the newest.

        Raises:
            StateError: arrays missing, or not of this profile. Nothing is taken over then.
        """
        if set(state) != set(_ARRAYS):
            raise StateError(f"saved recent readings: {sorted(state)}, needed are {sorted(_ARRAYS)}")
        device, time, values = (state[name] for name in _ARRAYS)
        rows = len(device) if device.ndim == 1 else -1
        shapes = time.shape == (rows,) and values.shape == (rows, self._values.shape[1])
        types = device.dtype == np.int64 and time.dtype == np.float64 and values.dtype == np.float64
        if not shapes or not types:
            raise StateError(f"saved recent readings: {device.shape}, {time.shape} and {values.shape}")
        try:
            batch = ReadingBatch.of(np.asarray(device, np.intp), np.asarray(time, float), np.asarray(values, float))
        except ValueError as error:
            raise StateError(f"saved recent readings: {error}") from error
        known = (batch.device >= 0) & (batch.device < devices)
        if not known.all() or not np.isfinite(batch.time).all():
            raise StateError("saved recent readings are of devices that are not known, or at no time")
        self.add(batch)
