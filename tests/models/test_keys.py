"""Key files: what is written is read, and a line that was cut or mixed up is said so."""

from __future__ import annotations

import pytest
from nacl.signing import SigningKey

from vedette_models.keys import (
    KeyFileError,
    format_key_ring,
    key_id,
    key_ring,
    parse_key_ring,
    parse_signing_key,
    private_line,
    public_line,
)

KEY, OTHER = SigningKey(b"a" * 32), SigningKey(b"b" * 32)
RING = key_ring(KEY.verify_key, OTHER.verify_key)


def test_a_key_ring_comes_back_from_its_file() -> None:
    assert parse_key_ring(format_key_ring(RING)) == RING
    text = f"# trusted\n\n{public_line(KEY.verify_key, 'hub of plant 3, since 2026')}  {public_line(OTHER.verify_key)}"
    assert parse_key_ring(text) == RING
    assert parse_key_ring(text.replace("\n", "\r\n")) == RING


def test_a_signing_key_comes_back_from_its_file() -> None:
    assert parse_signing_key(private_line(KEY, "keep safe")) == KEY


def test_a_remark_stays_on_its_line() -> None:
    assert public_line(KEY.verify_key, "two\nlines").count("\n") == 1


def test_a_key_is_named_by_its_public_half() -> None:
    assert key_id(KEY.verify_key) in public_line(KEY.verify_key)
    assert key_id(KEY.verify_key) in private_line(KEY)
    assert key_id(KEY.verify_key) != key_id(OTHER.verify_key)
    assert len(key_id(KEY.verify_key)) == 16


PUBLIC, PRIVATE = public_line(KEY.verify_key), private_line(KEY)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "1 to 64 keys"),
        ("# nothing\n", "1 to 64 keys"),
        (PRIVATE, 'line 1: expected "vedette-public'),
        ("vedette-public abc\n", "line 1"),
        (PUBLIC.replace("=", "%"), "line 1: the key is not base64"),
        (f"\n{PUBLIC.replace('vedette-public ', 'vedette-public 0', 1)}", "line 2: the key's id"),
        ("vedette-public 0123456789abcdef AAAA\n", "line 1: a key has 32 bytes"),
        ("".join(public_line(SigningKey(bytes([i]) * 32).verify_key) for i in range(65)), "1 to 64 keys"),
    ],
)
def test_a_key_ring_that_cannot_be_used_says_why(text: str, fault: str) -> None:
    with pytest.raises(KeyFileError) as error:
        parse_key_ring(text)
    assert fault in str(error.value)


@pytest.mark.parametrize("text", ["", PUBLIC, PRIVATE + private_line(OTHER), PRIVATE[:40]])
def test_a_signing_key_that_cannot_be_used_says_why(text: str) -> None:
    with pytest.raises(KeyFileError):
        parse_signing_key(text)


def test_an_error_does_not_show_a_private_key() -> None:
    secret = PRIVATE.split()[2]
    for parse in (parse_key_ring, parse_signing_key):
        for text in (PRIVATE + PRIVATE, PRIVATE.replace("vedette-private", "vedette-privat")):
            with pytest.raises(KeyFileError) as error:
                parse(text)
            assert secret not in str(error.value)
