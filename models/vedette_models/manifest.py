"""Manifest: the hub's signed order of what one gateway should run.

On the wire it is JSON: format, key id, signature (Ed25519, base64), and the manifest, whose bytes are signed exactly as
they stand there. Verification is a function of these bytes and of what the gateway knows; whoever calls it keeps the
counter and the nonce.
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Annotated, TypeVar

import msgspec
from nacl.exceptions import BadSignatureError

from vedette_models.keys import key_id
from vedette_models.rejection import ManifestRejected, Rejection
from vedette_models.succession import KeyStatement

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from nacl.signing import SigningKey, VerifyKey

FORMAT = 1
MAX_BYTES = 64 * 1024
"""Largest manifest either side handles."""
MAX_PROFILES = 64
MAX_COUNTER = 2**53
CLOCK_TOLERANCE = 86_400.0
"""Seconds by which a manifest may be issued in the future of the gateway's clock."""

_SIGNATURE_BYTES = 64
_T = TypeVar("_T", bound=msgspec.Struct)

Sha256 = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
_Count = Annotated[int, msgspec.Meta(ge=1, le=MAX_COUNTER)]
_Time = Annotated[float, msgspec.Meta(ge=0, le=1e12)]


class Release(msgspec.Struct, frozen=True, omit_defaults=True):
    """One version of a profile's model."""

    version: _Count
    """Number within the profile, as people say it: version 7."""
    detector: Name
    sha256: Sha256
    """Of the artefact, which is also its topic."""
    bytes: _Count
    """Size of the artefact."""
    ordered: _Time = 0.0
    """When somebody ordered it for this gateway, by the hub's clock: the same order keeps its time from manifest to
    manifest, and what has failed is tried again only when it is ordered anew. 0: the hub does not say."""


class Manifest(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one gateway should run from now on."""

    gateway: Name
    counter: _Count
    """Higher than in every manifest before it, also when it orders an older version."""
    issued: _Time
    """Seconds since 1970 UTC, by the hub's clock."""
    expires: _Time
    """From then on it is no longer accepted; what was accepted goes on running."""
    releases: dict[Name, Release]
    """By profile. A profile that is not named runs without a model from the hub."""
    previous: dict[Name, Release] = {}
    """By profile, what the hub had ordered before: what to go back to when the release fails."""
    nonce: Annotated[str, msgspec.Meta(max_length=128)] = ""
    """Echo of the nonce in the gateway's status, which proves that the manifest was made after it."""


class _Signed(msgspec.Struct, frozen=True, omit_defaults=True):
    v: int
    key: str
    signature: str
    manifest: msgspec.Raw
    keys: tuple[KeyStatement, ...] = ()
    """How the signing key came to be the one to follow; each signed by itself."""


def sign(manifest: Manifest, key: SigningKey, statements: Sequence[KeyStatement] = ()) -> bytes:
    """The manifest's bytes on the wire, with key statements; the same for the same manifest, key and statements.

    Raises:
        ManifestRejected: MALFORMED or TOO_LARGE, when no gateway would take it.
    """
    body = msgspec.json.encode(manifest, order="sorted")
    _parsed(body)
    signature = base64.b64encode(key.sign(_signed_bytes(FORMAT, body)).signature).decode()
    data = msgspec.json.encode(_Signed(FORMAT, key_id(key.verify_key), signature, msgspec.Raw(body), tuple(statements)))
    if len(data) > MAX_BYTES:
        raise ManifestRejected(Rejection.TOO_LARGE, f"{len(data)} bytes, at most {MAX_BYTES}; use fewer profiles")
    return data


def verify(
    data: bytes,
    keys: Mapping[str, VerifyKey],
    gateway: str,
    *,
    now: float,
    last_counter: int | None,
    nonce: str = "",
) -> Manifest:
    """The manifest in `data`, if this gateway should follow it.

    `now` is the gateway's clock in seconds since 1970 UTC; `last_counter` the counter of the manifest accepted last, 0
    on a new gateway, None where it was lost; `nonce` what the gateway's status says now, new at every start. A manifest
    that echoes the nonce is known to be fresh: then the clock, which may be wrong, is not asked.

    Raises:
        ManifestRejected: `reason` says why: TOO_LARGE, MALFORMED, NEWER_FORMAT, UNKNOWN_KEY, BAD_SIGNATURE,
            FOREIGN_GATEWAY, COUNTER_LOST, REPLAYED, ROLLED_BACK, EXPIRED or NOT_YET_ISSUED.
    """
    manifest = authentic(data, keys)
    if manifest.gateway != gateway:
        raise ManifestRejected(Rejection.FOREIGN_GATEWAY, f'made for gateway "{manifest.gateway}", this is "{gateway}"')
    fresh = bool(nonce) and manifest.nonce == nonce
    if last_counter is None:
        if not fresh:
            raise ManifestRejected(
                Rejection.COUNTER_LOST,
                "this gateway has lost its counter and waits for a manifest that echoes the nonce of its status",
            )
    elif manifest.counter == last_counter:
        raise ManifestRejected(Rejection.REPLAYED, f"counter {manifest.counter} was accepted before")
    elif manifest.counter < last_counter:
        raise ManifestRejected(
            Rejection.ROLLED_BACK, f"counter {manifest.counter} is lower than {last_counter}, which was accepted before"
        )
    if not fresh:
        _check_times(manifest, now)
    return manifest


def authentic(data: bytes, keys: Mapping[str, VerifyKey]) -> Manifest:
    """The manifest in `data`, if one of these keys signed it; says nothing about whether to follow it.

    Raises:
        ManifestRejected: TOO_LARGE, MALFORMED, NEWER_FORMAT, UNKNOWN_KEY or BAD_SIGNATURE.
    """
    if len(data) > MAX_BYTES:
        raise ManifestRejected(Rejection.TOO_LARGE, f"{len(data)} bytes, at most {MAX_BYTES}")
    envelope = _decoded(data, _Signed)
    if envelope.v > FORMAT:
        raise ManifestRejected(
            Rejection.NEWER_FORMAT, f"format {envelope.v}, this agent understands up to {FORMAT}; update it"
        )
    key = keys.get(envelope.key)
    if key is None:
        raise ManifestRejected(
            Rejection.UNKNOWN_KEY, f'signed by key "{envelope.key[:64]}"; known are {", ".join(sorted(keys)) or "none"}'
        )
    body = bytes(envelope.manifest)
    try:
        signature = base64.b64decode(envelope.signature, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ManifestRejected(Rejection.MALFORMED, f"the signature is not base64: {error}") from error
    if len(signature) != _SIGNATURE_BYTES:
        raise ManifestRejected(Rejection.MALFORMED, f"a signature has {_SIGNATURE_BYTES} bytes, not {len(signature)}")
    try:
        key.verify(_signed_bytes(envelope.v, body), signature)
    except BadSignatureError as error:
        raise ManifestRejected(
            Rejection.BAD_SIGNATURE, f'key "{envelope.key}" did not sign these bytes; they were changed or made up'
        ) from error
    return _parsed(body)


def key_statements(data: bytes) -> tuple[KeyStatement, ...]:
    """The key statements that come with a manifest, verified by nobody yet.

    Raises:
        ManifestRejected: TOO_LARGE or MALFORMED.
    """
    if len(data) > MAX_BYTES:
        raise ManifestRejected(Rejection.TOO_LARGE, f"{len(data)} bytes, at most {MAX_BYTES}")
    return _decoded(data, _Signed).keys


def next_counter(own: int, reported: Iterable[int]) -> int:
    """The counter of the next manifest: above the hub's own and above all that gateways report.

    So a hub restored from an older backup is not locked out.

    >>> next_counter(4, [9, 2])
    10
    """
    return max(own, *reported, 0) + 1


def _check_times(manifest: Manifest, now: float) -> None:
    if now >= manifest.expires:
        raise ManifestRejected(
            Rejection.EXPIRED,
            f"expired {now - manifest.expires:.0f} s ago by this gateway's clock; is the clock right? "
            "a manifest that echoes the nonce does not depend on it",
        )
    if manifest.issued > now + CLOCK_TOLERANCE:
        raise ManifestRejected(
            Rejection.NOT_YET_ISSUED,
            f"issued {manifest.issued - now:.0f} s in the future of this gateway's clock; is the clock right? "
            "a manifest that echoes the nonce does not depend on it",
        )


def _signed_bytes(version: int, body: bytes) -> bytes:
    """What the signature covers: it cannot be taken for a signature of anything else."""
    return b"vedette manifest %d\n" % version + body


def _parsed(body: bytes) -> Manifest:
    manifest = _decoded(body, Manifest)
    if manifest.expires <= manifest.issued:
        raise ManifestRejected(Rejection.MALFORMED, "it expires before it was issued")
    if len(manifest.releases) > MAX_PROFILES or len(manifest.previous) > MAX_PROFILES:
        raise ManifestRejected(Rejection.MALFORMED, f"more than {MAX_PROFILES} profiles")
    return manifest


def _decoded(data: bytes, kind: type[_T]) -> _T:
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ManifestRejected(Rejection.MALFORMED, str(error)) from error
