from __future__ import annotations

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from vedette_agent.reading.lateness import SET_BACK, Lateness

NOW = 1_790_000_000.0
HOUR = 3_600.0


def late(lateness: Lateness, device: list[int], time: list[float], uptime: float = 0.0) -> list[int]:
    lateness.make_room(max(device) + 1)
    return lateness.late(np.array(device, np.intp), np.array(time, np.float64), uptime).tolist()  # type: ignore[no-any-return]  # numpy


def test_late_is_older_than_the_newest_of_the_same_device_by_more_than_the_limit() -> None:
    lateness = Lateness(HOUR)
    assert late(lateness, [0, 1], [NOW, NOW - 9 * HOUR]) == []
    assert late(lateness, [0, 1, 0, 0], [NOW - HOUR - 1, NOW - 9 * HOUR, NOW - HOUR + 1, NOW + 60]) == [0]
    assert late(lateness, [0, 0], [NOW + 2 * HOUR, NOW]) == [1], "within a batch, too"
    assert lateness.newest[:2].tolist() == [NOW + 2 * HOUR, NOW - 9 * HOUR]


def test_without_a_limit_nothing_is_late() -> None:
    assert late(Lateness(None), [0, 0], [NOW, 0.0]) == []


@settings(max_examples=200, derandomize=True, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 12)), min_size=1, max_size=60), st.integers(1, 60))
def test_any_split_into_batches_finds_the_same(readings: list[tuple[int, int]], size: int) -> None:
    device = [d for d, _ in readings]
    time = [NOW + 1_800.0 * t for _, t in readings]
    whole = late(Lateness(HOUR), device, time)
    lateness, parts = Lateness(HOUR), []
    for first in range(0, len(readings), size):
        part = slice(first, first + size)
        parts += [first + i for i in late(lateness, device[part], time[part])]
    assert parts == whole
    newest: dict[int, float] = {}
    expected = []
    for i, (d, t) in enumerate(zip(device, time, strict=True)):
        if t < newest.get(d, -math.inf) - HOUR:
            expected.append(i)
        newest[d] = max(newest.get(d, -math.inf), t)
    assert whole == expected, "scalar reference: nothing is taken for a clock that was set back within one instant"


def test_a_clock_that_was_set_back_is_the_time_after_a_few_readings() -> None:
    lateness = Lateness(HOUR)
    late(lateness, [0], [NOW])
    found = [late(lateness, [0], [NOW - 5 * HOUR + 10.0 * i], uptime=10.0 * i) for i in range(20)]
    assert found == [[0]] * (SET_BACK - 1) + [[]] * (20 - SET_BACK + 1)


def test_a_buffer_that_is_emptied_afterwards_stays_late() -> None:
    lateness = Lateness(HOUR)
    late(lateness, [0], [NOW])
    for second in range(20):
        minutes = [NOW - 30 * HOUR + 60.0 * (50 * second + i) for i in range(50)]
        assert late(lateness, [0] * 51, [*minutes, NOW + second], uptime=float(second)) == list(range(50))


def test_a_time_set_by_us_begins_anew() -> None:
    lateness = Lateness(HOUR)
    late(lateness, [0], [NOW])
    lateness.clock_set()
    assert late(lateness, [0], [60.0]) == []
    lateness.forget(0)
    assert late(lateness, [0], [0.0]) == []
