"""Keys that sign manifests, and their files: text, one key a line.

    vedette-public  3f0c6a5be1d2a790 cFpO…=  hub of plant 3, since 2026
    vedette-private 3f0c6a5be1d2a790 9dLk…=  the same, at the hub only

A line has kind, key id, 32 bytes in base64 (of a private key: the seed), and maybe a remark; empty lines and lines that
start with `#` count for nothing. The key id is the beginning of the SHA-256 of the public key: it cannot name another.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import TYPE_CHECKING, Literal

from nacl.signing import SigningKey, VerifyKey

if TYPE_CHECKING:
    from collections.abc import Mapping

KeyRing = dict[str, VerifyKey]
"""Keys whose signatures count, by key id."""

MAX_KEYS = 64
_KEY_BYTES = 32
_ID_DIGITS = 16
_Kind = Literal["vedette-public", "vedette-private"]


class KeyFileError(ValueError):
    """A key file that cannot be used: says which line, and why."""


def key_id(key: VerifyKey) -> str:
    """The name of a key: 16 hexadecimal digits of the SHA-256 of its public half."""
    return hashlib.sha256(bytes(key)).hexdigest()[:_ID_DIGITS]


def key_ring(*keys: VerifyKey) -> KeyRing:
    """A ring of these keys."""
    return {key_id(key): key for key in keys}


def public_line(key: VerifyKey, remark: str = "") -> str:
    """The line of a key ring's file for this key."""
    return _line("vedette-public", key, bytes(key), remark)


def private_line(key: SigningKey, remark: str = "") -> str:
    """The line of the hub's own key file; whoever reads it can sign for the hub."""
    return _line("vedette-private", key.verify_key, bytes(key), remark)


def format_key_ring(keys: Mapping[str, VerifyKey]) -> str:
    """The text of a key ring's file."""
    return "".join(public_line(key) for key in keys.values())


def parse_key_ring(text: str) -> KeyRing:
    """The keys of a key ring's file.

    Raises:
        KeyFileError: a line that is none, a private key, no key, or more than 64.
    """
    ring: KeyRing = {}
    for number, data in _lines(text, "vedette-public"):
        key = VerifyKey(data)
        _check_id(number, text, key)
        ring[key_id(key)] = key
    if not 0 < len(ring) <= MAX_KEYS:
        raise KeyFileError(f"a key ring has 1 to {MAX_KEYS} keys, this one has {len(ring)}")
    return ring


def parse_signing_key(text: str) -> SigningKey:
    """The one key of the hub's own key file.

    Raises:
        KeyFileError: a line that is none, a public key, or not exactly one key.
    """
    found = list(_lines(text, "vedette-private"))
    if len(found) != 1:
        raise KeyFileError(f"the signing key's file has exactly one key, this one has {len(found)}")
    number, seed = found[0]
    key = SigningKey(seed)
    _check_id(number, text, key.verify_key)
    return key


def _line(kind: _Kind, key: VerifyKey, data: bytes, remark: str) -> str:
    remark = " ".join(remark.split())
    return f"{kind} {key_id(key)} {base64.b64encode(data).decode()} {remark}".rstrip() + "\n"


def _lines(text: str, wanted: _Kind) -> list[tuple[int, bytes]]:
    """(line number, key) of each line that has one."""
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split(maxsplit=3)
        if not words or words[0].startswith("#"):
            continue
        if words[0] != wanted or len(words) < 3:
            raise KeyFileError(f'line {number}: expected "{wanted} KEY-ID BASE64 remark", it starts with "{words[0]}"')
        try:
            data = base64.b64decode(words[2], validate=True)
        except binascii.Error as error:
            raise KeyFileError(f"line {number}: the key is not base64: {error}") from error
        if len(data) != _KEY_BYTES:
            raise KeyFileError(f"line {number}: a key has {_KEY_BYTES} bytes, this one has {len(data)}")
        found.append((number, data))
    return found


def _check_id(number: int, text: str, key: VerifyKey) -> None:
    claimed = text.splitlines()[number - 1].split()[1]
    if claimed != key_id(key):
        raise KeyFileError(f"line {number}: the key's id is {key_id(key)}, not {claimed}; was a line cut or mixed up?")
