"""Issuing manifests: composed from what is desired, signed and kept, all in the transaction of whoever asks."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from nacl.signing import SigningKey
from sqlalchemy import Connection

from vedette_hub.fleet.rollout import Desired, IssuedManifest, compose
from vedette_hub.learning import registry
from vedette_hub.store import fleet as fleet_store
from vedette_hub.store import keys as key_store
from vedette_hub.store import rollout as store
from vedette_models.keys import key_id
from vedette_models.manifest import Release, sign
from vedette_models.rejection import ManifestRejected


@dataclass
class Issued:
    """What was issued: counters by gateway; and by gateway why nothing could be."""

    counters: dict[str, int] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)


def issue(
    connection: Connection, key: SigningKey, names: Collection[str], now: float, *, again: bool = False
) -> Issued:
    """Sign a manifest for each of these gateways, and see to it that the artefacts it refers to are published.

    `again`: nothing new was ordered, so that tries go on being counted.
    """
    stored = store.load_desired(connection, names)
    wanted = {name: {profile: item.desired for profile, item in found.items()} for name, found in stored.items()}
    before = store.load_manifests(connection, names)
    statuses = fleet_store.load_statuses(connection, names)
    releases = _releases(connection, [desired for found in wanted.values() for desired in found.items()])
    signer = key_id(key.verify_key)
    statements = key_store.load_statements(connection)
    issued = Issued()
    signed: list[tuple[IssuedManifest, bytes]] = []
    hashes: set[str] = set()
    for name in names:
        last = before.get(name)
        try:
            ordered = {profile: item.ordered for profile, item in stored[name].items()}
            manifest = compose(name, wanted[name], releases, last, statuses.get(name), now, ordered)
            body = sign(manifest, key, statements)
        except KeyError as error:
            profile, number = error.args[0]
            issued.failures[name] = f"version {number} of profile {profile!r} is no longer in the registry"
            continue
        except ManifestRejected as error:
            issued.failures[name] = str(error)
            continue
        tries = last.tries if again and last is not None else 0
        row = IssuedManifest(
            name, manifest.counter, manifest.nonce, signer, manifest.issued, manifest.expires, "publish", None, tries
        )
        signed.append((row, body))
        issued.counters[name] = manifest.counter
        hashes.update(release.sha256 for part in (manifest.releases, manifest.previous) for release in part.values())
    store.save_manifests(connection, signed)
    store.need_artifacts(connection, hashes)
    return issued


def _releases(connection: Connection, wanted: list[tuple[str, Desired]]) -> dict[tuple[str, int], Release]:
    found: dict[tuple[str, int], Release] = {}
    versions = {
        (profile, version.number)
        for profile, desired in wanted
        for version in (desired.current, desired.previous)
        if version is not None
    }
    for profile, number in versions:
        model = registry.find(connection, profile, number)
        if model is not None:
            found[profile, number] = Release(model.version, model.detector, model.sha256, model.bytes)
    return found
