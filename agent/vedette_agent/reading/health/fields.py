"""Fields: the numbers that a check remembers of each series, gathered for a batch and put back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from vedette_models.columns import Column, Columns

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

_NAME, _KEPT, _ANCHOR = "fields", "kept", "anchor"


class Fields:
    """K numbers for every channel of every device, next to each other; series = device row x channels + channel."""

    def __init__(self, fills: tuple[float, ...], channels: int, last: int = 0) -> None:
        """`fills`: what a series that knows nothing holds; with the `last` values of each where they are wanted."""
        layout = {_NAME: Column((len(fills),), fills)}
        if last:
            # in single precision, so relative to the first value: readings may lie far from zero
            layout |= {_KEPT: Column((last,), 0.0, np.float32), _ANCHOR: Column(())}
        self._last = last
        self._columns = Columns(layout, channels, 0)

    @property
    def devices(self) -> int:
        """Rows there is room for."""
        return self._columns.devices

    @property
    def table(self) -> NDArray[Any]:
        """(series, K), to be read and written in place."""
        return self._columns.arrays[_NAME]

    def take(self, series: NDArray[np.intp]) -> NDArray[Any]:
        """(K, M) copies of the fields of `series` (M,)."""
        return np.ascontiguousarray(self.table.take(series, axis=0).T)

    def put(self, series: NDArray[np.intp], fields: NDArray[Any]) -> None:
        """Put back what `take` returned; each series at most once."""
        self.table[series] = fields.T

    def keep(self, series: NDArray[np.intp], count: NDArray[np.float64], x: NDArray[np.float64]) -> None:
        """Keep the values `x` of `series` (M,), which have kept `count` (M,) before this one."""
        anchor = self._columns.arrays[_ANCHOR]
        if (first := count == 0.0).any():
            anchor[series[first]] = x[first]
        place = series * self._last + (count % self._last).astype(np.intp)
        self._columns.arrays[_KEPT].reshape(-1)[place] = x - anchor[series]

    def kept(self, series: int, count: int) -> NDArray[np.float64]:
        """The last values of one series, oldest first, after `count` were kept."""
        kept: NDArray[np.float32] = self._columns.arrays[_KEPT][series]
        values = kept.astype(np.float64) + float(self._columns.arrays[_ANCHOR][series])
        return np.roll(values, -(count % self._last))[-count if count < self._last else 0 :]

    def resize(self, devices: int) -> None:
        """Make room for `devices` rows; new rows know nothing."""
        self._columns.resize(devices)

    def forget(self, rows: NDArray[np.intp]) -> None:
        """Return these devices' rows to knowing nothing."""
        self._columns.forget(rows)

    def state(self, name: str) -> dict[str, NDArray[np.generic]]:
        """Copies, each (devices, channels, ...), under names that begin with `name`."""
        return {f"{name}.{key}": array for key, array in self._columns.state().items()}

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
