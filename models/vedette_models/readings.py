"""ReadingBatch: readings of devices of one profile, in columns."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntFlag
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


class Quality(IntFlag):
    """What is known about the time of a reading, or of anything a gateway records."""

    DEVICE_TIME = 0
    """The device said when."""
    ARRIVAL_TIME = 1
    """The device did not say when: the time of arrival stands in."""
    CLOCK_AHEAD = 2
    """The device's time lay too far in the future and was replaced by the time of arrival."""
    CLOCK_WRONG = 4
    """The device's clock was known to be wrong, and its time was replaced by the time of arrival."""
    GATEWAY_UNSET = 8
    """The gateway's own clock was known to be wrong, as in 1970 after a start: of its times only the order counts."""
    GATEWAY_UNSYNCED = 16
    """No time server steered the gateway's clock, as far as the kernel could tell: it may be right or not."""


@dataclass(frozen=True, slots=True)
class ReadingBatch:
    """N readings of devices of one profile with C channels, in order of arrival.

    A reading is one message of one device: a time and a value for each of its channels. Readings of the same device
    may stand in one batch more than once; their order counts.
    """

    device: NDArray[np.intp]
    """(N,) row of the device in the tables of this profile."""
    time: NDArray[np.float64]
    """(N,) seconds since 1970-01-01 UTC."""
    values: NDArray[np.float64]
    """(N, C) finite, or NaN where the device did not report the channel."""
    quality: NDArray[np.uint8]
    """(N,) `Quality` flags."""
    origin: NDArray[np.intp]
    """(N,) index of the raw message that each reading came from."""
    arrival: NDArray[np.float64] | None = None
    """(N,) when it arrived, seconds since 1970 by our own clock, never falling; None where that is not known, as in a
    file."""
    ahead: NDArray[np.float64] | None = None
    """(N,) seconds by which the device's time was ahead of the arrival, as the device sent it; NaN where it sent none.
    None where arrivals are not known."""

    def __len__(self) -> int:
        return len(self.device)

    def take(self, rows: NDArray[np.intp] | slice) -> ReadingBatch:
        """The readings at `rows`, in that order."""
        return ReadingBatch(
            self.device[rows],
            self.time[rows],
            self.values[rows],
            self.quality[rows],
            self.origin[rows],
            None if self.arrival is None else self.arrival[rows],
            None if self.ahead is None else self.ahead[rows],
        )

    @classmethod
    def of(
        cls,
        device: Sequence[int] | NDArray[np.intp],
        time: Sequence[float] | NDArray[np.float64],
        values: Sequence[Sequence[float | None]] | NDArray[np.float64],
        quality: Sequence[int] | NDArray[np.uint8] | None = None,
        origin: Sequence[int] | NDArray[np.intp] | None = None,
    ) -> ReadingBatch:
        """A batch from rows or columns; quality defaults to device time, origin to 0..N-1.

        Raises:
            ValueError: the columns differ in length, `values` is not (N, C), or a value is infinite.
        """
        n = len(device)
        columns = cls(
            np.asarray(device, np.intp),
            np.asarray(time, np.float64),
            np.asarray(values, np.float64),
            np.zeros(n, np.uint8) if quality is None else np.asarray(quality, np.uint8),
            np.arange(n, dtype=np.intp) if origin is None else np.asarray(origin, np.intp),
        )
        if columns.values.ndim != 2 or any(
            len(c) != n for c in (columns.time, columns.values, columns.quality, columns.origin)
        ):
            raise ValueError(
                f"a batch of {n} readings needs times ({n},) and values ({n}, C), "
                f"got {columns.time.shape} and {columns.values.shape}"
            )
        if np.isinf(columns.values).any():
            raise ValueError("a reading's value must be finite, or NaN where the channel was not reported")
        return columns
