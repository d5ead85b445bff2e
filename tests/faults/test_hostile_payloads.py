"""Payloads that no device would send: each becomes a counted dead letter or what it says, and the others are scored."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.brokers import MOSQUITTO, Mosquitto
from tests.conftest import NO_MOSQUITTO
from tests.faults.hostile_agent import Surrounded, surrounded

KIB = 1024
SCORED = "scored"


class _Command:
    """What a careless reader would run."""

    def __init__(self, argument: str) -> None:
        self.argument = argument

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return exec, (self.argument,)


PAYLOADS: dict[str, tuple[bytes, str]] = {
    "random bytes": (bytes(range(256)) * 4, "not_json"),
    "an empty payload": (b"", "not_json"),
    "blanks": (b" \t\n" * 1_000, "not_json"),
    "half an object": (b'{"vibration": 2.', "not_json"),
    "text after an object": (b'{"vibration": 2.5} {"vibration": 2.5}', "not_json"),
    "a byte order mark": (b'\xef\xbb\xbf{"vibration": 2.5}', "not_json"),
    "UTF-16": ('{"vibration": 2.5}'.encode("utf-16"), "not_json"),
    "NUL bytes": (b"\0" * 4_096, "not_json"),
    "a name that is not UTF-8": (b'{"\xff\xfe": 1, "vibration": "\xc3\x28"}', "not_json"),
    "a pickle that runs code": (pickle.dumps(_Command("raise SystemExit(3)")), "not_json"),
    "XML with an entity": (b'<!DOCTYPE x [<!ENTITY a "aaaa">]><x>&a;</x>', "not_json"),
    "one byte too large": (b'{"vibration": 2.5, "x": "' + b"x" * (64 * KIB - 26) + b'"}', "too_large"),
    "1 MiB": (b'{"x": "' + b"x" * KIB * KIB + b'"}', "too_large"),
    "10,000 arrays in each other": (b"[" * 10_000 + b"]" * 10_000, "too_deep"),
    "10,000 arrays that never end": (b"[" * 10_000, "too_deep"),
    "10,000 objects in each other": (b'{"a":' * 10_000 + b"1" + b"}" * 10_000, "too_deep"),
    "depth beside a sound value": (b'{"vibration": 2.5, "x": ' + b"[" * 99 + b"]" * 99 + b"}", "too_deep"),
    "a text for a number": (b'{"vibration": "2.5"}', "wrong_type"),
    "an object for a number": (b'{"vibration": {"value": {"a": 1}}}', "wrong_type"),
    "an array for a number": (b'{"vibration": [2.5]}', "wrong_type"),
    "60 KiB of text for a number": (b'{"vibration": "' + b"9" * 60 * KIB + b'"}', "wrong_type"),
    "a boolean for a time": (b'{"vibration": 2.5, "ts": true}', "wrong_type"),
    "NaN": (b'{"vibration": NaN}', "non_finite"),
    "Infinity": (b'{"vibration": -Infinity}', "non_finite"),
    "1e999": (b'{"vibration": 1e999}', "non_finite"),
    "an integer of 5,000 digits": (b'{"vibration": ' + b"9" * 5_000 + b"}", "non_finite"),
    "an integer of 60,000 digits": (b'{"vibration": ' + b"1" * 60_000 + b"}", "non_finite"),
    "5,000 names": (json.dumps({f"{i:x}": 0 for i in range(5_000)}).encode(), "no_channel"),
    "1,001 readings": (json.dumps([{"vibration": 2.5}] * 1_001).encode(), "too_many_readings"),
    "an empty array": (b"[]", "no_channel"),
    "a time that is a story": (b'{"vibration": 2.5, "ts": "' + b"long ago " * 1_000 + b'"}', "no_time"),
    "a time of 5,000 digits": (b'{"vibration": 2.5, "ts": ' + b"9" * 300 + b"}", "no_time"),
    "a time in 1901": (b'{"vibration": 2.5, "ts": -2177452800}', "too_old"),
    "a time in the year 5000": (b'{"vibration": 2.5, "ts": 95617584000}', SCORED),
    "one name twice": (b'{"vibration": 1e9, "vibration": 2.5, "ts": null, "ts": null}', SCORED),
    "the largest number": (b'{"vibration": 1.7976931348623157e308}', SCORED),
    "the smallest number": (b'{"vibration": 5e-324}', SCORED),
    "minus nothing": (b'{"vibration": -0.0}', SCORED),
    "a sequence number of 300 digits": (b'{"vibration": 2.5, "seq": ' + b"9" * 300 + b"}", SCORED),
    "lone surrogates": (b'{"vibration": 2.5, "\\ud800": "\\udfff"}', "not_json"),
}
EXPECTED = {SCORED: "scored"}


@pytest.fixture(scope="module")
def among(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Surrounded]:
    if MOSQUITTO is None:
        pytest.skip(NO_MOSQUITTO)
    broker = Mosquitto(tmp_path_factory.mktemp("broker"))
    broker.start()
    try:
        with surrounded(broker, tmp_path_factory.mktemp("agent"), "[limits]\nquarantine_after = 0") as made:
            yield made
    finally:
        broker.kill()


def row(name: str, reason: str) -> Any:
    expected = EXPECTED.get(reason, f"a dead letter, {reason}") + "; the others are scored"
    return pytest.param(name, id=name, marks=pytest.mark.fault(fault=f"payload: {name}", expected=expected))


@pytest.mark.parametrize("name", [row(name, reason) for name, (_, reason) in PAYLOADS.items()])
def test_a_hostile_payload(among: Surrounded, name: str, record_property: Callable[[str, object], None]) -> None:
    payload, reason = PAYLOADS[name]
    count = among.scored if reason == SCORED else (lambda: among.dead(reason))
    before, counters = count(), among.counters()
    among.publisher.publish("plant/hostile/telemetry", payload)
    among.running.until(lambda: count() > before, f"{name}: {reason}; before: {counters}, now: {among.counters()}")
    among.still_scores()
    assert among.running.process.poll() is None
    record_property("observed", f"{reason}, agent goes on")


TOPICS = {
    "150 long levels": ("hall/" + "/".join(["x" * 10] * 150), "bad_topic"),
    "60,000 characters": ("hall/" + "x" * 60_000, "bad_topic"),
    "characters that do not print": ("plant/\u202e\u2066/telemetry", "no_device"),
    "a device of 500 characters": (f"plant/{'d' * 500}/telemetry", "no_device"),
    "a device without a name": ("plant//telemetry", "no_device"),
    "the agent's own topic": ("vedette/gw/sound/alert/anomaly", ""),
}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(
            name,
            marks=pytest.mark.fault(
                fault=f"topic: {name}", expected=f"a dead letter, {reason}" if reason else "never read as telemetry"
            ),
        )
        for name, (_, reason) in TOPICS.items()
    ],
)
def test_a_hostile_topic(among: Surrounded, name: str, record_property: Callable[[str, object], None]) -> None:
    topic, reason = TOPICS[name]
    before, counters = among.dead(reason), among.counters()
    among.publisher.publish(topic, json.dumps({"vibration": 2.5, "who": "x"}))
    if reason:
        among.running.until(lambda: among.dead(reason) > before, f"{name}: {counters}, now {among.counters()}")
    among.still_scores()
    if not reason:
        assert among.counters()["scored"] == counters["scored"] + 1, "only the sound reading"
    record_property("observed", reason or "not read")


NAMES: dict[str, bytes] = {
    "a name of 10,000 characters": b'"' + b"d" * 10_000 + b'"',
    "a name that does not print": b'"\\u0000\\u001b[31m"',
    "an empty name": b'""',
    "a lone surrogate": b'"\\ud800"',
    "an object": b"{}",
    "no name": b"null",
}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(
            name, marks=pytest.mark.fault(fault=f"device in a payload: {name}", expected="a dead letter, no new device")
        )
        for name in NAMES
    ],
)
def test_a_hostile_name_in_a_payload(
    among: Surrounded, name: str, record_property: Callable[[str, object], None]
) -> None:
    devices, before = among.running.status()["devices"], among.counters()["dead_letters"]
    among.publisher.publish("hall/1", b'{"vibration": 2.5, "who": ' + NAMES[name] + b"}")
    among.running.until(lambda: among.counters()["dead_letters"] > before, name)
    among.still_scores()
    assert among.running.status()["devices"] <= devices + 1, "the sound device at most"
    record_property("observed", "a dead letter")


@pytest.mark.fault(
    fault="a packet larger than we take (2 MiB)", expected="kept from us by the broker; the others are scored"
)
def test_a_packet_that_is_too_large(among: Surrounded, record_property: Callable[[str, object], None]) -> None:
    received = among.counters()["received"]
    among.publisher.publish("plant/hostile/telemetry", bytes(2 * KIB * KIB))
    among.still_scores()
    assert among.counters()["received"] == received + 1
    record_property("observed", "not delivered, agent goes on")


def test_the_dead_letters_say_what_was_seen_and_print_safely(among: Surrounded) -> None:
    from tests.agent.agent_process import command

    among.publisher.publish("plant/hostile/telemetry", b'\x1b[2J\x07{"vibration"')
    among.still_scores()
    shown = command(Path(among.running.config), "outbox", "--limit", "200").stdout
    assert "dead letter" in shown
    assert "\x1b" not in shown
    assert "\x07" not in shown
