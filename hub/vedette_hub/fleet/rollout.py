"""Rollout: what a gateway should run, what it says it runs, and what has to be done about the difference. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import msgspec

from vedette_models.manifest import MAX_COUNTER, Manifest, Release, next_counter
from vedette_models.messages import Activation, Status

LIFETIME_SECONDS = 30 * 86_400.0
"""How long a manifest is accepted. A gateway that was away for longer gets a new one when it reports."""

RETRY_FIRST, RETRY_LONGEST = 30.0, 3600.0
"""Seconds a gateway is given to follow a published manifest; doubled with every try, up to an hour."""

TRUSTED_COUNTER = MAX_COUNTER // 2
"""A gateway that reports a counter above this is broken or hostile, and must not use up all counters there are."""

_MAX_NONCE = 128

Due = Literal["", "sign", "publish", "clear"]
"""What is to be done with a manifest or an artefact: nothing; sign it again (then publish it); publish it; clear it."""

Progress = Literal[
    "running", "removed", "sent", "queued", "offline", "refused", "missing", "rolled_back", "not ordered here"
]
"""How far an order has come; see `progress`."""


@dataclass(frozen=True)
class Version:
    """A version of a profile's model."""

    number: int
    sha256: str


@dataclass(frozen=True)
class Desired:
    """What a gateway should run for one profile, and what it was told before; None: no model."""

    current: Version | None = None
    previous: Version | None = None


@dataclass(frozen=True)
class IssuedManifest:
    """The newest manifest of a gateway, without its bytes. Times are seconds since 1970 UTC."""

    gateway: str
    counter: int
    nonce: str
    key: str
    """Id of the key that signed it."""
    issued: float
    expires: float
    due: Due
    published: float | None
    """When the broker last acknowledged it; None: never."""
    tries: int
    """How often it was published since it was ordered."""


def push(before: Desired | None, version: Version) -> Desired:
    """Run this version. The one before stays the one to go back to, also when the same version is ordered again."""
    if before is None:
        return Desired(version)
    if before.current is None or before.current == version:
        return Desired(version, before.previous if before.previous != version else None)
    return Desired(version, before.current)


def roll_back(before: Desired | None) -> Desired | None:
    """Run what was ordered before; None when there is nothing to go back to."""
    if before is None or before.previous is None:
        return None
    return Desired(before.previous, before.current)


def unload(before: Desired | None) -> Desired | None:
    """Run no model; None when none is ordered. A roll back brings it back."""
    if before is None or before.current is None:
        return None
    return Desired(None, before.current)


def compose(
    gateway: str,
    desired: Mapping[str, Desired],
    releases: Mapping[tuple[str, int], Release],
    before: IssuedManifest | None,
    status: Status | None,
    now: float,
    ordered: Mapping[str, float] | None = None,
) -> Manifest:
    """The next manifest of a gateway: what is `desired` by profile, above every counter it may have seen.

    `releases` has (profile, version); a previous version that is not there any more is left out. `ordered` says when
    each profile's order was given. The manifest echoes the nonce of the newest status, which proves that it is fresh to
    a gateway whose clock or counter is lost.
    """
    reported = status.manifest if status is not None and status.manifest <= TRUSTED_COUNTER else 0
    current = {
        profile: msgspec.structs.replace(
            releases[profile, wanted.current.number], ordered=(ordered or {}).get(profile, 0.0)
        )
        for profile, wanted in desired.items()
        if wanted.current is not None
    }
    previous = {
        profile: releases[profile, wanted.previous.number]
        for profile, wanted in desired.items()
        if profile in current and wanted.previous is not None and (profile, wanted.previous.number) in releases
    }
    return Manifest(
        gateway=gateway,
        counter=next_counter(before.counter if before is not None else 0, [reported]),
        issued=now,
        expires=now + LIFETIME_SECONDS,
        releases=current,
        previous=previous,
        nonce=_nonce(status),
    )


def due_after_status(manifest: IssuedManifest, status: Status, now: float) -> Due:
    """What a status asks for: nothing while the gateway follows its manifest, or may still be about to.

    A higher counter than ours means that the hub was restored from an older backup: it signs again, above that. A lost
    counter asks for a manifest that echoes the nonce. A gateway that lags is sent the manifest again; one that refuses
    it for its clock, or because it has expired, is helped by a new one with the nonce of this status.
    """
    if manifest.due == "sign" or not status.online or status.manifest == manifest.counter:
        return manifest.due
    if manifest.counter < status.manifest <= TRUSTED_COUNTER:
        return "sign"
    not_echoed = _nonce(status) not in ("", manifest.nonce)
    if status.manifest == 0 and not_echoed:
        return "sign"
    if manifest.due or manifest.published is None or now < manifest.published + patience(manifest.tries):
        return manifest.due
    if now >= manifest.expires or not_echoed:
        return "sign"
    return "publish"


def patience(tries: int) -> float:
    """Seconds a gateway is given to follow a manifest that was published so many times."""
    return min(RETRY_FIRST * 2.0 ** min(max(tries - 1, 0), 16), RETRY_LONGEST)


def progress(
    desired: Desired | None,
    manifest: IssuedManifest | None,
    status: Status | None,
    profile: str,
    last: Activation | None,
    *,
    online: bool,
) -> Progress | None:
    """How far the order about `profile` has come on one gateway; None: nothing is ordered, and nothing runs.

    `running` and `removed`: done. `queued`: the broker does not have it yet. `sent`: it has, and the gateway is about
    to follow. `offline`: the gateway follows when it is back. `refused`, `missing` and `rolled_back`: as the gateway's
    `last` activation says. `not ordered here`: it runs a model that this hub never ordered.
    """
    running = status.models.get(profile) if status is not None else None
    if desired is None:
        return "not ordered here" if running is not None else None
    wanted = desired.current
    if wanted is None and running is None and not (manifest is not None and manifest.due):
        return "removed"
    if wanted is not None and running is not None and running.sha256 == wanted.sha256:
        return "running"
    if manifest is None or manifest.published is None or manifest.due:
        return "queued"
    if wanted is not None and last is not None and last.sha256 == wanted.sha256 and last.counter == manifest.counter:
        match last.outcome:
            case "refused" | "missing":
                return last.outcome
    if last is not None and last.outcome == "rolled_back":
        return "rolled_back"
    return "sent" if online else "offline"


def _nonce(status: Status | None) -> str:
    """The nonce to echo; none when it is longer than a manifest may hold, which no agent's is."""
    return status.nonce if status is not None and len(status.nonce) <= _MAX_NONCE else ""
