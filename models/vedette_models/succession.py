"""Succession: how gateways come to follow another signing key without anybody visiting them.

A key statement is signed by a key that a gateway follows already. It either adds a key, or revokes one:

    {"key": "3f0c6a5be1d2a790", "signature": "…", "statement": {"adds": "cFpO…=", "issued": 1.8e9}}
    {"key": "91be07c2aa54d310", "signature": "…", "statement": {"revokes": "3f0c6a5be1d2a790", "issued": 1.8e9}}

Statements travel with manifests. They count in the order in which they stand there, and only as far as the key ring in
the gateway's configuration leads to them: that file stays the root of all trust. What follows from a key ring and
statements is a function of both; a gateway keeps the statements, not its conclusions.
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Annotated

import msgspec
from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey

from vedette_models.keys import MAX_KEYS, KeyRing, key_id
from vedette_models.rejection import ManifestRejected, Rejection

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from nacl.signing import SigningKey

MAX_STATEMENTS = 16
"""With a manifest, and kept by a gateway: eight rotations, each with a revocation, until key rings are renewed."""

_KeyId = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{16}\Z")]
_Base64 = Annotated[str, msgspec.Meta(max_length=128)]
_KEY_BYTES = 32


class KeyStatement(msgspec.Struct, frozen=True):
    """A key statement as it travels; `statement` is signed exactly as it stands there."""

    key: _KeyId
    """Who says so."""
    signature: _Base64
    statement: msgspec.Raw


class _Body(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A receiver that does not know what else it says must not guess: unknown fields are refused."""

    issued: Annotated[float, msgspec.Meta(ge=0, le=1e12)]
    adds: _Base64 = ""
    revokes: Annotated[str, msgspec.Meta(pattern=r"^([0-9a-f]{16})?\Z")] = ""


def add_key(signer: SigningKey, new: VerifyKey, now: float) -> KeyStatement:
    """The statement of `signer` that `new` is to be followed as well."""
    return _signed(signer, _Body(now, adds=base64.b64encode(bytes(new)).decode()))


def revoke_key(signer: SigningKey, revoked: str, now: float) -> KeyStatement:
    """The statement of `signer` that the key with this id is not to be followed any more.

    Raises:
        ValueError: its own id; somebody must be left to follow.
    """
    if revoked == key_id(signer.verify_key):
        raise ValueError(f"key {revoked} cannot revoke itself")
    return _signed(signer, _Body(now, revokes=revoked))


def followed(ring: Mapping[str, VerifyKey], statements: Iterable[KeyStatement]) -> KeyRing:
    """The keys that count, from the key ring in the configuration and what its keys have said since.

    A statement of a key that does not count says nothing: it is passed over. With a revoked key falls what it has
    added, except for the key that revoked it and those that led there.

    Raises:
        ManifestRejected: MALFORMED, BAD_SIGNATURE or TOO_LARGE: a statement of a key that counts, and is none.
    """
    keys, added_by = dict(ring), dict[str, str]()
    revoked = set[str]()
    for number, statement in enumerate(statements):
        if number >= MAX_STATEMENTS:
            raise ManifestRejected(Rejection.TOO_LARGE, f"more than {MAX_STATEMENTS} key statements")
        signer = keys.get(statement.key)
        if signer is None:
            continue
        body = _verified(statement, signer)
        if body.revokes:
            revoked.add(body.revokes)
            _revoke(keys, added_by, body.revokes, statement.key)
            continue
        new = _public_key(body.adds)
        name = key_id(new)
        if name not in keys and name not in revoked and len(keys) < MAX_KEYS:
            keys[name], added_by[name] = new, statement.key
    return keys


def united(kept: Sequence[KeyStatement], come: Sequence[KeyStatement]) -> tuple[KeyStatement, ...]:
    """What is kept, and what has come that is not kept yet, in this order."""
    known = {(one.key, bytes(one.statement)) for one in kept}
    return (*kept, *(one for one in come if (one.key, bytes(one.statement)) not in known))


def effective(ring: Mapping[str, VerifyKey], statements: Sequence[KeyStatement]) -> tuple[KeyStatement, ...]:
    """The statements without those that say nothing from this key ring."""
    found: tuple[KeyStatement, ...] = ()
    for statement in statements:
        if statement.key in followed(ring, found):
            found = (*found, statement)
    return found


def _revoke(keys: KeyRing, added_by: dict[str, str], gone: str, by: str) -> None:
    if gone == by:
        return  # somebody must be left to follow
    line = {by}
    while by in added_by:
        by = added_by[by]
        line.add(by)
    falling = [gone]
    while falling:
        name = falling.pop()
        keys.pop(name, None)
        added_by.pop(name, None)
        for child in [child for child, parent in added_by.items() if parent == name]:
            if child in line:
                del added_by[child]  # it stands by itself now
            else:
                falling.append(child)


def _signed(signer: SigningKey, body: _Body) -> KeyStatement:
    data = msgspec.json.encode(body)
    signature = base64.b64encode(signer.sign(_signed_bytes(data)).signature).decode()
    return KeyStatement(key_id(signer.verify_key), signature, msgspec.Raw(data))


def _signed_bytes(body: bytes) -> bytes:
    """What the signature covers: it cannot be taken for that of a manifest."""
    return b"vedette key statement 1\n" + body


def _verified(statement: KeyStatement, signer: VerifyKey) -> _Body:
    data = bytes(statement.statement)
    try:
        signer.verify(_signed_bytes(data), base64.b64decode(statement.signature, validate=True))
    except (BadSignatureError, binascii.Error, ValueError) as error:
        raise ManifestRejected(
            Rejection.BAD_SIGNATURE, f'key "{statement.key}" did not sign this key statement; it was changed or made up'
        ) from error
    try:
        body = msgspec.json.decode(data, type=_Body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ManifestRejected(Rejection.MALFORMED, f"a key statement: {error}") from error
    if bool(body.adds) == bool(body.revokes):
        raise ManifestRejected(Rejection.MALFORMED, "a key statement adds a key or revokes one")
    return body


def _public_key(text: str) -> VerifyKey:
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ManifestRejected(Rejection.MALFORMED, f"a key statement: the key is not base64: {error}") from error
    if len(data) != _KEY_BYTES:
        raise ManifestRejected(Rejection.MALFORMED, f"a key statement: a key has {_KEY_BYTES} bytes, not {len(data)}")
    return VerifyKey(data)
