from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vedette_agent.reading.health.clock import Clock, WrongClock

T0 = 1.7e9
MINUTE = 60.0


def told(times: list[float], arrivals: list[float] | None = None, tolerance: float = 30.0) -> dict[int, WrongClock]:
    check = Clock(tolerance)
    check.fields.resize(1)
    said = {}
    for i, time in enumerate(times):
        arrival = math.nan if arrivals is None else arrivals[i]
        for what in check.examine(
            np.zeros(1, np.intp), np.array([time]), np.array([arrival - time]), np.array([arrival])
        ).values():
            said[i] = what
    return said


def minutes(count: int, start: float = T0) -> list[float]:
    return [start + MINUTE * i for i in range(count)]


@pytest.mark.parametrize(
    ("offset", "state"), [(120.0, "ahead"), (-120.0, "behind"), (60.0, "ahead"), (-60.0, "behind")]
)
def test_a_clock_that_is_off_is_told_until_it_is_right_again(offset: float, state: str) -> None:
    arrivals = minutes(100)
    times = [at + (offset if 50 <= i < 70 else 0.0) for i, at in enumerate(arrivals)]
    said = told(times, arrivals)
    assert {what.state for what in said.values()} == {state}
    assert min(said) in range(53, 57)
    assert max(said) in range(70, 74)
    assert all(abs(what.amount - abs(offset)) < 10.0 for what in said.values())


def test_a_link_that_was_always_slow_is_no_fault() -> None:
    assert told(minutes(100), [at + 500.0 for at in minutes(100)]) == {}


def test_what_was_buffered_comes_late_and_is_no_fault() -> None:
    arrivals = minutes(200)
    for i in range(50, 100):
        arrivals[i] = arrivals[99] + 0.01 * (i - 50)  # at once
    for i in range(120, 160):
        arrivals[i] = arrivals[159] + 2.0 * (i - 159)  # one after the other, at a pace of its own
    assert told(minutes(200), arrivals) == {}


def test_a_network_that_becomes_faster_is_no_fault() -> None:
    arrivals = [at + (90.0 if i < 50 else 1.0) for i, at in enumerate(minutes(100))]
    assert told(minutes(100), arrivals) == {}


def test_local_time_sent_as_utc_is_told_from_the_first_readings_on() -> None:
    said = told([at - 5 * 3_600.0 for at in minutes(30)], minutes(30))
    assert {what.state for what in said.values()} == {"zone"}


def test_who_stamps_an_hour_with_its_beginning_has_no_wrong_clock() -> None:
    hours = [T0 + 3_600.0 * i for i in range(100)]
    assert told(hours, [at + 3_601.0 for at in hours]) == {}


def test_history_in_fast_motion_has_no_usual_lag() -> None:
    assert told([T0 + 300.0 * i for i in range(500)], [T0 + 1e8 + 0.03 * i for i in range(500)]) == {}


@pytest.mark.parametrize("known", [True, False])
def test_time_that_runs_backwards_is_told(known: bool) -> None:
    arrivals = minutes(60)
    times = [at if i < 30 or i >= 45 else 2 * arrivals[30] - at for i, at in enumerate(arrivals)]
    said = told(times, arrivals if known else None)
    assert said[40].state == "backwards"
    assert 59 not in said


def test_a_buffer_sent_in_reverse_is_no_fault() -> None:
    times, arrivals = minutes(60), minutes(60)
    times[20:40] = times[20:40][::-1]
    arrivals[20:40] = [arrivals[39] + 0.01 * i for i in range(20)]
    assert told(times, arrivals) == {}


def test_in_a_file_a_time_that_was_set_back_is_told_and_unordered_lines_are_not() -> None:
    said = told([*minutes(30), *minutes(40, T0 - 3_600.0 + 30 * MINUTE)])
    assert said
    assert {what.state for what in said.values()} == {"behind"}
    mixed = [time for pair in zip(minutes(50), minutes(50, T0 + 7_200.0), strict=True) for time in pair]
    assert told(mixed) == {}
    assert told([*minutes(20), *minutes(20)[:3], *minutes(20, T0 + 1_200.0)]) == {}


@pytest.mark.parametrize("interval", [60.0, 900.0])
def test_in_a_file_a_clock_set_back_is_told_with_what_it_was_set_back_by(interval: float) -> None:
    before = [T0 + interval * i for i in range(40)]
    said = told([*before, *[before[-1] + interval - 7_200.0 + interval * i for i in range(30)]])
    first = said[min(said)]
    assert (first.state, first.amount) == ("behind", pytest.approx(7_200.0))


def test_in_a_file_a_clock_that_was_ahead_for_a_while_is_told_when_it_is_back() -> None:
    times = [T0 + 300.0 * i + (86_400.0 if 40 <= i < 60 else 0.0) for i in range(100)]
    said = told(times)
    assert {(what.state, round(what.amount)) for what in said.values()} == {("was ahead", 86_400)}
    assert set(said) <= set(range(60, 66))
    away = [T0 + 300.0 * i + (36_000.0 if i >= 40 else 0.0) for i in range(200)]  # an outage, and later a step back
    said = told([*away, *[away[-1] + 300.0 - 7_200.0 + 300.0 * i for i in range(30)]])
    assert {what.state for what in said.values()} == {"behind"}


@settings(max_examples=60, derandomize=True, deadline=None)
@given(st.lists(st.tuples(st.floats(0.0, 5.0), st.floats(0.0, 25.0)), min_size=20, max_size=120))
def test_jitter_within_the_tolerance_is_never_a_fault(steps: list[tuple[float, float]]) -> None:
    times, arrivals, at = [], [], T0
    for gap, lag in steps:
        at += MINUTE + gap
        times.append(at - lag)
        arrivals.append(at)
    assert told(times, arrivals) == {}
