"""Manifests: a gateway follows what its hub signed for it, once, in order, in time; everything else has its reason."""

from __future__ import annotations

import base64
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nacl.signing import SigningKey

from vedette_models import manifest
from vedette_models.keys import key_ring
from vedette_models.manifest import CLOCK_TOLERANCE, MAX_BYTES, Manifest, Release, next_counter, sign, verify
from vedette_models.rejection import ManifestRejected, Rejection

KEY, OLD_KEY, STRANGER = (SigningKey(bytes([i]) * 32) for i in range(3))
RING = key_ring(KEY.verify_key, OLD_KEY.verify_key)
ISSUED, NOW, EXPIRES = 1_800_000_000.0, 1_800_000_060.0, 1_800_604_800.0
RELEASE = Release(version=7, detector="isolation_forest", sha256="ab" * 32, bytes=52_000)
ORDER = Manifest("gw 1", 5, ISSUED, EXPIRES, {"pump": RELEASE}, {"pump": Release(6, "lof", "cd" * 32, 4_000)})


def signed(key: SigningKey = KEY, **changes: Any) -> bytes:
    return sign(msgspec.structs.replace(ORDER, **changes), key)


def verified(data: bytes, **known: Any) -> Manifest:
    return verify(data, RING, "gw 1", **{"now": NOW, "last_counter": 4, "nonce": "n-2", **known})


def envelope(data: bytes, **changes: Any) -> bytes:
    return json.dumps({**json.loads(data), **changes}).encode()


def resigned(body: bytes, version: int = 1) -> bytes:
    """Bytes signed by the hub's key, whatever they say."""
    signature = base64.b64encode(KEY.sign(b"vedette manifest %d\n" % version + body).signature).decode()
    key = json.loads(signed())["key"]
    return b'{"v":%d,"key":"%s","signature":"%s","manifest":%s}' % (version, key.encode(), signature.encode(), body)


def body(**changes: Any) -> bytes:
    """The inside of the manifest as JSON, with some fields replaced, or left out where the value is Ellipsis."""
    inside = {**json.loads(msgspec.json.encode(ORDER)), **changes}
    return json.dumps({key: value for key, value in inside.items() if value is not ...}).encode()


def test_what_the_hub_signed_is_followed() -> None:
    assert verified(signed()) == ORDER
    assert verified(signed(OLD_KEY)) == ORDER
    assert verified(signed(), last_counter=0) == ORDER
    assert signed() == signed()
    assert len(signed()) < 1_000


def test_a_rollback_is_a_higher_counter_with_an_older_model() -> None:
    back = verified(signed(counter=6, releases=ORDER.previous, previous=ORDER.releases), last_counter=5)
    assert back.releases["pump"].version == 6


def test_fields_of_a_newer_hub_are_ignored() -> None:
    assert verified(resigned(body(remark="new"))) == ORDER


def test_an_echoed_nonce_stands_in_for_a_lost_counter_and_a_wrong_clock() -> None:
    echo = signed(nonce="n-2")
    assert verified(echo, last_counter=None).counter == 5
    assert verified(echo, now=EXPIRES + 1e8).counter == 5
    assert verified(echo, now=0.0).counter == 5
    assert verified(signed(nonce="n-1")).counter == 5, "an echo of an earlier nonce is no fault by itself"


def test_an_echo_does_not_help_an_older_counter() -> None:
    with pytest.raises(ManifestRejected) as refused:
        verified(signed(nonce="n-2"), last_counter=5)
    assert refused.value.reason is Rejection.REPLAYED


HOSTILE: dict[str, tuple[bytes, dict[str, Any], Rejection]] = {
    "nothing": (b"", {}, Rejection.MALFORMED),
    "no JSON": (b"\x80\x04.", {}, Rejection.MALFORMED),
    "an array": (b"[]", {}, Rejection.MALFORMED),
    "deep JSON": (b"[" * 50_000, {}, Rejection.MALFORMED),
    "not UTF-8": (b'{"v":1,"key":"\xff"}', {}, Rejection.MALFORMED),
    "too many bytes": (b" " * (MAX_BYTES + 1), {}, Rejection.TOO_LARGE),
    "truncated": (signed()[:-10], {}, Rejection.MALFORMED),
    "trailing bytes": (signed() + b"x", {}, Rejection.MALFORMED),
    "no signature": (body(), {}, Rejection.MALFORMED),
    "a signature that is no base64": (envelope(signed(), signature="%%%"), {}, Rejection.MALFORMED),
    "a signature that is no ASCII": (envelope(signed(), signature="ä" * 88), {}, Rejection.MALFORMED),
    "a short signature": (envelope(signed(), signature="AAAA"), {}, Rejection.MALFORMED),
    "a newer format": (resigned(body(), version=2), {}, Rejection.NEWER_FORMAT),
    "a lower format": (envelope(signed(), v=0), {}, Rejection.BAD_SIGNATURE),
    "a stranger's key": (signed(STRANGER), {}, Rejection.UNKNOWN_KEY),
    "a stranger under our key's name": (
        envelope(signed(STRANGER), key=json.loads(signed())["key"]),
        {},
        Rejection.BAD_SIGNATURE,
    ),
    "a digit changed": (signed().replace(b'"version":7', b'"version":8'), {}, Rejection.BAD_SIGNATURE),
    "spaces added": (envelope(signed()), {}, Rejection.BAD_SIGNATURE),
    "another's signature": (
        envelope(signed(), signature=json.loads(signed(counter=9))["signature"]),
        {},
        Rejection.BAD_SIGNATURE,
    ),
    "made for another gateway": (signed(gateway="gw 2"), {}, Rejection.FOREIGN_GATEWAY),
    "a replay": (signed(), {"last_counter": 5}, Rejection.REPLAYED),
    "an older one": (signed(), {"last_counter": 6}, Rejection.ROLLED_BACK),
    "a lost counter": (signed(), {"last_counter": None}, Rejection.COUNTER_LOST),
    "a lost counter and an old echo": (signed(nonce="n-1"), {"last_counter": None}, Rejection.COUNTER_LOST),
    "a lost counter and no nonce at all": (signed(), {"last_counter": None, "nonce": ""}, Rejection.COUNTER_LOST),
    "expired": (signed(), {"now": EXPIRES}, Rejection.EXPIRED),
    "expired, with an old echo": (signed(nonce="n-1"), {"now": EXPIRES}, Rejection.EXPIRED),
    "a clock far behind": (signed(), {"now": ISSUED - CLOCK_TOLERANCE - 1}, Rejection.NOT_YET_ISSUED),
    "signed nonsense": (resigned(b"[1]"), {}, Rejection.MALFORMED),
    "a field missing": (resigned(body(counter=...)), {}, Rejection.MALFORMED),
    "a counter as text": (resigned(body(counter="5")), {}, Rejection.MALFORMED),
    "a negative counter": (resigned(body(counter=-5)), {}, Rejection.MALFORMED),
    "a counter beyond all counting": (resigned(body(counter=2**70)), {}, Rejection.MALFORMED),
    "an expiry before its issue": (resigned(body(expires=ISSUED)), {}, Rejection.MALFORMED),
    "a hash that is a path": (
        resigned(body(releases={"pump": {**msgspec.to_builtins(RELEASE), "sha256": "../" * 21 + "x"}})),
        {},
        Rejection.MALFORMED,
    ),
    "a hash and more": (
        resigned(body(releases={"pump": {**msgspec.to_builtins(RELEASE), "sha256": "ab" * 32 + "\n"}})),
        {},
        Rejection.MALFORMED,
    ),
    "a size of nothing": (
        resigned(body(releases={"pump": {**msgspec.to_builtins(RELEASE), "bytes": 0}})),
        {},
        Rejection.MALFORMED,
    ),
    "too many profiles": (
        resigned(body(releases={f"p{i}": msgspec.to_builtins(RELEASE) for i in range(65)})),
        {},
        Rejection.MALFORMED,
    ),
}


@pytest.mark.parametrize("attack", HOSTILE)
def test_what_is_not_to_be_followed_is_refused_with_its_reason(attack: str) -> None:
    data, known, reason = HOSTILE[attack]
    with pytest.raises(ManifestRejected) as refused:
        verified(data, **known)
    assert refused.value.reason is reason
    assert len(str(refused.value)) < 400


def test_the_attacks_are_told_apart() -> None:
    assert len({reason for _, _, reason in HOSTILE.values()}) == 11


def test_a_signature_cannot_be_moved_to_another_key_ring() -> None:
    with pytest.raises(ManifestRejected) as refused:
        verify(signed(), {}, "gw 1", now=NOW, last_counter=0)
    assert refused.value.reason is Rejection.UNKNOWN_KEY


def test_authenticity_is_told_apart_from_whether_to_follow() -> None:
    assert manifest.authentic(signed(gateway="gw 2", counter=1), RING).gateway == "gw 2"


@pytest.mark.parametrize(
    "changes",
    [
        {"counter": 0},
        {"expires": ISSUED},
        {"gateway": ""},
        {"releases": {"pump": Release(1, "lof", "nonsense", 1)}},
        {"releases": {"p" * 300: RELEASE}},
    ],
)
def test_the_hub_does_not_sign_what_no_gateway_would_follow(changes: dict[str, Any]) -> None:
    with pytest.raises(ManifestRejected):
        signed(**changes)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.integers(0, len(signed()) - 1), st.integers(0, 255), st.booleans())
def test_no_changed_byte_is_followed(place: int, byte: int, removed: bool) -> None:
    data = bytearray(signed())
    if removed:
        del data[place]
    else:
        data[place] = byte
    try:
        assert verified(bytes(data)) == ORDER, "only a change that changes nothing"
    except ManifestRejected:
        assert bytes(data) != signed()


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.binary(max_size=300))
def test_any_bytes_are_refused(data: bytes) -> None:
    for attempt in (data, resigned(data)):
        with pytest.raises(ManifestRejected):
            verified(attempt)


@given(st.integers(0, 2**40), st.lists(st.integers(0, 2**40), max_size=5))
@settings(max_examples=50, deadline=None, derandomize=True)
def test_the_next_counter_is_above_all_that_is_known(own: int, reported: list[int]) -> None:
    assert next_counter(own, reported) == max([own, *reported]) + 1
