"""The simulated plant: possible values, except where a fault makes one impossible."""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path

import pytest
from nacl.signing import SigningKey

from examples.demo import configuration
from examples.demo.broker import Broker
from examples.demo.devices import INTERVAL
from examples.demo.faults import KINDS, LEARNING
from examples.demo.findings import judge
from examples.demo.hub_alerts import HubAlert
from examples.demo.plant import DEVICES_PER_TYPE, TYPES, Plant
from vedette_agent.config import Config, load
from vedette_models.keys import public_line

ROUNDS = 2_500


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """What the demo tells the agent."""
    broker = Broker("a broker", 1883, "5", None)  # type: ignore[arg-type]  # nothing is started
    enrolled = tmp_path / configuration.ENROLLED
    enrolled.mkdir()
    (enrolled / "keyring").write_text(public_line(SigningKey.generate().verify_key))
    return load(configuration.write_agent(tmp_path, broker), {})


def test_devices_measure_what_their_profiles_say_and_leave_it_only_when_that_is_the_fault(config: Config) -> None:
    plant = Plant(start=0.0)
    outside: set[str] = set()
    for reading in itertools.chain.from_iterable(itertools.islice(plant.rounds(), ROUNDS)):
        profile = config.profiles[reading.device_type]
        assert tuple(reading.values) == profile.channel_names
        for channel in profile.channels:
            if not channel.low <= reading.values[channel.name] <= channel.high:
                fault = next(
                    f for f in plant.faults if f.device == reading.device and f.progress(reading.sequence) is not None
                )
                outside.add(fault.kind.name)

    assert outside == {"impossible temperature"}


def test_times_are_one_interval_apart_and_begin_at_the_start() -> None:
    plant = Plant(start=1_000.0)
    rounds = list(itertools.islice(plant.rounds(), 3))

    assert [{reading.time for reading in devices} for devices in rounds] == [
        {1_000.0},
        {1_000.0 + INTERVAL},
        {1_000.0 + 2 * INTERVAL},
    ]
    assert [{reading.sequence for reading in devices} for devices in rounds] == [{0}, {1}, {2}]


def test_the_same_seed_gives_the_same_plant() -> None:
    first, again, other = Plant(0.0, seed=1), Plant(0.0, seed=1), Plant(0.0, seed=2)

    def some(plant: Plant) -> list[object]:
        return list(itertools.islice(plant.rounds(), 50))

    assert some(first) == some(again) != some(other)


def test_every_kind_of_fault_meets_every_device_of_its_type_once_and_never_two_one_device_at_once() -> None:
    plant = Plant(0.0)

    assert Counter(fault.kind for fault in plant.faults) == dict.fromkeys(KINDS, DEVICES_PER_TYPE)
    assert len({(fault.kind, fault.device) for fault in plant.faults}) == len(plant.faults)
    assert {fault.kind.device_type for fault in plant.faults} == set(TYPES)
    assert min(fault.first for fault in plant.faults) == LEARNING
    for one, other in itertools.combinations(plant.faults, 2):
        assert one.device != other.device or one.last < other.first or other.last < one.first


def test_a_fault_is_found_by_an_alert_of_its_device_in_its_time() -> None:
    plant = Plant(0.0)
    fault = plant.faults[0]
    during = plant.time_of(fault.first + 2)

    def outcomes(alert: HubAlert, number: int) -> tuple[str, int]:
        findings, others = judge(plant, number, [alert])
        return findings[0].outcome, others

    own = HubAlert("1", fault.device, "low", during, "")
    elsewhere = HubAlert("1", "another", "low", during, "")
    before = HubAlert("1", fault.device, "low", plant.time_of(fault.first - 1), "")

    assert judge(plant, fault.first, [own]) == ([], 1)
    assert outcomes(own, fault.first + 5) == ("found", 0)
    assert outcomes(elsewhere, fault.first + 5) == ("watching", 1)
    assert outcomes(before, 10_000) == ("missed", 1)
