"""Fields: the numbers that a check remembers of each series, gathered for a batch and put back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from vedette_models.columns import Column, Columns

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

_NAME = "fields"


class Remembered:
    """Columns that a check remembers of every channel of every device; series = device row x channels + channel."""

    def __init__(self, layout: Mapping[str, Column], channels: int) -> None:
        self._columns = Columns(layout, channels, 0)

    @property
    def devices(self) -> int:
        """Rows there is room for."""
        return self._columns.devices

    @property
    def columns(self) -> dict[str, NDArray[Any]]:
        """By name, each (series, ...), to be read and written in place; other arrays after `resize`."""
        return self._columns.arrays

    def resize(self, devices: int) -> None:
        """Make room for `devices` rows; new rows know nothing."""
        self._columns.resize(devices)

    def forget(self, rows: NDArray[np.intp]) -> None:
        """Return these devices' rows to knowing nothing."""
        self._columns.forget(rows)

    def state(self, name: str) -> dict[str, NDArray[np.generic]]:
        """Copies, each (devices, channels, ...), under names that begin with `name`."""
        return {f"{name}.{key}": array for key, array in self._columns.state().items()}

    def holds(self, name: str, state: Mapping[str, NDArray[np.generic]]) -> bool:
        """Whether `state` has the arrays of this check, by their names; those of an earlier version had others."""
        return {key for key in state if key.partition(".")[0] == name} == {f"{name}.{key}" for key in self.columns}

    def check(self, name: str, state: Mapping[str, NDArray[np.generic]]) -> None:
        """Say whether `state` fits.

        Raises:
            StateError: it does not.
        """
        self._columns.check(self._own(name, state))

    def restore(self, name: str, state: Mapping[str, NDArray[np.generic]]) -> None:
        """Take over what `state` returned.

        Raises:
            StateError: it does not fit.
        """
        self._columns.restore(self._own(name, state))

    def _own(self, name: str, state: Mapping[str, NDArray[np.generic]]) -> dict[str, NDArray[np.generic]]:
        return {key: state[f"{name}.{key}"] for key in self._columns.layout if f"{name}.{key}" in state}


class Fields(Remembered):
    """K numbers for every channel of every device, next to each other."""

    def __init__(self, fills: tuple[float, ...], channels: int, name: str = _NAME) -> None:
        """`fills`: what a series that knows nothing holds; another `name` where an earlier version held other ones."""
        super().__init__({name: Column((len(fills),), fills)}, channels)
        self._name = name

    @property
    def table(self) -> NDArray[Any]:
        """(series, K), to be read and written in place."""
        return self.columns[self._name]

    def take(self, series: NDArray[np.intp]) -> NDArray[Any]:
        """(K, M) copies of the fields of `series` (M,)."""
        return np.ascontiguousarray(self.table.take(series, axis=0).T)

    def put(self, series: NDArray[np.intp], fields: NDArray[Any]) -> None:
        """Put back what `take` returned; each series at most once."""
        self.table[series] = fields.T
