"""Columns: named arrays with a row per device and channel, that grow, forget and are saved together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from vedette_models.detectors.base import StateError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from vedette_models.readings import ReadingBatch

LARGEST = 1e100
"""Readings beyond ± this count as this, so that squares and sums of what is finite stay finite."""
LATEST = 1e15
"""Times beyond ± this many seconds are refused."""


class Column(NamedTuple):
    """What one array holds for each series (a series is one channel of one device)."""

    shape: tuple[int, ...] = ()
    fill: float | tuple[float, ...] = 0.0
    """What a series that knows nothing holds, everywhere or along the last axis of `shape`."""
    dtype: type[np.generic] = np.float64
    series_last: bool = False
    """Whether series are the last axis, not the first: for what all series read at the same place at the same time."""


class Columns:
    """Arrays for `devices` x `channels` series; series = device row x channels + channel.

    `arrays[name]` is (series, *shape), or (*shape, series) where the column says so. Growing replaces the arrays.
    """

    def __init__(self, layout: Mapping[str, Column], channels: int, devices: int) -> None:
        if channels < 1 or devices < 0:
            raise ValueError(f"columns need at least 1 channel and 0 devices, got {channels} and {devices}")
        self.layout = dict(layout)
        self.channels = channels
        self.devices = devices
        self.arrays: dict[str, NDArray[Any]] = {
            name: _empty(column, channels * devices) for name, column in layout.items()
        }

    def checked(self, batch: ReadingBatch) -> tuple[NDArray[np.float64], bool]:
        """The batch's values, within ± LARGEST, and whether every reading reports every channel.

        Raises:
            ValueError: columns that do not fit together or another number of channels, an infinite value, a time that
                is not finite, or a device row there is no room for.
        """
        values, n = batch.values, len(batch.device)
        if values.shape != (n, self.channels) or batch.time.shape != (n,) or batch.device.shape != (n,):
            raise ValueError(
                f"a batch for {self.channels} channels needs devices and times ({n},), values ({n}, {self.channels}), "
                f"got {batch.device.shape}, {batch.time.shape} and {values.shape}"
            )
        if n == 0:
            return values, True
        lowest, highest = np.minimum.reduce(batch.device), np.maximum.reduce(batch.device)
        if lowest < 0 or highest >= self.devices:
            raise ValueError(f"device rows {lowest} to {highest}, there is room for {self.devices}: resize first")
        if not np.maximum.reduce(np.abs(batch.time)) <= LATEST:
            raise ValueError(f"a reading's time must be finite, within ± {LATEST:g} s")
        largest = np.maximum.reduce(np.abs(values), axis=None)
        complete = bool(largest == largest)
        if not complete:
            largest = np.fmax.reduce(np.abs(values), axis=None)
        if largest > LARGEST:
            if largest == np.inf:
                raise ValueError("a value must be finite, or NaN where the channel was not reported")
            values = np.clip(values, -LARGEST, LARGEST)
        return values, complete

    def resize(self, devices: int) -> None:
        """Make room for `devices` rows; new rows know nothing. One array at a time, so memory peaks by the largest.

        Raises:
            ValueError: fewer rows than now.
        """
        if devices < self.devices:
            raise ValueError(f"there are {self.devices} device rows already, cannot shrink to {devices}")
        known = self.devices * self.channels
        for name, column in self.layout.items():
            grown = _empty(column, devices * self.channels)
            if column.series_last:
                for place in np.ndindex(column.shape):  # what was never written stays unmapped
                    if (self.arrays[name][place] != column.fill).any():
                        grown[place][:known] = self.arrays[name][place]
            else:
                grown[:known] = self.arrays[name]
            self.arrays[name] = grown
        self.devices = devices

    def forget(self, rows: NDArray[np.intp]) -> None:
        """Return these devices' rows to knowing nothing.

        Raises:
            ValueError: a row there is no room for; nothing is forgotten then.
        """
        rows = np.asarray(rows, np.intp).reshape(-1)
        if len(rows) and not 0 <= rows.min() <= rows.max() < self.devices:
            raise ValueError(f"device rows {rows.min()} to {rows.max()}, there is room for 0 to {self.devices - 1}")
        series = (rows[:, None] * self.channels + np.arange(self.channels)).reshape(-1)
        for name, column in self.layout.items():
            if column.series_last:
                self.arrays[name][..., series] = column.fill
            else:
                self.arrays[name][series] = column.fill

    def state(self, **first: int) -> dict[str, NDArray[np.generic]]:
        """Copies of all arrays, each (devices, channels, *shape); of those named, only so many `first` entries."""
        return {
            name: self._by_device(name)[:, :, : first[name]].copy() if name in first else self._by_device(name).copy()
            for name in self.layout
        }

    def check(self, state: Mapping[str, NDArray[np.generic]]) -> None:
        """Say whether `state` fits.

        Raises:
            StateError: arrays missing or unknown, of another shape or type, or with more rows than there is room for.
        """
        if state.keys() != self.layout.keys():
            missing, unknown = sorted(self.layout.keys() - state.keys()), sorted(state.keys() - self.layout.keys())
            raise StateError(f"saved state is from something else: missing {missing}, unknown {unknown}")
        rows = {len(array) for array in state.values() if array.ndim}
        if len(rows) != 1:
            raise StateError(f"saved arrays differ in their number of devices: {sorted(rows)}")
        saved = rows.pop()
        for name, column in self.layout.items():
            array, wanted = state[name], (saved, self.channels, *column.shape)
            if array.shape != wanted or array.dtype != np.dtype(column.dtype):
                raise StateError(
                    f'saved array "{name}" is {array.dtype} {array.shape}, needed is {np.dtype(column.dtype)} {wanted}'
                )
        if saved > self.devices:
            raise StateError(f"saved state has {saved} devices, there is room for {self.devices}: resize first")

    def restore(self, state: Mapping[str, NDArray[np.generic]]) -> None:
        """Take over what `state` returned, row by row; rows beyond the saved ones stay as they are.

        Raises:
            StateError: see `check`; nothing is taken over then.
        """
        self.check(state)
        for name in self.layout:
            saved = state[name]
            self._by_device(name)[: len(saved)] = saved

    def _by_device(self, name: str) -> NDArray[Any]:
        """A view (devices, channels, *shape) of one array."""
        column, array = self.layout[name], self.arrays[name]
        if column.series_last:
            array = array.reshape(*column.shape, self.devices, self.channels)
            return np.moveaxis(array, (-2, -1), (0, 1))
        return array.reshape(self.devices, self.channels, *column.shape)


class Columnar:
    """What keeps all its state in `Columns`: grows, forgets, and is saved and restored with them."""

    def __init__(self, columns: Columns) -> None:
        self._columns = columns
        self._bind()

    def _bind(self) -> None:
        """Point to the arrays as they are now, and work out what follows from them; growing replaces them."""

    def _check(self, state: Mapping[str, NDArray[np.generic]]) -> None:
        """Say whether `state`, whose shapes and types fit, holds values that readings lead to.

        Raises:
            StateError: it does not.
        """

    @property
    def _arrays(self) -> dict[str, NDArray[Any]]:
        return self._columns.arrays

    @property
    def channels(self) -> int:
        """Channels of each reading."""
        return self._columns.channels

    @property
    def devices(self) -> int:
        """Rows there is room for."""
        return self._columns.devices

    def resize(self, devices: int) -> None:
        """Make room for `devices` rows; new rows know nothing. Copies all state: grow in large steps.

        Raises:
            ValueError: fewer rows than now.
        """
        self._columns.resize(devices)
        self._bind()

    def forget(self, rows: NDArray[np.intp]) -> None:
        """Return these devices' rows to knowing nothing.

        Raises:
            ValueError: a row there is no room for; nothing is forgotten then.
        """
        self._columns.forget(rows)

    def state(self) -> dict[str, NDArray[np.generic]]:
        """Everything learnt, as copies, each (devices, channels, …)."""
        return self._columns.state()

    def restore(self, state: Mapping[str, NDArray[np.generic]]) -> None:
        """Take over what `state` returned, row by row; rows beyond the saved ones stay as they are.

        Raises:
            StateError: arrays missing, of another shape or type, or values that no reading leads to. Nothing is taken
                over then.
        """
        self._columns.check(state)
        self._check(state)
        self._columns.restore(state)
        self._bind()


def _empty(column: Column, series: int) -> NDArray[Any]:
    """An array in which nobody knows anything; zeros stay unmapped memory until they are written."""
    shape = (*column.shape, series) if column.series_last else (series, *column.shape)
    return np.zeros(shape, column.dtype) if column.fill == 0 else np.full(shape, column.fill, column.dtype)
