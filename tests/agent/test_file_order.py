from __future__ import annotations

import math

from hypothesis import given, settings
from hypothesis import strategies as st

from vedette_agent.file_order import by_time, order_of

UP = [("a", float(i)) for i in range(100)]


def test_a_clock_that_was_set_back_leaves_a_file_in_order() -> None:
    order = order_of([*UP, *UP[50:], ("a", math.nan)])
    assert (order.readings, order.falls, order.is_by_time) == (150, 1, True)


def test_files_in_reverse_shuffled_or_by_device_are_in_no_order_of_time() -> None:
    assert not order_of(UP[::-1]).is_by_time
    assert not order_of(sorted(UP, key=lambda reading: math.sin(reading[1]))).is_by_time
    hours = [(device, 3_600.0 * i) for device in "ab" for i in range(100)]
    assert order_of(hours).late == 1
    assert not order_of(hours).is_by_time
    assert order_of(sorted(hours, key=lambda reading: reading[1])).is_by_time


@settings(max_examples=30, derandomize=True, deadline=None)
@given(st.lists(st.floats(-10.0, 10.0)))
def test_lines_by_time_are_all_there_and_keep_their_order_within_a_time(times: list[float]) -> None:
    lines = [(round(time), (i, [str(i), "ä,\n"])) for i, time in enumerate(times)]
    assert list(by_time((float(t), line) for t, line in lines)) == [
        line for _, line in sorted(lines, key=lambda x: x[0])
    ]
