"""Exposure: how long each device has been watched, and how many alerts it raised in that time.

Time is whole milliseconds of the readings' own clock, so that sums do not depend on how the stream was cut into
batches. A gap between two readings counts as at most LONGEST_GAP: a device that was away was not watched. A clock that
is set back takes as much away as going forward again will add.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from vedette_models.columns import Column, Columnar, Columns
from vedette_models.detectors.base import StateError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

MILLISECOND = 1e-3
WEEK = 604_800_000
"""A device-week in milliseconds."""
LONGEST_GAP = 86_400_000
"""A day in milliseconds: the slowest usual rhythm of reporting."""
NEVER = np.iinfo(np.int64).min
"""A time that no reading has."""
_LAYOUT = {
    "last": Column((), float(NEVER), np.int64),
    "watched": Column((), 0.0, np.int64),
    "raised": Column((), 0.0, np.int64),
}


class Watched(NamedTuple):
    """When the N readings of a batch were, and how long had been watched by then; milliseconds."""

    time: NDArray[np.int64]
    """(N,) since 1970."""
    device: NDArray[np.int64]
    """(N,) of each reading's device, not negative."""
    fleet: NDArray[np.int64]
    """(N,) of all devices together, in order of arrival, not negative."""


class Rate(NamedTuple):
    """Alerts raised, and the device-weeks in which they were."""

    alerts: int
    device_weeks: float

    @property
    def per_device_week(self) -> float | None:
        """Alerts per device-week; None before anything was watched."""
        return self.alerts / self.device_weeks if self.device_weeks > 0.0 else None


class Exposure(Columnar):
    """Watched time and raised alerts of `devices` devices.

    >>> exposure = Exposure(devices=1)
    >>> _ = exposure.watch(np.zeros(3, np.intp), np.array([0.0, 60.0, 120.0]))
    >>> exposure.count(np.array([0]))
    >>> exposure.rate
    Rate(alerts=1, device_weeks=0.0001984126984126984)
    """

    def __init__(self, devices: int = 0) -> None:
        super().__init__(Columns(_LAYOUT, 1, devices))

    def _bind(self) -> None:
        self._total = int(self._arrays["watched"].sum())

    @property
    def rate(self) -> Rate:
        """Of all devices together."""
        return Rate(int(self._arrays["raised"].sum()), max(self._total, 0) / WEEK)

    def watch(self, device: NDArray[np.intp], time: NDArray[np.float64]) -> Watched:
        """Take note of readings, in order of arrival: (N,) rows of devices, (N,) finite seconds since 1970."""
        now = np.floor(time / MILLISECOND).astype(np.int64)
        if len(now) == 0:
            return Watched(now, now, now)
        last, watched = self._arrays["last"], self._arrays["watched"]
        order = device.argsort(kind="stable")
        sorted_device, sorted_now = device[order], now[order]
        is_first = np.empty(len(now), np.bool_)
        is_first[0] = True
        np.not_equal(sorted_device[1:], sorted_device[:-1], out=is_first[1:])
        first = np.flatnonzero(is_first)
        rows = sorted_device[first]
        before = np.empty_like(sorted_now)
        before[1:] = sorted_now[:-1]
        known = last[rows]
        before[first] = np.where(known == NEVER, sorted_now[first], known)
        gap = np.minimum(np.maximum(sorted_now - before, -LONGEST_GAP), LONGEST_GAP)
        sums = gap.cumsum()
        so_far = sums + (watched[rows] - sums[first] + gap[first])[is_first.cumsum() - 1]
        final = np.empty_like(first)
        final[:-1], final[-1] = first[1:] - 1, len(now) - 1
        watched[rows], last[rows] = so_far[final], sorted_now[final]
        by_arrival = np.empty((2, len(now)), np.int64)
        by_arrival[0, order], by_arrival[1, order] = so_far, gap
        fleet = self._total + by_arrival[1].cumsum()
        self._total = int(fleet[-1])
        return Watched(now, np.maximum(by_arrival[0], 0), np.maximum(fleet, 0))

    def count(self, raised: NDArray[np.intp]) -> None:
        """Count an alert for each device row in `raised`; a device may stand there more than once."""
        np.add.at(self._arrays["raised"], raised, 1)

    def forget(self, rows: NDArray[np.intp]) -> None:
        """Return these devices' rows to never having been watched.

        Raises:
            ValueError: a row there is no room for; nothing is forgotten then.
        """
        super().forget(rows)
        self._bind()

    def _check(self, state: Mapping[str, NDArray[np.generic]]) -> None:
        if (np.asarray(state["raised"], np.int64) < 0).any():
            raise StateError('saved array "raised" must not be negative')
