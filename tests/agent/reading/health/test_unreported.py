from __future__ import annotations

import numpy as np
import pytest

from tests.agent.streams import PROFILE
from vedette_agent.reading.alert_state import StateChange
from vedette_agent.reading.devices import DeviceTable
from vedette_agent.reading.health.sensor_health import SensorHealth
from vedette_agent.reading.profile_watch import ProfileWatch
from vedette_models.messages import Alert
from vedette_models.profile import Channel, Health, Profile
from vedette_models.readings import ReadingBatch

MINUTE = 60.0
TWO = Profile("p", (Channel("t", "°C"), Channel("h", "%")))
NAN = float("nan")
Rows = list[tuple[float, float]]


class Gateway:
    """A device and, where wanted, a neighbour that goes on, shown message by message."""

    def __init__(self, profile: Profile = TWO) -> None:
        self.watch = ProfileWatch(profile, "gw", "e", 10)
        self.clock = 0.0
        self.random = np.random.default_rng(1)

    def hear(self, values: tuple[float, ...], after: float = MINUTE, device: str = "d") -> list[Alert]:
        self.clock += after
        row = self.watch.table.row(device)
        assert row is not None
        noisy = [v + self.random.normal(0.0, 0.3) for v in values]
        batch = ReadingBatch.of([row], [1.7e9 + self.clock], [noisy])
        events = self.watch.process(batch, np.array([self.clock])).decided.events
        events += self.watch.tick(self.clock, 1.7e9 + self.clock).events
        return [event for event in events if event.kind == "silent"]

    def all(self, rows: Rows, after: float = MINUTE) -> list[Alert]:
        return [event for row in rows for event in self.hear(row, after)]


def test_a_channel_that_falls_silent_is_told_by_name_and_cleared_when_it_reports_again() -> None:
    gateway = Gateway()
    assert gateway.all([(20.0, 50.0)] * 60) == []
    (alert,) = gateway.all([(20.0, NAN)] * 30)
    assert alert.reason == "no h for 5 min, in 5 readings of the device in a row; check this sensor and its wiring"
    assert [reason.channel for reason in alert.channels] == ["h"]
    assert gateway.watch.health.silent_channels == 1
    (ended,) = gateway.all([(20.0, 50.0)])
    assert (ended.id, ended.state, ended.cleared_by) == (alert.id, "cleared", "heard again")
    assert gateway.all([(20.0, 50.0)] * 50) == []
    assert gateway.watch.health.silent_channels == 0


def told(rows: Rows, after: float = MINUTE) -> list[int]:
    """Readings at which a channel is silent."""
    health = SensorHealth(Profile("p", TWO.channels, health=Health(stuck=False, jump=False, clock=False)))
    table = DeviceTable(1)
    table.row("d")
    at = after * np.arange(len(rows))
    faults = health.examine(ReadingBatch.of(np.zeros(len(rows), np.intp), 1.7e9 + at, np.array(rows)), table, at).faults
    return sorted(faults.unreported)


def test_a_value_that_is_missing_now_and_then_is_no_silence() -> None:
    random = np.random.default_rng(3)
    assert told([(20.0, NAN if random.random() < 0.1 else 50.0) for _ in range(1_500)]) == []


def test_channels_that_take_turns_or_report_rarely_are_not_told() -> None:
    assert told([(20.0, NAN), (NAN, 50.0)] * 300) == []
    assert told([(20.0, 50.0 if i % 60 == 0 else NAN) for i in range(1_500)]) == []
    random = np.random.default_rng(2)
    assert told([(20.0, 50.0 if random.random() < 0.03 else NAN) for _ in range(2_500)]) == []


def test_of_channels_that_take_turns_one_that_stops_is_told() -> None:
    rows: Rows = [(20.0, NAN), (NAN, 50.0)] * 100
    said = told([*rows, *[(20.0, NAN)] * 60])
    assert said[0] in range(205, 225)
    assert said == list(range(said[0], 260))


def test_a_burst_of_messages_about_one_channel_is_no_silence_of_the_others() -> None:
    gateway = Gateway()
    assert gateway.all([(20.0, 50.0)] * 100) == []
    assert gateway.all([(20.0, NAN)] * 100, after=0.1) == []
    assert gateway.all([(20.0, 50.0)] * 5) == []


def test_an_outage_of_the_device_is_none_of_a_channel() -> None:
    gateway = Gateway()
    for _ in range(60):
        assert gateway.hear((20.0, 50.0)) == gateway.hear((1.0, 2.0), 1.0, "other") == []
    for _ in range(100):
        gateway.hear((1.0, 2.0), MINUTE, "other")
    first = gateway.hear((20.0, NAN))
    assert {event.channels for event in first} == {()}
    assert [event for event in gateway.all([(20.0, NAN)] * 3) if event.device == "d"] == []


def test_a_device_that_stops_altogether_is_said_to_after_one_of_its_channels_had() -> None:
    gateway = Gateway()
    for i in range(100):
        gateway.hear((1.0, 2.0), 1.0, "other")
        said = gateway.hear((20.0, 50.0 if i < 80 else NAN))
    said = [event for _ in range(60) for event in gateway.hear((1.0, 2.0), MINUTE, "other")]
    (whole,) = said
    assert (whole.revision, whole.device, whole.channels) == (2, "d", ())
    assert whole.reason.startswith("no reading for ")
    (ended,) = gateway.hear((20.0, NAN))
    assert (ended.id, ended.cleared_by) == (whole.id, "heard again")


def test_a_restart_and_a_broker_that_was_gone_take_no_time() -> None:
    gateway = Gateway()
    gateway.all([(20.0, 50.0)] * 60 + [(20.0, NAN)] * 4)
    gateway.watch.health.anew(gateway.clock)
    assert gateway.all([(20.0, NAN)] * 4) == []
    after = Gateway()
    after.watch.restore(gateway.watch.checkpoint(0.0))
    assert after.all([(20.0, NAN)] * 4) == []
    assert len(after.all([(20.0, NAN)] * 4)) == 1


def test_an_alert_of_a_channel_stays_open_over_a_restart_until_it_reports() -> None:
    gateway = Gateway()
    (alert,) = gateway.all([(20.0, 50.0)] * 60 + [(20.0, NAN)] * 10)
    state = gateway.watch.decider._states[0, "silent"]
    after = Gateway()
    after.watch.restore(gateway.watch.checkpoint(0.0))
    assert after.watch.resume([StateChange("d", "silent", state)]) == []
    assert after.all([(20.0, NAN)] * 3) == []
    (ended,) = after.all([(20.0, 50.0)])
    assert (ended.id, ended.cleared_by) == (alert.id, "heard again")


def test_a_channel_that_was_never_reported_is_stated_and_no_alert() -> None:
    gateway = Gateway()
    assert gateway.all([(20.0, NAN)] * 100) == []
    assert gateway.watch.left_out() == {"d": {"h": "never reported"}}
    gateway.hear((20.0, 50.0))
    assert gateway.watch.health.never_reported() == []


@pytest.mark.parametrize("cut", [1, 7, 64])
def test_any_split_into_batches_says_the_same(cut: int) -> None:
    random = np.random.default_rng(5)
    n, channels = 900, len(PROFILE.channels)
    values = random.normal(0.0, 1.0, (n, channels))
    values[random.random((n, channels)) < 0.2] = NAN
    values[500:, 0] = NAN
    device = random.integers(0, 3, n)
    batch = ReadingBatch.of(device, 1.7e9 + 20.0 * np.arange(n), values)
    heard = 20.0 * np.arange(n)

    def split(cut: int) -> tuple[list[int], dict[str, object]]:
        watch = ProfileWatch(PROFILE, "gw", "e", 3)
        for i in range(3):
            watch.table.row(str(i))
        health: SensorHealth = watch.health
        rows = []
        for start in range(0, n, cut):
            part = slice(start, start + cut)
            faults = health.examine(batch.take(part), watch.table, heard[part]).faults
            rows += sorted(start + row for row in faults.unreported)
        return rows, {k: v.tolist() for k, v in health.state(3).items() if k.startswith(("unreported", "messages"))}

    rows, state = split(n)
    assert rows
    again, other = split(cut)
    assert again == rows
    for name, array in state.items():
        np.testing.assert_array_equal(np.array(other[name]), np.array(array), err_msg=name)
