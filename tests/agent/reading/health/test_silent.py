from __future__ import annotations

import numpy as np
import pytest

from vedette_agent.reading.health.listening import KNOWN, Listening
from vedette_agent.reading.health.silent import Silent


def silent(devices: int = 1, after: float | None = None) -> Silent:
    check = Silent(after)
    check.fields.resize(devices)
    return check


def hear(check: Silent, at: float, device: int = 0) -> bool:
    """Whether it had been silent."""
    return bool(check.examine(np.array([device], np.intp), np.array([at])))


def rhythm(check: Silent, gaps: list[float]) -> float:
    at = 0.0
    hear(check, at)
    for gap in gaps:
        at += gap
        assert not hear(check, at)
        assert check.tick(at + 0.5 * gap) == []
    return at


def jittered(interval: float, spread: float, count: int, seed: int = 0) -> list[float]:
    return [float(g) for g in interval * np.exp(np.random.default_rng(seed).normal(0.0, spread, count))]


@pytest.mark.parametrize("interval", [10.0, 60.0, 3_600.0])
def test_a_regular_device_is_silent_after_a_bit_more_than_two_intervals(interval: float) -> None:
    check = silent()
    at = rhythm(check, jittered(interval, 0.02, 300))
    assert check.tick(at + 2.0 * interval) == []
    (missed,) = check.tick(at + 2.5 * interval)
    assert missed.typical == pytest.approx(interval, rel=0.05)
    assert check.count == 1
    assert hear(check, at + 3.0 * interval)
    assert check.count == 0
    assert not hear(check, at + 4.0 * interval)


def test_an_irregular_battery_device_is_waited_for_longer() -> None:
    check = silent()
    at = rhythm(check, jittered(900.0, 0.3, 500))
    assert check.tick(at + 2.5 * 900.0) == []
    assert check.tick(at + 5.5 * 900.0)


def test_of_many_battery_devices_hardly_any_hides_a_gap_of_five_intervals_behind_its_longest_one() -> None:
    devices, random = 1_000, np.random.default_rng(7)
    check, rows = silent(devices), np.arange(devices)
    at, sound = np.zeros(devices), 0
    for _ in range(700):
        at += 900.0 * np.exp(random.normal(0.0, 0.3, devices))
        sound += len(check.examine(rows, at))
    assert sound == 0
    assert len(check.examine(rows, at + 5.0 * 900.0)) >= 0.99 * devices


def test_packets_of_readings_are_one_arrival() -> None:
    check = silent()
    at = rhythm(check, [0.01, 0.01, 0.01, 599.97] * 50)
    assert check.tick(at + 1_200.0) == []
    assert check.tick(at + 1_600.0)


def test_who_was_heard_a_few_times_only_and_who_never_was_are_not_silent() -> None:
    check = silent(2)
    at = rhythm(check, [60.0] * 6)
    assert check.tick(at + 1e6) == []


def test_the_operator_may_set_the_longest_silence() -> None:
    check = silent(after=100.0)
    hear(check, 0.0)
    assert check.tick(99.0) == []
    assert check.tick(101.0)


def test_one_outage_is_not_usual_and_two_are() -> None:
    check = silent()
    at = rhythm(check, jittered(60.0, 0.02, 200))
    for told in (True, True, False):
        at += 3_600.0
        assert hear(check, at) is told
        for _ in range(100):
            at += 60.0
            hear(check, at)


def test_after_a_restart_the_time_away_does_not_count() -> None:
    check = silent()
    rhythm(check, [60.0] * 100)
    again = silent()
    again.fields.restore("silent", check.fields.state("silent"))
    again.restored()
    assert again.tick(100.0) == []
    assert again.tick(200.0)


def test_a_fleet_wide_outage_takes_no_time_of_listening() -> None:
    listening, check = Listening(), silent(50)
    uptime = 0.0
    for turn in range(40):
        for device in range(50):
            uptime += 0.2
            hear(check, listening.heard(uptime), device)
        assert check.tick(listening.clock) == [], turn
    uptime += 7_200.0
    for _ in range(3):
        for device in range(50):
            uptime += 0.2
            assert not hear(check, listening.heard(uptime), device)
            assert check.tick(listening.clock) == []


def test_one_device_among_many_is_missed() -> None:
    listening, check = Listening(), silent(50)
    uptime = 0.0
    for turn in range(45):
        for device in range(50):
            uptime += 0.2
            if device != 7 or turn < 40:
                hear(check, listening.heard(uptime), device)
    assert [missed.device for missed in check.tick(listening.clock)] == [7]


def test_the_clock_of_listening_never_runs_faster_than_time() -> None:
    random = np.random.default_rng(0)
    listening, uptime, last = Listening(), 0.0, 0.0
    for pause in random.exponential(5.0, 2_000):
        uptime += float(pause)
        clock = listening.heard(uptime)
        assert 0.0 <= clock - last <= pause + 1e-9
        last = clock
    assert last > 0.95 * uptime
    assert listening.cap < 300.0
    assert KNOWN < 2_000
