"""Key statements: who is followed is what the key ring leads to, and nothing that anybody can make up changes that."""

from __future__ import annotations

import base64

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nacl.signing import SigningKey

from vedette_models.keys import KeyRing, key_id, key_ring
from vedette_models.rejection import ManifestRejected, Rejection
from vedette_models.succession import (
    MAX_STATEMENTS,
    KeyStatement,
    add_key,
    effective,
    followed,
    revoke_key,
    united,
)

A, B, C, D, EVE = (SigningKey(bytes([n]) * 32) for n in range(5))
RING = key_ring(A.verify_key)
NOW = 1.8e9


def adds(signer: SigningKey, new: SigningKey) -> KeyStatement:
    return add_key(signer, new.verify_key, NOW)


def revokes(signer: SigningKey, gone: SigningKey) -> KeyStatement:
    return revoke_key(signer, key_id(gone.verify_key), NOW)


def names(*keys: SigningKey) -> set[str]:
    return {key_id(key.verify_key) for key in keys}


def names_of(ring: KeyRing, *statements: KeyStatement) -> set[str]:
    return set(followed(ring, statements))


def test_a_key_that_a_followed_key_adds_is_followed_too_and_so_on() -> None:
    assert names_of(RING, adds(A, B)) == names(A, B)
    assert names_of(RING, adds(A, B), adds(B, C), adds(C, D)) == names(A, B, C, D)


def test_what_a_stranger_says_is_passed_over() -> None:
    assert names_of(RING, adds(EVE, B), revokes(EVE, A), adds(B, C)) == names(A)


def test_statements_count_in_their_order() -> None:
    assert names_of(RING, adds(B, C), adds(A, B)) == names(A, B)


def test_the_old_key_counts_until_it_is_revoked() -> None:
    assert names_of(RING, adds(A, B), revokes(B, A)) == names(B)


def test_a_revoked_key_says_nothing_any_more_and_does_not_come_back() -> None:
    assert names_of(RING, adds(A, B), revokes(B, A), adds(A, EVE), adds(B, A)) == names(B)


def test_what_a_revoked_key_had_added_falls_with_it_but_not_who_revoked_it() -> None:
    assert names_of(RING, adds(A, EVE), adds(A, B), adds(EVE, D), revokes(B, A)) == names(B)
    assert names_of(RING, adds(A, B), adds(B, C), adds(A, D), revokes(C, A)) == names(B, C)


def test_a_spare_key_in_the_ring_can_revoke_the_one_that_was_stolen() -> None:
    ring = key_ring(A.verify_key, D.verify_key)
    assert names_of(ring, adds(A, EVE), revokes(D, A)) == names(D)


def test_a_key_cannot_revoke_itself() -> None:
    with pytest.raises(ValueError, match="itself"):
        revokes(A, A)
    forged = _signed(A, b'{"issued":1.8e9,"revokes":"%s"}' % key_id(A.verify_key).encode())
    assert names_of(RING, forged) == names(A)


def test_a_renewed_ring_needs_no_statements() -> None:
    said = (adds(A, B), revokes(B, A))
    assert names_of(key_ring(B.verify_key), *said) == names(B)
    assert effective(key_ring(B.verify_key), said) == said[1:]
    assert effective(key_ring(C.verify_key), said) == ()


def test_what_is_kept_comes_first_and_nothing_twice() -> None:
    one, two, three = adds(A, B), adds(B, C), revokes(C, A)
    assert united((one, two), (one, three)) == (one, two, three)


def _signed(signer: SigningKey, body: bytes, prefix: bytes = b"vedette key statement 1\n") -> KeyStatement:
    signature = base64.b64encode(signer.sign(prefix + body).signature).decode()
    return KeyStatement(key_id(signer.verify_key), signature, msgspec.Raw(body))


KEY = base64.b64encode(bytes(B.verify_key))
BAD = {
    "another body": (
        KeyStatement(key_id(A.verify_key), adds(A, B).signature, adds(A, EVE).statement), Rejection.BAD_SIGNATURE
    ),
    "another signer": (
        KeyStatement(key_id(A.verify_key), adds(EVE, B).signature, adds(EVE, B).statement), Rejection.BAD_SIGNATURE
    ),
    "no signature": (KeyStatement(key_id(A.verify_key), "?", adds(A, B).statement), Rejection.BAD_SIGNATURE),
    "signed as a manifest": (
        _signed(A, b'{"issued":1.8e9,"adds":"%s"}' % KEY, b"vedette manifest 1\n"), Rejection.BAD_SIGNATURE
    ),
    "neither": (_signed(A, b'{"issued":1.8e9}'), Rejection.MALFORMED),
    "both": (_signed(A, b'{"issued":1.8e9,"adds":"%s","revokes":"0123456789abcdef"}' % KEY), Rejection.MALFORMED),
    "something new": (_signed(A, b'{"issued":1.8e9,"adds":"%s","until":1}' % KEY), Rejection.MALFORMED),
    "half a key": (_signed(A, b'{"issued":1.8e9,"adds":"%s"}' % KEY[:20]), Rejection.MALFORMED),
    "no key": (_signed(A, b'{"issued":1.8e9,"adds":"\xc3\xa4"}'), Rejection.MALFORMED),
    "no JSON": (_signed(A, b"{"), Rejection.MALFORMED),
}  # fmt: skip


@pytest.mark.parametrize("fault", BAD)
def test_a_statement_of_a_followed_key_that_is_none_is_refused(fault: str) -> None:
    statement, reason = BAD[fault]
    with pytest.raises(ManifestRejected) as refused:
        followed(RING, [statement])
    assert refused.value.reason is reason


def test_there_is_a_limit() -> None:
    many = [adds(A, SigningKey(bytes([n]) * 32)) for n in range(10, 11 + MAX_STATEMENTS)]
    assert len(followed(RING, many[:-1])) == 1 + MAX_STATEMENTS
    with pytest.raises(ManifestRejected) as refused:
        followed(RING, many)
    assert refused.value.reason is Rejection.TOO_LARGE


KEYS = (A, B, C, D, EVE)
who = st.sampled_from(range(5))


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.booleans(), who, who), max_size=12))
def test_somebody_is_always_followed_and_everybody_was_spoken_for(said: list[tuple[bool, int, int]]) -> None:
    statements = [adds(KEYS[by], KEYS[of]) if add or by == of else revokes(KEYS[by], KEYS[of]) for add, by, of in said]
    found = followed(RING, statements)
    assert found
    reachable = names(A)
    for add, by, of in said:
        if (add or by == of) and key_id(KEYS[by].verify_key) in reachable:
            reachable |= names(KEYS[of])
    assert set(found) <= reachable
    assert followed(RING, effective(RING, statements)).keys() == found.keys()
