from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.agent.streams import PROFILE, stream
from vedette_agent.reading.checkpoint import Checkpoint
from vedette_agent.reading.devices import DeviceTable
from vedette_agent.reading.health.sensor_health import SensorHealth
from vedette_agent.reading.profile_watch import ProfileWatch
from vedette_models.detectors.base import StateError
from vedette_models.messages import Alert
from vedette_models.profile import Channel, Health, Profile, Range
from vedette_models.readings import Quality, ReadingBatch

READINGS = 900
Said = list[tuple[int, str, str]]


def table(devices: int = 3) -> DeviceTable:
    made = DeviceTable(100)
    for i in range(devices):
        made.row(f"device-{i}")
    return made


def arrived(seed: int) -> tuple[ReadingBatch, NDArray[np.float64]]:
    """A stream with its arrivals, and the seconds of listening."""
    batch = stream(seed, READINGS)
    arrival = np.maximum.accumulate(batch.time + 1.0)
    odd = np.random.default_rng(seed).random(READINGS) < 0.2
    ahead = np.where(odd, 90.0, -1.0)
    whole = ReadingBatch(batch.device, batch.time, batch.values, batch.quality, batch.origin, arrival, ahead)
    return whole, np.arange(READINGS) * 20.0


def told(health: SensorHealth, batch: ReadingBatch, heard: NDArray[np.float64], cuts: list[int]) -> Said:
    said: Said = []
    for start, end in pairwise([0, *sorted(cuts), len(batch)]):
        faults = health.examine(batch.take(slice(start, end)), table(), heard[start:end]).faults
        for found in faults.found:
            said += [(start + int(r), found.kind, found.explain(int(r)).sentence) for r in np.flatnonzero(found.rows)]
    return sorted(said)


@settings(max_examples=15, derandomize=True, deadline=None)
@given(seed=st.sampled_from([0, 1]), cuts=st.lists(st.integers(0, READINGS), max_size=30))
def test_any_split_of_a_stream_into_batches_says_the_same(seed: int, cuts: list[int]) -> None:
    batch, heard = arrived(seed)
    whole, split = SensorHealth(PROFILE), SensorHealth(PROFILE)
    expected = told(whole, batch, heard, [])
    assert expected
    assert told(split, batch, heard, cuts) == expected
    for name, array in whole.state(3).items():
        np.testing.assert_array_equal(split.state(3)[name], array, err_msg=name)


def test_what_was_restored_goes_on_as_if_nothing_had_happened() -> None:
    batch, heard = arrived(2)
    whole, half = SensorHealth(PROFILE), SensorHealth(PROFILE)
    expected = [line for line in told(whole, batch, heard, []) if line[0] >= 450]
    told(half, batch.take(slice(0, 450)), heard[:450], [])
    again = SensorHealth(PROFILE)
    again.restore(half.state(3), 3)
    said = [(450 + at, *rest) for at, *rest in told(again, batch.take(slice(450, READINGS)), heard[450:], [])]
    assert [s for s in said if s[1] != "silent"] == [e for e in expected if e[1] != "silent"]


def test_a_forgotten_device_is_known_no_more() -> None:
    batch, heard = arrived(0)
    health = SensorHealth(PROFILE)
    told(health, batch, heard, [])
    fresh = {name: array[0] for name, array in SensorHealth(PROFILE).state(1).items()}
    health.forget(1)
    for name, array in health.state(3).items():
        np.testing.assert_array_equal(array[1], fresh[name], err_msg=name)


def test_state_of_other_checks_or_shapes_is_refused() -> None:
    health = SensorHealth(PROFILE)
    state = dict(health.state(2))
    state["stuck.fields"] = state["stuck.fields"][:, :, :-1]
    with pytest.raises(StateError):
        SensorHealth(PROFILE).restore(state, 2)


def test_a_check_that_remembered_something_else_in_an_earlier_version_begins_anew() -> None:
    batch, heard = arrived(0)
    health = SensorHealth(PROFILE)
    told(health, batch, heard, [])
    saved = health.state(3)
    earlier = {name: array for name, array in saved.items() if not name.startswith("jump.")}
    earlier["jump.fields"] = np.ones((3, len(PROFILE.channels), 36))
    again = SensorHealth(PROFILE)
    again.restore(earlier, 3)
    fresh = SensorHealth(PROFILE).state(3)
    for name, array in again.state(3).items():
        if not name.startswith(("silent.", "unreported.", "messages.")):  # whose clock begins anew
            np.testing.assert_array_equal(array, (fresh if name.startswith("jump.") else saved)[name], err_msg=name)


def test_checks_that_are_switched_off_say_nothing() -> None:
    off = Health(silent=False, stuck=False, impossible=False, jump=False, clock=False)
    batch, heard = arrived(0)
    health = SensorHealth(Profile("pump", PROFILE.channels, health=off))
    assert told(health, batch, heard, []) == []
    assert health.state(3) == {}


def test_a_device_may_have_ranges_of_its_own() -> None:
    profile = Profile("p", (Channel("t", "°C", high=100.0),), ranges={"device-1": {"t": Range(0.0, 200.0)}})
    batch = ReadingBatch.of([0, 1, 1], [1.0, 1.0, 2.0], [[150.0], [150.0], [-1.0]])
    (found,) = SensorHealth(profile).examine(batch, table()).faults.found
    assert found.rows.tolist() == [True, False, True]
    assert found.explain(2).sentence == "t -1 °C is impossible, the sensor reports 0 to 200; check sensor and wiring"


def watched(values: NDArray[np.float64], start: int = 0, watch: ProfileWatch | None = None) -> list[Alert]:
    watch = watch or ProfileWatch(PROFILE_1, "gw", "e", 10)
    watch.table.row("d")
    times = 1.7e9 + 300.0 * (start + np.arange(len(values)))
    batch = ReadingBatch.of(np.zeros(len(values), np.intp), times, values[:, None])
    return watch.process(batch).decided.events


PROFILE_1 = Profile("p", (Channel("x", "bar"),))


def test_an_anomaly_that_turns_out_to_be_a_jump_is_cleared_as_a_sensor_fault() -> None:
    values = np.random.default_rng(3).normal(20.0, 1.0, 1_100)
    values[1_000:1_003] += 60.0
    events = watched(values)
    jump = next(e for e in events if e.kind == "jump")
    assert jump.reason.startswith("x jumped to ")
    assert "bar for 3 readings and came back to" in jump.reason
    ended = [e for e in events if e.kind == "anomaly" and e.cleared_by == "sensor fault"]
    assert [e.cleared for e in ended] == [jump.opened]


def test_a_stuck_channel_is_neither_scored_nor_learnt_and_cleared_when_it_moves() -> None:
    values = np.random.default_rng(4).normal(20.0, 1.0, 700)
    values[600:650] = values[600]
    events = [e for e in watched(values) if e.kind == "stuck"]
    assert [(e.state, e.cleared_by) for e in events] == [("active", ""), ("cleared", "quiet")]
    assert events[1].cleared == 1.7e9 + 300.0 * 650


def test_a_wrong_clock_is_replaced_by_the_arrival() -> None:
    arrival = 1.7e9 + 60.0 * np.arange(40)
    ahead = np.where(np.arange(40) >= 20, 120.0, -1.0)
    batch = ReadingBatch(
        np.zeros(40, np.intp), arrival + ahead, np.zeros((40, 1)), np.zeros(40, np.uint8), np.arange(40), arrival, ahead
    )
    judged = SensorHealth(PROFILE_1).examine(batch, table()).batch
    assert judged.time[-1] == arrival[-1]
    assert judged.quality[-1] & Quality.CLOCK_WRONG
    assert judged.time[5] == arrival[5] - 1.0


def test_silence_is_alerted_once_kept_over_a_restart_and_ended_by_a_reading() -> None:
    watch = ProfileWatch(PROFILE_1, "gw", "e", 10)
    for name in ("quiet", "other"):
        watch.table.row(name)

    def hear(watch: ProfileWatch, device: int, at: float) -> list[Alert]:
        batch = ReadingBatch.of([device], [1.7e9 + at], [[1.0]])
        return watch.process(batch, np.array([at])).decided.events

    for i in range(50):
        assert hear(watch, 0, 60.0 * i) == hear(watch, 1, 60.0 * i + 1) == []
        assert watch.tick(60.0 * i + 1, 1.7e9 + 60.0 * i).events == []
    decided = watch.tick(60.0 * 55, 1.7e9 + 60.0 * 55)
    assert [(e.device, e.kind, e.state) for e in decided.events] == [
        ("quiet", "silent", "active"),
        ("other", "silent", "active"),
    ]
    assert watch.tick(60.0 * 56, 1.7e9).events == []
    saved: Checkpoint = watch.checkpoint(0.0)
    after = ProfileWatch(PROFILE_1, "gw", "e2", 10)
    after.restore(saved)
    assert after.resume(decided.changes) == []
    assert after.health.silent == 2
    assert after.tick(1.0, 1.7e9).events == []
    (ended,) = hear(after, 0, 5.0)
    assert (ended.state, ended.cleared_by, ended.device) == ("cleared", "heard again", "quiet")
    assert after.health.silent == 1
