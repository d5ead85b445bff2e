"""Every shape of payload, every fault: what becomes a reading, what a dead letter, and that nothing else happens."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vedette_agent.config import Limits, Stream, TimePolicy, load
from vedette_agent.mqtt.message import Message
from vedette_agent.reading.decoding.decoder import Decoded, Decoder
from vedette_agent.reading.decoding.payload import never_typed
from vedette_agent.reading.devices import DeviceTable
from vedette_models.profile import Channel, Profile

NOW = 1_700_000_000.0
CASES = sorted(path for path in (Path(__file__).parents[2] / "cases" / "decode").iterdir() if path.is_dir())


@dataclass
class Gateway:
    """A decoder with its tables."""

    streams: list[Stream]
    profiles: dict[str, Profile]
    time: TimePolicy = field(default_factory=TimePolicy)
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        self.tables = {name: DeviceTable(self.limits.max_devices) for name in self.profiles}
        self.decoder = Decoder(self.streams, self.profiles, self.time, self.limits, self.tables)

    def lines(self, messages: list[Message], chunk: int | None = None) -> list[dict[str, Any]]:
        """Readings and dead letters as a person would list them, in the order of the messages."""
        size = chunk or max(len(messages), 1)
        found: list[dict[str, Any]] = []
        for start in range(0, len(messages), size):
            part = self.decoder.decode(messages[start : start + size], NOW)
            found += [line | {"message": line["message"] + start} for line in self._listed(part)]
        return found

    def _listed(self, decoded: Decoded) -> list[dict[str, Any]]:
        lines = []
        for name, part in decoded.profiles.items():
            batch, names = part.batch, self.profiles[name].channel_names
            assert batch.values.shape == (len(batch), len(names))
            assert batch.values.dtype == batch.time.dtype == np.float64
            assert batch.values.flags.c_contiguous
            for row in range(len(batch)):
                values = {n: v for n, v in zip(names, batch.values[row].tolist(), strict=True) if not math.isnan(v)}
                line: dict[str, Any] = {
                    "message": int(batch.origin[row]),
                    "profile": name,
                    "device": self.tables[name].name(int(batch.device[row])),
                    "time": float(batch.time[row]),
                    "values": values,
                }
                quality, sequence = int(batch.quality[row]), part.sequence[row]
                optional = {"quality": quality, "sequence": sequence, "retained": bool(part.retained[row])}
                lines.append(line | {key: value for key, value in optional.items() if value})
        lines += [{"message": d.message, "dead": d.reason, "detail": d.detail} for d in decoded.dead]
        return sorted(lines, key=lambda line: line["message"])


def one_stream(names: str = "a b", /, **stream: Any) -> Gateway:
    profile = Profile("p", tuple(Channel(name) for name in names.split()))
    return Gateway([Stream(**{"topic": "plant/{device}", "profile": "p"} | stream)], {"p": profile})


def message(line: dict[str, Any]) -> Message:
    if "hex" in line:
        payload = bytes.fromhex(line["hex"])
    else:
        payload = line["text"].encode() if "text" in line else json.dumps(line["json"]).encode()
    return Message(line["topic"], payload, retained=line.get("retained", False))


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def outcome(case: Path, chunk: int | None = None) -> list[dict[str, Any]]:
    config = load(case / "agent.toml", {})
    gateway = Gateway(list(config.streams), config.profiles, config.time, config.limits)
    return gateway.lines([message(line) for line in read(case / "input.jsonl")], chunk)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case(case: Path) -> None:
    assert outcome(case) == read(case / "expected.jsonl")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@pytest.mark.parametrize("chunk", [1, 2, 5])
def test_any_split_into_batches_gives_the_same(case: Path, chunk: int) -> None:
    assert outcome(case, chunk) == read(case / "expected.jsonl")


def test_the_first_stream_that_matches_takes_a_message() -> None:
    gateway = Gateway(
        [Stream(topic="plant/{device}/x", profile="q"), Stream(topic="plant/{device}/#", profile="p")],
        {"p": Profile("p", (Channel("a"),)), "q": Profile("q", (Channel("a"),))},
    )
    found = gateway.lines([Message("plant/d/x", b"1"), Message("plant/d/y", b"2"), Message("plant/d/x", b"3")])
    assert [(line["profile"], line["values"]["a"]) for line in found] == [("q", 1.0), ("p", 2.0), ("q", 3.0)]


def test_two_streams_of_a_profile_keep_the_order_of_arrival_and_share_its_devices() -> None:
    profile = Profile("p", (Channel("a"), Channel("b")))
    gateway = Gateway(
        [Stream(topic="x/{device}", profile="p"), Stream(topic="y", profile="p", device="id", channels={"a": "A.v"})],
        {"p": profile},
    )
    found = gateway.lines(
        [Message("x/d", b'{"a":1}'), Message("y", b'{"id":"d","A":{"v":2}}'), Message("x/e", b'{"b":3}')]
    )
    assert [(line["device"], line["values"]) for line in found] == [("d", {"a": 1}), ("d", {"a": 2}), ("e", {"b": 3})]
    assert gateway.tables["p"].names() == ["d", "e"]


def test_a_channel_called_like_a_time_or_sequence_is_a_channel() -> None:
    found = one_stream("time seq").lines([Message("plant/d", b'{"time": 3, "seq": 4, "timestamp": 1700000001}')])
    assert found == [
        {"message": 0, "profile": "p", "device": "d", "time": NOW + 1, "values": {"time": 3.0, "seq": 4.0}}
    ]


def test_time_and_sequence_can_be_ignored() -> None:
    gateway = one_stream(time="none", sequence="none")
    assert gateway.lines([Message("plant/d", b'{"ts": "nonsense", "seq": 4, "a": 1}')]) == [
        {"message": 0, "profile": "p", "device": "d", "time": NOW, "values": {"a": 1.0}, "quality": 1}
    ]


@pytest.mark.parametrize(
    ("names", "channels"),
    [
        ("a b", {"a": "x", "b": "x"}),  # two channels at one place
        ("a b", {"a": "x", "b": "x.y"}),  # a value where an object leads on
        ("a b", {"a": "values.first"}),  # within what is searched anyway
        ("values b", {}),
        ("a b", {"a": 'quo"ted'}),
        ('a"b b', {}),
    ],
)
def test_places_that_cross_are_read_all_the_same(names: str, channels: dict[str, str]) -> None:
    gateway = one_stream(names, channels=channels)
    first, second = names.split()
    document: dict[str, Any] = {"values": {"first": 1, second: 2}, "x": 1, 'quo"ted': 1, second: 2}
    if first not in channels:
        document[first] = 1
    if channels.get(second) == "x.y":
        document["x"] = {"y": 2}
        assert gateway.lines([Message("plant/d", json.dumps(document).encode())])[0]["dead"] == "wrong_type"
        return
    (line,) = gateway.lines([Message("plant/d", json.dumps(document).encode())])
    assert line["values"] == {first: 1.0, second: 1.0 if channels.get(second) == "x" else 2.0}


def test_history_of_any_age_is_read_where_the_policy_says_so() -> None:
    gateway = one_stream()
    gateway.time = TimePolicy(max_age=None)
    gateway.__post_init__()
    assert gateway.lines([Message("plant/d", b'{"ts": "1969-07-20T20:17:40Z", "a": 1}')])[0]["time"] == -14_182_940.0


def test_a_bad_reading_gives_its_device_no_row() -> None:
    gateway = one_stream()
    payloads = [b"", b"{", b'{"c": 1}', b'{"a": "x"}', b'{"a": 1, "ts": "x"}', b'{"a": 1, "ts": 1}', b'{"a": 1e999}']
    assert len(gateway.lines([Message(f"plant/d{i}", payload) for i, payload in enumerate(payloads)])) == len(payloads)
    assert len(gateway.tables["p"]) == 0


def test_dead_letters_stand_in_the_order_of_the_messages_and_the_rest_keeps_its_columns() -> None:
    texts = [
        '{"a": 1, "ts": 1, "seq": 1}',
        "{",
        '{"a": 3, "b": 4, "seq": 3}',
        '{"a": 1, "ts": "x"}',
        '{"b": 5, "seq": 5}',
        "}",
    ]
    decoded = one_stream().decoder.decode([Message("plant/d", text.encode()) for text in texts], NOW)
    assert [(d.message, d.reason) for d in decoded.dead] == [
        (0, "too_old"),
        (1, "not_json"),
        (3, "no_time"),
        (5, "not_json"),
    ]
    part = decoded.profiles["p"]
    assert part.sequence == [3, 5]
    assert part.batch.origin.tolist() == [2, 4]
    assert np.array_equal(part.batch.values, np.array([[3, 4], [math.nan, 5]]), equal_nan=True)


def test_a_device_has_a_name_of_at_most_128_printing_characters() -> None:
    gateway = one_stream()
    names = ["ü" * 128, "ü" * 129, "a b", "a\tb", "a\u2028b", "a\u202eb"]
    found = gateway.lines([Message(f"plant/{name}", b'{"a": 1}') for name in names])
    assert [line.get("dead") for line in found] == [None, "no_device", None, "no_device", "no_device", "no_device"]


def test_a_forgotten_device_makes_room_for_another() -> None:
    gateway = one_stream()
    gateway.limits = Limits(max_devices=1)
    gateway.__post_init__()
    gateway.lines([Message("plant/d", b'{"a": 1}')])
    assert gateway.lines([Message("plant/e", b'{"a": 1}')])[0]["dead"] == "device_limit"
    gateway.tables["p"].forget("d")
    assert gateway.lines([Message("plant/e", b'{"a": 1}')])[0]["device"] == "e"


def test_a_fault_of_ours_costs_only_the_reading_it_is_about() -> None:
    class Broken(DeviceTable):
        def row(self, name: str) -> int | None:
            if name == "bad":
                raise RuntimeError("no")
            return super().row(name)

    gateway = one_stream()
    gateway.tables["p"] = Broken(10)
    messages = [Message(f"plant/{name}", b'{"a": 1}') for name in ("x", "bad", "y")]
    x, bad, y = gateway.lines([*messages, Message("plant/z", b'{"a": 1, "ts": 1}')])[:3]
    assert (x["device"], y["device"]) == ("x", "y")
    assert bad["dead"] == "internal"
    assert "RuntimeError in test_decoder.py" in bad["detail"]


def test_what_is_unexpected_while_reading_a_message_is_its_dead_letter(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise KeyError("x")

    monkeypatch.setattr("vedette_agent.reading.decoding.payload.read_carefully", broken)
    found = one_stream().lines([Message("plant/d", b"x"), Message("plant/d", b'{"a": 1}')])
    assert [line.get("dead") for line in found] == ["internal", None]


def test_details_are_short_and_fit_to_print() -> None:
    hostile = "\x1b[2J\u202e\n" * 2_000
    gateway = one_stream(device="id", topic="plant/+")
    payloads: list[Any] = [
        {"a": hostile},
        {"id": hostile, "a": 1},
        {hostile: 1},
        {hostile + str(i): 1 for i in range(9)},
    ]
    payloads += [{"a": {hostile: 1}, "id": 1}, {"id": "d", "a": 1, "ts": hostile}, {"id": [hostile], "a": 1}, hostile]
    messages = [Message("plant/x", json.dumps(payload).encode()) for payload in payloads]
    messages += [
        Message("plant/x", hostile.encode()),
        Message(hostile, b""),
        Message("plant/x", b'{"a": "' + b"\xff" * 999),
    ]
    found = gateway.lines(messages)
    assert len(found) == len(messages)
    for line in found:
        assert len(line["detail"]) < 400
        assert line["detail"].isprintable()


# Values that a device may put anywhere.
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8),
    st.sampled_from(["2023-11-14T22:13:20Z", NOW, 10**400, 1e308, "\x00", "d" * 129, 2**63, -(2**63) - 1]),
)  # fmt: skip
KEYS = st.sampled_from(["a", "b", "ts", "time", "timestamp", "seq", "values", "value", "id", "m", "x", ""])
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=6), max_leaves=20
)
PAYLOADS = JSON.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=40)
STREAMS = [
    {},
    {"topic": "plant/{device}/{channel}"},
    {"topic": "plant/#", "device": "id"},
    {"topic": "plant/#", "device": "m.id", "time": "m.ts", "sequence": "m.seq", "channels": {"a": "m.a", "b": "b"}},
    {"topic": "plant/#", "device": "id", "channels": {"a": "values.a.value"}},
]


@settings(max_examples=300, derandomize=True, deadline=None)
@given(st.lists(PAYLOADS, max_size=6), st.sampled_from(STREAMS), st.sampled_from(["a", "a b"]))
def test_whatever_arrives_is_a_reading_or_a_dead_letter(
    payloads: list[bytes], stream: dict[str, Any], names: str
) -> None:
    gateway = one_stream(names, **stream)
    topic = "plant/d/a" if "{channel}" in gateway.streams[0].topic else "plant/d"
    found = gateway.lines([Message(topic, payload) for payload in payloads])
    assert {line["message"] for line in found} == set(range(len(payloads)))
    for line in found:
        assert line.get("dead") != "internal", line
        assert all(math.isfinite(value) for value in line.get("values", {}).values())
        assert math.isfinite(line.get("time", 0))


@settings(max_examples=300, derandomize=True, deadline=None)
@given(PAYLOADS, st.sampled_from(STREAMS), st.sampled_from(["a", "a b"]))
def test_the_typed_and_the_careful_reader_agree(payload: bytes, stream: dict[str, Any], names: str) -> None:
    quick, careful = one_stream(names, **stream), one_stream(names, **stream)
    topic = "plant/d/a" if "{channel}" in quick.streams[0].topic else "plant/d"
    careful.decoder._routes[topic].reader._decode = never_typed
    assert quick.lines([Message(topic, payload)]) == careful.lines([Message(topic, payload)])


def test_mutated_payloads_never_raise() -> None:
    random = np.random.default_rng(1)
    seeds = [
        b'{"ts": 1700000000.5, "seq": 12, "a": 1.5, "b": -2e3, "x": {"y": [1, "\\u00e9"]}}',
        b'{"ts": "2023-11-14T22:13:20Z", "values": {"a": 1, "b": null}}',
        b'[{"ts": 1700000000, "a": 1}, {"ts": 1700000001, "values": {"b": true}}]',
    ]
    pieces = [
        b"{",
        b"}",
        b"[",
        b"]",
        b'"',
        b"\\",
        b",",
        b":",
        b"\xff",
        b"\x00",
        b"1e999",
        b"NaN",
        b"null",
        b"[" * 20,
        b'"a"',
    ]
    messages = []
    for i in range(6_000):
        payload = bytearray(seeds[i % len(seeds)])
        for _ in range(random.integers(1, 5)):
            at = int(random.integers(0, len(payload) + 1))
            payload[at : at + int(random.integers(0, 4))] = pieces[random.integers(len(pieces))]
        messages.append(Message("plant/d", bytes(payload)))
    found = one_stream().lines(messages)
    assert {line["message"] for line in found} == set(range(len(messages)))
    reasons = {line.get("dead") for line in found}
    assert "internal" not in reasons
    assert {None, "not_json", "wrong_type", "no_channel", "non_finite", "too_deep"} <= reasons


def test_a_deep_payload_is_refused_before_it_can_hurt() -> None:
    limits = Limits(payload_bytes=2**20)
    gateway = one_stream()
    gateway.limits = limits
    gateway.__post_init__()
    deep = [
        b"[" * 500_000,
        b'{"a":' * 100_000,
        b'{"x":' * 50_000 + b"1" + b"}" * 50_000,
        b'{"a":1,"x":"' + b'\\"[' * 300_000,
    ]
    found = gateway.lines([Message("plant/d", payload) for payload in deep])
    assert [line["dead"] for line in found] == ["too_deep", "too_deep", "too_deep", "not_json"]


def test_decoding_leaves_messages_and_earlier_results_alone() -> None:
    gateway = one_stream()
    messages = [Message("plant/d", b'{"a": 1, "ts": 1700000000}')]
    first = gateway.decoder.decode(messages, NOW).profiles["p"]
    kept = first.batch.values.copy()
    gateway.decoder.decode([Message("plant/d", b'{"a": 2}')], NOW)
    assert np.array_equal(first.batch.values, kept, equal_nan=True)
    assert messages == [Message("plant/d", b'{"a": 1, "ts": 1700000000}')]


def test_nothing_decodes_to_nothing() -> None:
    assert one_stream().decoder.decode([], NOW) == Decoded({}, [])
