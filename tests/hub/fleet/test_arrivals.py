"""Whatever a gateway sends is a status, a row, or kept as unparsed; nothing raises."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.hub.gateway import alert, row
from vedette_hub.fleet.arrivals import RowArrival, StatusArrival, UnparsedArrival, parse
from vedette_models import topics
from vedette_models.messages import Activation, Damage, DeclaredLoss, Delivery, Report, Row, Status, to_bytes


def delivery(*rows: Row) -> bytes:
    return to_bytes(Delivery(rows))


def test_a_delivery_becomes_its_rows() -> None:
    found = parse(topics.gateway_up("line 3/gw", "alerts"), delivery(row(1, alert(gateway="line 3/gw")), row(2, b"{}")))
    assert [type(arrival) for arrival in found] == [RowArrival, RowArrival]
    good, bad = found
    assert isinstance(good, RowArrival)
    assert isinstance(bad, RowArrival)
    assert (good.gateway, good.priority, good.epoch, good.sequence) == ("line 3/gw", "alerts", "e1", 1)
    assert good.content == alert(gateway="line 3/gw")
    assert bad.content is None
    assert "Alert" in bad.error


def test_a_status_keeps_whether_it_was_retained() -> None:
    payload = to_bytes(Status("gw-1", online=True))
    (found,) = parse(topics.gateway_up("gw-1", "status"), payload, retained=True)
    assert isinstance(found, StatusArrival)
    assert found.retained


def test_a_cleared_status_and_a_live_stream_are_nothing() -> None:
    assert parse(topics.gateway_up("gw-1", "status"), b"") == []
    assert parse(topics.gateway_up("gw-1", "live"), b"anything") == []


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (to_bytes(alert(gateway="other")), "on the topic of"),
        (to_bytes(alert(revision=0)), "revision"),
        (to_bytes(alert(revision=2**60)), "revision"),
        (to_bytes(alert(id="")), "id: empty"),
        (to_bytes(alert(id="a\n")), "control characters"),
        (to_bytes(alert(device="x" * 257)), "device: 257 characters"),
        (b'{"id": 3}', "Alert"),
        (b'"text"', "Alert"),
        (msgspec.json.encode({**msgspec.to_builtins(alert()), "severity": "mild"}), "severity"),
        (msgspec.json.encode({**msgspec.to_builtins(alert()), "v": 2, "severity": None}), "severity"),
    ],
)
def test_a_row_that_is_no_alert_keeps_its_number_and_says_why(body: bytes, why: str) -> None:
    (found,) = parse(topics.gateway_up("gw-1", "alerts"), delivery(row(7, body)))
    assert isinstance(found, RowArrival)
    assert found.content is None
    assert found.sequence == 7
    assert why in found.error


def test_fields_of_a_newer_agent_are_ignored() -> None:
    body = msgspec.json.encode({**msgspec.to_builtins(alert()), "mood": "good"})
    (found,) = parse(topics.gateway_up("gw-1", "alerts"), delivery(row(1, body)))
    assert isinstance(found, RowArrival)
    assert found.content == alert()
    assert found.raw == body


@pytest.mark.parametrize("loss", [(0, 3), (4, 3), (1, 2**60)])
def test_an_impossible_loss_is_no_report(loss: tuple[int, int]) -> None:
    report = Report(1.0, (DeclaredLoss("alerts", "e1", *loss, "disk"),))
    (found,) = parse(topics.gateway_up("gw-1", "reports"), delivery(row(1, report)))
    assert isinstance(found, RowArrival)
    assert found.content is None


_LOSS, _ACTIVATION = DeclaredLoss("alerts", "e1", 1, 1, "disk"), Activation("pump", "", 1, "missing")


@pytest.mark.parametrize(
    ("report", "what"),
    [
        (Report(1.0, losses=(_LOSS,) * 201), "201 losses"),
        (Report(1.0, damages=(Damage(1.0, "flash", "e1"),) * 21), "21 damages"),
        (Report(1.0, damages=(Damage(1.0, "flash", "e1", ("e1",) * 17),)), "17 epochs of a damage"),
        (Report(1.0, activations=(_ACTIVATION,) * 201), "201 activations"),
        (Report(1.0, text="x" * 131_072), "at most 131072"),
    ],
)
def test_a_report_that_says_more_than_any_agent_does_is_no_report(report: Report, what: str) -> None:
    (found,) = parse(topics.gateway_up("gw-1", "reports"), delivery(row(1, report)))
    assert isinstance(found, RowArrival)
    assert found.content is None
    assert what in found.error


@pytest.mark.parametrize(
    ("topic", "payload"),
    [
        ("vedette/v1/gw/gw-1/up/alerts", b"\xff\xfe"),
        ("vedette/v1/gw/gw-1/up/alerts", b"[]"),
        ("vedette/v1/gw/gw-1/up/alerts", b'{"rows":[["e1",0,{}]],"v":1}'),
        ("vedette/v1/gw/gw-1/up/alerts", b'{"rows":[["",1,{}]],"v":1}'),
        ("vedette/v1/gw/gw-1/up/alerts", b'{"rows":[],"v":99}'),
        ("vedette/v1/gw/gw-1/up/alerts", b"[" * 100_000),
        ("vedette/v1/gw/gw-1/up/alerts", b" " * 300_000),
        ("vedette/v1/gw/gw-1/up/status", to_bytes(Status("other", online=True))),
        ("vedette/v1/gw/gw-1/up/samples", b"{}"),
        ("vedette/v1/gw//up/alerts", b"{}"),
        ("vedette/v1/gw/gw%2D1/up/alerts", delivery(row(1, alert()))),
        ("vedette/v1/gw/gw%311/up/status", to_bytes(Status("gw11", online=True))),
        ("vedette/v1/gw/%0A/up/alerts", b"{}"),
        ("elsewhere", b"{}"),
    ],
)
def test_a_message_that_is_nothing_we_know_is_kept_as_unparsed(topic: str, payload: bytes) -> None:
    (found,) = parse(topic, payload)
    assert isinstance(found, UnparsedArrival)
    assert found.error
    assert found.raw == payload


subjects = st.sampled_from(["alerts", "reports", "status", "other"])
some_topics = st.text(max_size=30) | subjects.map(lambda subject: topics.gateway_up("g", subject))
keys = st.sampled_from(["rows", "v", "gateway", "online"])
documents = st.recursive(
    st.none() | st.integers() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner),
    max_leaves=6,
)


@settings(derandomize=True, max_examples=150, deadline=None)
@given(some_topics, st.binary(max_size=80) | documents.map(msgspec.json.encode))
def test_nothing_raises(topic: str, payload: bytes) -> None:
    parse(topic, payload)
