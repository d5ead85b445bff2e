"""Sensor health: what a sensor says that it cannot have measured, columnar and pure."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vedette_models.readings import ReadingBatch


def impossible(batch: ReadingBatch, low: NDArray[np.float64], high: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(N, C) values outside what the sensor can report; `low` and `high` are (C,), infinite where not known."""
    return (batch.values < low) | (batch.values > high)


def without(batch: ReadingBatch, values: NDArray[np.bool_]) -> ReadingBatch:
    """The batch with these (N, C) values taken out, as if the device had not reported them."""
    if not values.any():
        return batch
    return replace(batch, values=np.where(values, np.nan, batch.values))
