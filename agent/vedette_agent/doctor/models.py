"""Models: whether the key ring, the stored artefacts and the hub's order are what they should be."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING, NamedTuple

from vedette_agent.doctor.finding import Finding
from vedette_agent.update.model_store import ModelStore
from vedette_models import artifact, manifest
from vedette_models.keys import KeyFileError, parse_key_ring
from vedette_models.rejection import ArtifactRejected, ManifestRejected

if TYPE_CHECKING:
    from pathlib import Path

    from vedette_agent.config import Config
    from vedette_agent.update.journal import Journal
    from vedette_models.keys import KeyRing


class Ring(NamedTuple):
    """The key ring's file."""

    path: Path
    keys: KeyRing
    mode: int = 0o644
    problem: str = ""


class Stored(NamedTuple):
    """A model on disk."""

    profile: str
    version: int
    detector: str
    problem: str = ""
    """Why the agent would not run it; empty for nothing."""


class Models(NamedTuple):
    """What lies in the state folder."""

    ring: Ring | None = None
    """None: none is configured."""
    journal: Journal | None = None
    stored: tuple[Stored, ...] = ()
    unread: str = ""


def look(config: Config) -> Models:
    """Read the key ring and check every model that runs as the agent does at its start; nothing in it is executed."""
    ring = _ring(config.models.key_ring) if config.models.key_ring is not None else None
    try:
        next(config.gateway.state_dir.iterdir(), None)  # says whether this user may look
        journal = ModelStore(config.gateway.state_dir).journal
    except FileNotFoundError:
        return Models(ring)
    except OSError as error:
        return Models(ring, unread=error.strerror or str(error))
    return Models(ring, journal, tuple(_stored(config, journal)))


def _ring(path: Path) -> Ring:
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        return Ring(path, parse_key_ring(path.read_text()), mode)
    except (OSError, UnicodeDecodeError, KeyFileError) as error:
        return Ring(path, {}, problem=getattr(error, "strerror", None) or str(error))


def _stored(config: Config, journal: Journal) -> list[Stored]:
    store, found = ModelStore(config.gateway.state_dir), []
    for profile, running in sorted(journal.current.items()):
        release = running.release
        problem = "its file is not there, or cannot be read"
        data = store.read(release.sha256)
        known = config.profiles.get(profile)
        if known is None:
            problem = "this configuration has no such profile"
        elif data is not None:
            try:
                artifact.load(data, expected=release.sha256, profile=profile, channels=known.channel_names)
                problem = ""
            except ArtifactRejected as error:
                problem = str(error)
        found.append(Stored(profile, release.version, release.detector, problem))
    return found


def judge(config: Config, seen: Models) -> list[Finding]:
    """The key ring, then each profile's model."""
    found = [_judge_ring(config, seen.ring)]
    if seen.unread:
        said = f"the models in {config.gateway.state_dir} cannot be read: {seen.unread}."
        found.append(Finding("models", "", "not tested", said, "Run this as root: sudo vedette-agent doctor"))
    if seen.journal is None:
        return found
    if seen.journal.counter is None:
        said = "the counter of the last manifest is lost, so that only a fresh order from the hub is followed."
        found.append(Finding("models", "", "warning", said, "Let the hub be reached; it answers by itself."))
    for model in seen.stored:
        said = f"version {model.version} of {model.detector}"
        if model.problem:
            fix = "The agent falls back by itself at its next start; then order anew at the hub: vedette-hub push"
            found.append(Finding("model", model.profile, "failed", f"{said} cannot be run: {model.problem}.", fix))
        else:
            checked = "hash, structure, channels and golden scores are as they should be"
            found.append(Finding("model", model.profile, "ok", f"{said}: {checked}."))
    for profile, held in sorted(seen.journal.held.items()):
        said = f"the version that the hub has ordered is not run: {held.reason}."
        fix = "Look it up in docs/updating-models.md, and order another at the hub: vedette-hub push"
        found.append(Finding("model", profile, "warning", said, fix))
    if seen.journal.refused:
        reason = seen.journal.refused.partition(" ")[0]
        fix = "Look it up in docs/updating-models.md; if it is a key: vedette-hub enroll prints the key ring anew"
        found.append(Finding("manifest", "", "warning", f"the hub's last order was refused: {reason}.", fix))
    return found


def _judge_ring(config: Config, ring: Ring | None) -> Finding:
    enroll = f"Get it from the hub: vedette-hub enroll {config.gateway.id}"
    if ring is None:
        if config.hub is None:
            return Finding("key ring", "", "ok", "there is no hub, so that no model needs a signature.")
        said = "no key ring is configured: models from the hub are not run, the other detectors watch alone."
        return Finding(
            "key ring", "", "warning", said, f'{enroll}; then set [models] key_ring = "/etc/vedette/keyring"'
        )
    if ring.problem:
        return Finding("key ring", "", "failed", f"{ring.path} cannot be used: {ring.problem}.", enroll)
    if ring.mode & (stat.S_IWGRP | stat.S_IWOTH):
        said = f"others than its owner may write {ring.path}, and with it decide what runs here."
        return Finding("key ring", "", "failed", said, f"chown root: {ring.path}; chmod 644 {ring.path}")
    return Finding("key ring", "", "ok", f"{ring.path} has {len(ring.keys)} keys: {', '.join(sorted(ring.keys)[:3])}.")


def judge_order(config: Config, data: bytes, keys: KeyRing, counter: int | None, now: float) -> Finding:
    """The manifest that the hub's broker retains for this gateway."""
    try:
        order = manifest.authentic(data, keys)
    except ManifestRejected as error:
        said = f"the order at the hub's broker is not signed as it should be ({error})."
        fix = f"Get the hub's keys anew (vedette-hub enroll {config.gateway.id}), or ask who else may write there."
        return Finding("manifest", "", "failed", said, fix)
    if order.gateway != config.gateway.id:
        said = f'the order on our topic was made for gateway "{order.gateway}".'
        return Finding("manifest", "", "failed", said, "Ask who may write there: only the hub should (hub.acl).")
    said = f"order {order.counter} for {', '.join(sorted(order.releases)) or 'no profile'} is signed by a key we know"
    if counter is not None and order.counter < counter:
        fix = "Let the hub order anew (vedette-hub push); was its database restored from a backup?"
        return Finding("manifest", "", "warning", f"{said}, but {counter} was followed already.", fix)
    if order.counter != counter and now >= order.expires:
        said = f"{said}, but it has expired by this machine's clock."
        return Finding("manifest", "", "warning", said, "Set the clock (timedatectl), or order anew: vedette-hub push")
    return Finding("manifest", "", "ok", f"{said}.")
