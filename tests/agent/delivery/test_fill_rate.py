from __future__ import annotations

import pytest

from vedette_agent.delivery.fill_rate import FillRate

DAY = 86_400


def test_a_steady_flow_is_measured() -> None:
    rate = FillRate(0.0)
    for second in range(1, 2 * DAY, 60):
        rate.add(60, 60 * 500, float(second))
    left = rate.seconds_left(10_000, 10**9, 2 * DAY)
    assert left == pytest.approx(10_000, rel=0.1)


def test_bytes_may_be_what_runs_out_first() -> None:
    rate = FillRate(0.0)
    for second in range(1, DAY, 60):
        rate.add(1, 60_000, float(second))
    assert rate.seconds_left(10**6, 6 * 10**6, DAY) == pytest.approx(6_000, rel=0.1)


def test_a_storm_shows_within_minutes_and_is_not_forgotten_at_once() -> None:
    rate = FillRate(0.0)
    for second in range(60, DAY, 3_600):
        rate.add(1, 500, float(second))
    calm = rate.seconds_left(10_000, 10**9, DAY)
    for second in range(600):
        rate.add(10, 5_000, DAY + float(second))
    storm = rate.seconds_left(10_000, 10**9, DAY + 600)
    after = rate.seconds_left(10_000, 10**9, DAY + 6 * 3_600)
    assert calm is not None
    assert storm is not None
    assert after is not None
    assert storm < 2 * 1_000 * 1.2 < after < calm


def test_what_nothing_fills_lasts_for_ever_and_too_little_says_nothing() -> None:
    rate = FillRate(0.0)
    assert rate.seconds_left(10, 10, DAY) is None
    fresh = FillRate(0.0)
    fresh.add(5, 500, 1.0)
    assert fresh.seconds_left(10, 10, 30.0) is None
    assert fresh.seconds_left(10, 10_000, 90.0) is not None


def test_a_full_box_lasts_no_longer() -> None:
    rate = FillRate(0.0)
    rate.add(5, 500, 100.0)
    assert rate.seconds_left(-1, 100, 200.0) == 0.0
