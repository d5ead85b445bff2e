from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from vedette_models.rounds import rounds


@settings(derandomize=True, deadline=None)
@given(st.lists(st.integers(0, 12), max_size=80))
def test_every_reading_stands_in_one_round_in_the_order_of_its_series(series: list[int]) -> None:
    parts = [part.tolist() for part in rounds(np.array(series, np.intp))]
    assert sorted(position for part in parts for position in part) == list(range(len(series)))
    seen: dict[int, list[int]] = {}
    for part in parts:
        assert part == sorted(part)
        assert len({series[position] for position in part}) == len(part)
        for position in part:
            seen.setdefault(series[position], []).append(position)
    assert all(positions == sorted(positions) for positions in seen.values())
    assert len(parts) == max(map(series.count, series), default=0)


def test_readings_of_different_series_are_one_round() -> None:
    assert [part.tolist() for part in rounds(np.array([5, 2, 9]))] == [[0, 1, 2]]


def test_no_reading_is_no_round() -> None:
    assert rounds(np.array([], np.intp)) == []
