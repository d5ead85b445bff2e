from __future__ import annotations

import math

import numpy as np
import pytest

from vedette_models.readings import Quality, ReadingBatch


def test_a_batch_from_plain_rows() -> None:
    batch = ReadingBatch.of([3, 1], [10, 20], [[1.5, None], [2, 3]])
    assert len(batch) == 2
    assert batch.device.dtype == np.intp
    assert batch.time.tolist() == [10.0, 20.0]
    assert math.isnan(batch.values[0, 1])
    assert batch.values[1].tolist() == [2.0, 3.0]
    assert batch.quality.tolist() == [Quality.DEVICE_TIME] * 2
    assert batch.origin.tolist() == [0, 1]


def test_take_keeps_columns_together() -> None:
    batch = ReadingBatch.of([0, 1, 2], [5, 6, 7], [[0.0], [1.0], [2.0]], quality=[0, 1, 2], origin=[9, 9, 8])
    part = batch.take(np.array([2, 0]))
    assert part.device.tolist() == [2, 0]
    assert part.time.tolist() == [7.0, 5.0]
    assert part.values.tolist() == [[2.0], [0.0]]
    assert part.quality.tolist() == [2, 0]
    assert part.origin.tolist() == [8, 9]
    assert len(batch.take(slice(1, 1))) == 0


@pytest.mark.parametrize(
    ("device", "time", "values", "quality"),
    [
        ([0], [1.0, 2.0], [[1.0]], None),
        ([0], [1.0], [[1.0], [2.0]], None),
        ([0], [1.0], [1.0], None),
        ([0, 1], [1.0, 2.0], [[1.0], [2.0]], [0]),
        ([0], [1.0], [[math.inf]], None),
        ([0], [1.0], [[-math.inf, 1.0]], None),
    ],
)
def test_columns_that_do_not_fit_are_refused(
    device: list[int], time: list[float], values: list[list[float | None]], quality: list[int] | None
) -> None:
    with pytest.raises(ValueError, match=r"batch of|finite"):
        ReadingBatch.of(device, time, values, quality)
