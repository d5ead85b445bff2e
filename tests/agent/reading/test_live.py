from __future__ import annotations

import numpy as np
import pytest

from tests.agent.streams import PROFILE
from vedette_agent.reading.live import READINGS, SCORES, LiveTap
from vedette_agent.reading.profile_watch import ProfileWatch
from vedette_models.profile import Channel, Profile
from vedette_models.readings import ReadingBatch

CHANNELS = len(PROFILE.channels)


def watch_of(devices: int = 3, profile: Profile = PROFILE) -> ProfileWatch:
    watch = ProfileWatch(profile, "gw", "epoch", 10_000)
    for i in range(devices):
        watch.table.row(f"device-{i}")
    return watch


def batch(first: int, rounds: int, devices: int = 3, *, value: float | None = None) -> ReadingBatch:
    """So many readings of each device in turn, a minute apart, from the first minute on."""
    rows = np.tile(np.arange(devices), rounds)
    minutes = first + np.repeat(np.arange(rounds), devices)
    values = np.random.default_rng(first).normal(5.0, 0.1, (len(rows), CHANNELS))
    if value is not None:
        values[-1] = value
    return ReadingBatch.of(rows, 1.7e9 + 60.0 * minutes, values)


def test_readings_of_the_device_looked_at_are_kept_as_they_were_judged() -> None:
    watch = watch_of()
    watch.process(batch(0, 200))
    watch.live = LiveTap()
    watch.live.watch("device-1")
    readings = batch(200, 4)
    verdicts = watch.process(readings).verdicts

    taken = watch.live.take("device-1")
    mine = np.flatnonzero(readings.device == 1)
    assert [one.time for one in taken.readings] == readings.time[mine].tolist()
    assert [one.values for one in taken.readings] == [tuple(row) for row in readings.values[mine].tolist()]
    assert [one.score for one in taken.readings] == pytest.approx(verdicts.anomaly[mine].tolist(), abs=1e-4)
    assert (taken.skipped, watch.live.take("device-1")) == (0, ([], 0))


def test_the_band_is_what_was_expected_before_the_reading() -> None:
    watch = watch_of()
    watch.process(batch(0, 200))
    watch.live = LiveTap()
    watch.live.watch("device-2")
    watch.process(batch(200, 1, value=1e6))
    (wild,) = watch.live.take("device-2").readings

    assert wild.values == (1e6,) * CHANNELS
    for low, high in zip(wild.low, wild.high, strict=True):
        assert low is not None
        assert high is not None
        assert 4.0 < low < 5.0 < high < 6.0


def test_no_band_is_made_up_for_a_device_that_is_new() -> None:
    watch = watch_of()
    watch.live = LiveTap()
    watch.live.watch("device-0")
    watch.process(batch(0, 1))
    assert watch.live.take("device-0").readings[0].low == (None,) * CHANNELS


def test_looking_changes_neither_scores_nor_what_is_learnt() -> None:
    watched, alone = watch_of(), watch_of()
    watched.live = LiveTap()
    watched.live.watch("device-0")
    watched.live.watch("")
    for first in range(0, 300, 20):
        readings = batch(first, 20, value=20.0 if first == 260 else None)
        assert (watched.process(readings).verdicts.anomaly == alone.process(readings).verdicts.anomaly).all()
    states = [one.checkpoint(0.0).detectors for one in (watched, alone)]
    for name, arrays in states[0].items():
        for key, array in arrays.items():
            np.testing.assert_array_equal(array, states[1][name][key])


def test_what_nobody_takes_is_bounded_and_counted() -> None:
    watch = watch_of(1)
    watch.live = LiveTap()
    watch.live.watch("device-0")
    for first in range(0, 310, 10):
        watch.process(batch(first, 10, 1))
    taken = watch.live.take("device-0")
    assert len(taken.readings) == READINGS
    assert taken.skipped == 310 - READINGS
    assert taken.readings[-1].time == max(one.time for one in taken.readings)


def test_the_scores_of_all_are_the_largest_of_each_device_since_the_last_time() -> None:
    watch = watch_of()
    watch.process(batch(0, 200))
    watch.live = LiveTap()
    watch.live.watch("")
    watch.process(batch(200, 5))
    verdicts = watch.process(batch(205, 5, value=9.0)).verdicts
    scores = watch.live.take_scores("pump", watch.table)

    assert scores[0].device == "device-2"
    assert scores[0].score == pytest.approx(float(verdicts.anomaly[-1]), abs=1e-4)
    assert sorted(one.device for one in scores) == ["device-0", "device-1", "device-2"]
    assert [one.score for one in scores] == sorted((one.score for one in scores), reverse=True)
    assert watch.live.take_scores("pump", watch.table) == []


def test_the_scores_of_more_devices_than_are_kept_do_not_grow() -> None:
    profile = Profile("one", (Channel("a"),))
    watch = watch_of(SCORES + 5, profile)
    watch.live = LiveTap()
    watch.live.watch("")
    rows = np.arange(SCORES + 5)
    watch.process(ReadingBatch.of(rows, np.full(len(rows), 1.7e9), np.ones((len(rows), 1))))
    assert len(watch.live.take_scores("one", watch.table)) == SCORES


def test_a_device_that_is_forgotten_is_named_no_more() -> None:
    watch = watch_of()
    watch.live = LiveTap()
    watch.live.watch("")
    watch.process(batch(0, 1))
    watch.forget("device-1", 1.7e9)
    assert sorted(one.device for one in watch.live.take_scores("pump", watch.table)) == ["device-0", "device-2"]
