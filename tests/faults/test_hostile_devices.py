"""Devices that flood, send garbage, or make up names, among others that are scored all the same."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.agent.agent_process import COMMAND, agent, command, configure
from tests.agent.mqtt_ends import device
from tests.brokers import MOSQUITTO, Mosquitto
from tests.conftest import NO_MOSQUITTO
from tests.faults.hostile_agent import GOOD, Surrounded, surrounded
from vedette_agent.config.models import Limits, Stream, TimePolicy
from vedette_agent.mqtt.message import Message
from vedette_agent.reading.decoding.decoder import Decoder
from vedette_agent.reading.health.listening import Listening
from vedette_agent.reading.profile_watch import ProfileWatch
from vedette_agent.reading.stages import Outcome, Stages
from vedette_agent.reading.telemetry import Batch
from vedette_models.profile import Channel, Profile

Observe = Callable[[str, object], None]
NOW = 1_790_000_000.0


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    if MOSQUITTO is None:
        pytest.skip(NO_MOSQUITTO)
    made = Mosquitto(tmp_path / "broker")
    made.start()
    yield made
    made.kill()


class Pure:
    """The stages of an agent, with messages from the test."""

    def __init__(self, **limits: Any) -> None:
        profile = Profile("pump", (Channel("vibration"),))
        self.limits, policy = Limits(**limits), TimePolicy()
        self.watch = ProfileWatch(profile, "gw", "epoch", self.limits.max_devices)
        streams = [Stream(topic="plant/{device}/telemetry", profile="pump")]
        decoder = Decoder(streams, {"pump": profile}, policy, self.limits, {"pump": self.watch.table})
        self.stages = Stages(
            decoder,
            {"pump": self.watch},
            traced=True,
            listening=Listening(at_first=300.0),
            time=policy,
            limits=self.limits,
        )
        self.fates: Counter[tuple[str, str]] = Counter()

    def batch(self, sent: list[tuple[str, bytes]], second: float) -> Outcome:
        """Messages (device, payload) that arrive together."""
        messages = [Message(f"plant/{name}/telemetry", payload, i) for i, (name, payload) in enumerate(sent, 1)]
        batch = Batch(messages, [False] * len(messages), NOW + second, lambda _batch: None, second)
        outcome = self.stages.process(batch)
        for line in outcome.lines:
            name = line.device.split("/")[1] if line.fate == "dead_letter" else line.device
            self.fates[name, line.reason or line.fate] += 1
        assert len(outcome.lines) == len(messages), "every message has exactly one fate"
        return outcome


def all_there(among: Surrounded, messages: int) -> bool:
    return bool(among.counters().get("received", 0) >= messages)


def quarantine(config: Path, *words: str) -> str:
    """What `vedette-agent quarantine` prints."""
    verb, *rest = words
    line = [*COMMAND, "quarantine", verb, "--config", str(config), *rest]
    return subprocess.run(line, capture_output=True, text=True, timeout=30.0).stdout


def reading(second: float, value: float = 2.5) -> bytes:
    return json.dumps({"ts": NOW + second, "vibration": value}).encode()


@pytest.mark.fault(
    fault="one device at 50 times its rate, in one stream with 40 others",
    expected="all readings of the others are scored in order; of it, burst and rate; the rest is counted",
)
def test_a_flood_takes_nothing_from_the_others(record_property: Observe) -> None:
    pure, rng = Pure(device_rate=1.0, device_burst=20), np.random.default_rng(1)
    for second in range(60):
        names = [f"pump-{i}" for i in range(40)] + ["flood"] * 50
        rng.shuffle(names)
        pure.batch([(name, reading(second)) for name in names], float(second))
    for i in range(40):
        assert pure.fates[f"pump-{i}", "scored"] == 60
    assert 20 + 58 <= pure.fates["flood", "scored"] <= 20 + 60
    assert pure.fates["flood", "scored"] + pure.fates["flood", "rate_limited"] == 3_000
    [restricted] = pure.stages.rate_limited.listed(59.0)
    assert (restricted.device, restricted.state) == ("flood", "rate_limited")
    assert list(pure.stages.rate_limited.listed(300.0)) == [], "over when it is over"
    record_property("observed", f"others 2400 of 2400, flood {pure.fates['flood', 'scored']} of 3000")


@pytest.mark.fault(
    fault="garbage of one device in a stream with others",
    expected="quarantine after 100 unusable messages; the others are scored; released after good behaviour",
)
def test_garbage_ends_in_quarantine_and_good_behaviour_ends_that(record_property: Observe) -> None:
    pure = Pure(quarantine_after=100, quarantine_first=60.0)
    second = 0.0
    while pure.fates["broken", "quarantined"] == 0:
        pure.batch([("broken", b"garbage"), ("sound", reading(second))] * 10, second)
        second += 1.0
    assert 100 <= pure.fates["broken", "not_json"] <= 110
    began = second
    while pure.fates["broken", "scored"] == 0:  # it is repaired, but not looked at before its time is over
        pure.batch([("broken", reading(second)), ("sound", reading(second))], second)
        second += 1.0
    assert 55.0 <= second - began <= 65.0
    pure.batch([("broken", reading(second + i)) for i in range(12)], second)
    assert list(pure.stages.quarantine.listed(NOW, second)) == []
    assert pure.fates["sound", "not_json"] == pure.fates["sound", "quarantined"] == 0
    record_property("observed", f"quarantine after {pure.fates['broken', 'not_json']}, released after 60 s")


@pytest.mark.fault(
    fault="a device in quarantine that goes on",
    expected="each quarantine lasts twice as long; next to nothing of it is looked at or kept",
)
def test_a_device_that_never_stops_is_looked_at_ever_less(record_property: Observe) -> None:
    pure = Pure()
    commits = sampled = 0
    for second in range(7_200):
        outcome = pure.batch([("broken", b"garbage")] * 5, float(second))
        commits += outcome.durable
        sampled += len(outcome.sampled)
    looked_at = pure.fates["broken", "not_json"]
    assert looked_at <= 100 + 10 * 5
    assert pure.fates["broken", "quarantined"] == 36_000 - looked_at
    assert commits <= 20 + 7_200 / 30 + 1, "two samples a minute at most: flash wears out"
    record_property("observed", f"{looked_at} of 36,000 looked at, {commits} commits in two hours")


@pytest.mark.fault(
    fault="10,000 made-up device names beyond limits.max_devices",
    expected="devices known are scored and keep their samples of dead letters",
)
def test_made_up_names_crowd_out_neither_devices_nor_their_samples(record_property: Observe) -> None:
    pure = Pure(max_devices=5)
    for i in range(5):
        pure.batch([(f"pump-{i}", reading(0.0))], 0.0)
    sources: Counter[str] = Counter()
    for i in range(10_000):
        outcome = pure.batch([(f"made-up-{i}", reading(0.0))], 0.1 * i)
        sources.update(source for _, source in outcome.sampled)
    outcome = pure.batch([("pump-3", b"garbage"), *[(f"made-up-{i}", b"garbage") for i in range(99)]], 1_000.0)
    sources.update(source for _, source in outcome.sampled)
    assert set(sources) == {"device_limit", "pump-3", "not_json"}, "whoever is not known shares a place"
    assert sources["pump-3"] == 1
    outcome = pure.batch([("pump-3", reading(1_001.0))], 1_001.0)
    assert outcome.scored == 1
    record_property("observed", f"{sources['device_limit']} samples of 10,000 made-up devices")


@pytest.mark.fault(
    fault="a flood and garbage through a real agent and broker",
    expected="both are told in the status and by the commands; others are scored; a release works",
)
def test_the_operator_is_told_and_can_release(broker: Mosquitto, tmp_path: Path, record_property: Observe) -> None:
    limits = "[limits]\ndevice_rate = 5\ndevice_burst = 50\nquarantine_after = 50\n"
    with surrounded(broker, tmp_path / "agent", limits) as among:
        for i in range(300):
            among.publisher.send("plant/flood/telemetry", GOOD)
            among.publisher.send("plant/broken/telemetry", b"\x00garbage")
            if i % 10 == 0:
                among.publisher.send(f"plant/pump-{i}/telemetry", GOOD)
        running, config = among.running, among.running.config
        running.until(lambda: among.counters().get("received") == 630, "all have arrived")
        running.until(lambda: among.restricted() == {"flood": "rate_limited", "broken": "quarantined"}, "both are told")
        counters, status = among.counters(), running.status()
        assert (status["rate_limited"], status["quarantined"]) == (1, 1)
        assert counters["scored"] + counters["dead_letters"] == 630
        assert 30 + 50 <= counters["scored"] <= 30 + 50 + 5 * 25
        assert any("limits.device_rate" in problem for problem in status["problems"])
        assert any("vedette-agent quarantine" in problem for problem in status["problems"])
        listed = json.loads(quarantine(config, "list", "--json"))
        assert {one["device"]: one["state"] for one in listed} == {"flood": "rate_limited", "broken": "quarantined"}
        assert "broken: in quarantine for not_json" in command(config, "status").stdout
        samples = json.loads(command(config, "outbox", "--json", "--limit", "1000").stdout)["dead"]
        by_source = Counter(letter["source"] for letter in samples)
        assert by_source["flood"] <= 20
        assert "is listened to again" in quarantine(config, "release", "broken")
        running.until(lambda: "broken" not in among.restricted(), "released")
        before = among.scored()
        among.publisher.publish("plant/broken/telemetry", GOOD)
        running.until(lambda: among.scored() > before, "listened to again")
        assert "is not in quarantine" in quarantine(config, "release", "broken")
    record_property("observed", f"{counters['dead_by_reason']}, {counters['scored']} scored")


@pytest.mark.fault(
    fault="a backlog of 20,000 small and 1,500 large messages (90 MiB) that the broker sends without regard to the "
    "receive maximum",
    expected="all have one fate, and memory grows by less than 32 MiB",
)
def test_a_backlog_does_not_grow_memory(tmp_path: Path, record_property: Observe) -> None:
    if MOSQUITTO is None:
        pytest.skip(NO_MOSQUITTO)
    broker = Mosquitto(tmp_path / "broker")
    broker.start()
    small, large = 20_000, 1_500
    config = configure(tmp_path / "agent", broker.url)
    config.write_text(config.read_text().replace("[[streams]]", "[limits]\ndevice_rate = 0\n[[streams]]", 1))
    try:
        with agent(config) as running, device(broker.port) as publisher:
            running.receiving()
            for i in range(200):
                publisher.publish(f"plant/pump-{i}/telemetry", GOOD)
            among = Surrounded(running, publisher, broker.port)
            running.until(lambda: among.scored() == 200, "warm")
            usual = among.peak_megabytes()
            assert running.stop() == 0
        padding = "x" * 60_000
        with device(broker.port) as publisher:
            for i in range(large):
                publisher.publish(f"plant/pump-{i % 200}/telemetry", f'{{"vibration": 2.5, "padding": "{padding}"}}')
            for i in range(small):
                # to wait for each would take minutes, and to wait for the last one longer than a publisher waits
                (publisher.publish if i % 500 == 499 else publisher.send)(f"plant/pump-{i % 200}/telemetry", GOOD)
        with agent(config) as running, device(broker.port) as publisher:
            among = Surrounded(running, publisher, broker.port)
            wanted = small + large
            for share in range(10):  # in parts, each with a deadline of its own
                running.until(
                    partial(all_there, among, wanted * (share + 1) // 10), f"{share} tenths: {among.counters()}"
                )
            counters, peak = among.counters(), among.peak_megabytes()
            assert counters["scored"] + counters.get("duplicates", 0) == wanted
            assert peak - usual < 32.0, f"{usual:.0f} MiB before, {peak:.0f} MiB while the backlog was worked off"
    finally:
        broker.kill()
    record_property("observed", f"{wanted} readings scored, {peak - usual:.0f} MiB more than usual")
