from __future__ import annotations

import math

from vedette_agent.file_clock import ALONE, FileClock

T0, MINUTE, DAY = 1.7e9, 60.0, 86_400.0


def test_the_time_of_a_file_is_that_of_its_newest_reading() -> None:
    clock = FileClock()
    assert [clock.read(0, T0 + at).newest - T0 for at in (0.0, 60.0, 30.0, 90.0)] == [0.0, 60.0, 60.0, 90.0]
    assert clock.alone
    clock.read(1, T0)
    assert not clock.alone


def test_who_leaps_ahead_while_others_are_heard_does_not_take_the_time_along() -> None:
    clock = FileClock()
    for i in range(60):
        leapt = DAY if i >= 30 else 0.0
        first = clock.read(0, T0 + MINUTE * i + leapt)
        second = clock.read(1, T0 + MINUTE * i + 1)
        if i >= 30:
            assert abs(first.ahead - DAY) < 2 * MINUTE
            assert not second.ahead > MINUTE
        assert second.newest == T0 + MINUTE * i + 1


def test_who_goes_on_alone_is_the_time() -> None:
    clock = FileClock()
    for i in range(20):
        clock.read(0, T0 + MINUTE * i)
        clock.read(1, T0 + MINUTE * i + 1)
    last = [clock.read(0, T0 + MINUTE * i) for i in range(20, 400)]
    assert last[-1].newest == T0 + MINUTE * 399
    assert all(math.isnan(moment.ahead) for moment in last[1:])
    leapt = [clock.read(0, T0 + DAY + MINUTE * i) for i in range(ALONE + 10)]
    assert leapt[-1].newest == T0 + DAY + MINUTE * (ALONE + 9)


def test_after_a_gap_of_all_the_time_goes_on_with_the_second_who_is_back() -> None:
    clock = FileClock()
    for i in range(20):
        for row in range(3):
            clock.read(row, T0 + MINUTE * i + row)
    clock.read(0, T0 + DAY)
    assert clock.read(1, T0 + DAY + 1).newest == T0 + DAY + 1
