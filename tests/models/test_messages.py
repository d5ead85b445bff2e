from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.agent.alerts import alert
from vedette_models.messages import (
    MAX_BYTES,
    SEVERITIES,
    VERSION,
    Alert,
    ChannelReason,
    Committed,
    Counters,
    DeclaredLoss,
    Delivery,
    MessageError,
    Receipt,
    Report,
    Row,
    Status,
    from_bytes,
    to_bytes,
)

bounded = settings(deadline=None, derandomize=True)
text = st.text(st.characters(blacklist_categories=["Cs"]), max_size=30)
number = st.floats(allow_nan=False, allow_infinity=False)

ALERT = alert(
    id="g1/a1/alerts/7",
    device="pump 3",
    channels=(ChannelReason("vibration", 4.1, 1.2, 2.0, 0.71, unit="mm/s"),),
)
MESSAGES = [
    ALERT,
    Report(1.7e9, (DeclaredLoss("alerts", "a1", 3, 9, "the outbox was full"),), text="words"),
    Delivery((Row("a1", 7, msgspec.Raw(to_bytes(ALERT))),)),
    Receipt((Committed("alerts", "a1", 7, (9, 11)), Committed("reports", "a2", 0))),
    Status("g1", True, time=1.7e9, counters=Counters(received=5), problems=("disk is full",)),
    Status("g1", False),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_a_message_comes_back_as_it_went(message: msgspec.Struct) -> None:
    data = to_bytes(message)
    assert to_bytes(from_bytes(type(message), data)) == data
    if not isinstance(message, Delivery):  # its rows hold raw bytes, which are equal only by content
        assert from_bytes(type(message), data) == message


def test_a_row_carries_its_body_untouched() -> None:
    delivery = from_bytes(Delivery, to_bytes(MESSAGES[2]))
    assert from_bytes(Alert, delivery.rows[0].body) == ALERT


@bounded
@given(device=text, reason=text, score=number, severity=st.sampled_from(SEVERITIES), revision=st.integers(1, 2**53))
def test_any_alert_comes_back(device: str, reason: str, score: float, severity: str, revision: int) -> None:
    alert = msgspec.structs.replace(
        ALERT, device=device, reason=reason, score=score, severity=severity, revision=revision
    )
    assert from_bytes(Alert, to_bytes(alert)) == alert


def test_unknown_fields_are_ignored_and_missing_ones_filled_in() -> None:
    status = from_bytes(Status, b'{"gateway":"g1","online":true,"of_tomorrow":[1,{}]}')
    assert status == Status("g1", True)


@pytest.mark.parametrize("kind", [Delivery, Receipt, Status])
def test_a_newer_version_is_refused_by_name(kind: type[msgspec.Struct]) -> None:
    example = next(message for message in MESSAGES if isinstance(message, kind))
    fields = msgspec.json.decode(to_bytes(example))
    with pytest.raises(MessageError, match=f"{kind.__name__}: version {VERSION + 1}.*update"):
        from_bytes(kind, msgspec.json.encode({**fields, "v": VERSION + 1}))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"[]",
        b"{",
        b"\xff\xfe",
        b'{"gateway":1,"online":true}',
        b'{"online":true}',
        b'{"gateway":"g","online":"yes"}',
        b'{"gateway":"g","online":true,"time":NaN}',
        b'{"gateway":"g","online":true,"problems":' + b"[" * 5_000 + b"]" * 5_000 + b"}",
    ],
)
def test_bytes_that_are_no_message_are_refused(data: bytes) -> None:
    with pytest.raises(MessageError, match="Status"):
        from_bytes(Status, data)


def test_a_wrong_word_is_refused() -> None:
    for field in ("state", "severity"):
        fields = {**msgspec.json.decode(to_bytes(ALERT)), field: "whatever"}
        with pytest.raises(MessageError, match=field):
            from_bytes(Alert, msgspec.json.encode(fields))


@bounded
@given(st.binary(max_size=200))
def test_any_bytes_are_a_message_or_refused(data: bytes) -> None:
    for kind in (Alert, Delivery, Receipt, Status, Report):
        try:
            from_bytes(kind, data)
        except MessageError:
            continue


def test_what_is_too_large_is_refused_unread() -> None:
    data = to_bytes(Status("g1", True, reason="x" * MAX_BYTES))
    with pytest.raises(MessageError, match=str(MAX_BYTES)):
        from_bytes(Status, data)
