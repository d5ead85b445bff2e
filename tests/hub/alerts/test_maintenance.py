"""Maintenance windows hold when they say, also after the clocks have changed."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vedette_hub.alerts.maintenance import LONGEST_SECONDS, Window
from vedette_hub.alerts.matching import Matchers

WEEK = 7 * 86_400.0
BERLIN = ZoneInfo("Europe/Berlin")


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN).timestamp()


def window(start: str, end: str, *, weekly: bool = True, until: str | None = None) -> Window:
    last = None if until is None else at(until)
    return Window(1, "w", Matchers(), at(start), at(end), weekly=weekly, timezone="Europe/Berlin", until=last)


def test_a_single_window_holds_from_its_start_until_before_its_end() -> None:
    once = window("2026-03-01T22:00", "2026-03-02T02:00", weekly=False)
    assert once.period(once.start - 1.0) is None
    assert once.period(once.start) == (once.start, once.end)
    assert once.period(once.end) is None
    assert once.period(once.start + WEEK) is None
    assert (once.next_start(once.start - 1.0), once.next_start(once.start)) == (once.start, None)
    assert [once.over(time) for time in (once.start - 1.0, once.start, once.end)] == [False, False, True]


def test_a_weekly_window_keeps_its_time_of_day_when_the_clocks_change() -> None:
    # Sundays, four hours; summer time begins on 2026-03-29 and ends on 2026-10-25.
    weekly = window("2026-03-01T22:00", "2026-03-02T02:00")
    for day, held in {"2026-03-22": True, "2026-03-29": True, "2026-10-25": True, "2026-10-26": False}.items():
        assert (weekly.period(at(f"{day}T22:00")) is not None) is held
        assert weekly.period(at(f"{day}T21:59")) is None
    assert weekly.next_start(at("2026-03-25T12:00")) == at("2026-03-29T22:00")
    assert weekly.next_start(at("2026-10-20T12:00")) == at("2026-10-25T22:00")


def test_a_weekly_window_ends_at_the_same_time_of_day_though_it_gets_longer() -> None:
    night = window("2026-10-18T01:00", "2026-10-18T06:00")
    first, last = night.period(at("2026-10-25T05:59")) or (0.0, 0.0)
    assert (first, last) == (at("2026-10-25T01:00"), at("2026-10-25T06:00"))
    assert last - first == pytest.approx(6 * 3600.0), "an hour came twice"


def test_a_weekly_window_does_not_begin_after_its_last_day() -> None:
    weekly = window("2026-03-01T22:00", "2026-03-02T02:00", until="2026-03-08T23:00")
    assert weekly.period(at("2026-03-09T01:00")) is not None, "what has begun ends in its time"
    assert weekly.period(at("2026-03-15T22:30")) is None
    assert weekly.next_start(at("2026-03-08T22:00")) is None
    assert not weekly.over(at("2026-03-09T01:00"))
    assert weekly.over(at("2026-03-09T02:00"))


def test_it_never_holds_before_it_was_made_to_begin() -> None:
    weekly = window("2026-03-01T22:00", "2026-03-02T02:00")
    assert weekly.period(weekly.start - WEEK + 60.0) is None
    assert weekly.next_start(weekly.start - 3 * WEEK) == weekly.start


times = st.floats(0.0, 60 * WEEK)


@settings(derandomize=True, max_examples=300, deadline=None)
@given(times, st.floats(60.0, LONGEST_SECONDS), times, st.booleans(), st.none() | times)
def test_a_window_holds_in_its_period_and_ends_once(
    start: float, length: float, now: float, weekly: bool, until: float | None
) -> None:
    one = Window(1, "w", Matchers(), start, start + length, weekly=weekly, timezone="Europe/Berlin", until=until)
    period = one.period(now)
    if period is not None:
        first, last = period
        assert first <= now < last
        # A window of a whole week goes over into the next one, so that only its own end is looked for.
        assert one.ended(last - 1e-3, last)
        assert one.next_start(now) is None or one.next_start(now) > now  # type: ignore[operator]  # not None there
    following = one.next_start(now)
    if following is not None:
        assert one.period(following) is not None
        assert following > now


def test_it_has_ended_between_two_moments_however_long_nobody_looked() -> None:
    weekly = window("2026-03-01T22:00", "2026-03-02T02:00", until="2026-03-08T23:00")
    second = at("2026-03-09T02:00")
    assert not weekly.ended(second - 10.0, second - 1.0)
    assert weekly.ended(second - 10.0, second)
    assert weekly.ended(weekly.start, second + 50 * WEEK)
    assert not weekly.ended(second, second + 50 * WEEK), "there was no third one"
    assert not window("2026-03-01T22:00", "2026-03-02T02:00").ended(0.0, weekly.start)
