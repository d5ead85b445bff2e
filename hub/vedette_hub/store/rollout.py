"""Rollout in the store: what is desired, the manifests that say so, artefacts at the broker, and activations."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, RowMapping, bindparam, delete, func, insert, or_, select, update

from vedette_hub.fleet.rollout import Desired, Due, IssuedManifest, Version
from vedette_hub.store.database import insert_new
from vedette_hub.store.schema import activations, artifacts, desired, gateways, manifests
from vedette_models.messages import Activation

_CHUNK = 400
_OUTCOME_LENGTH = 16
"""Of the column; a newer agent may know an outcome of which this hub does not."""
PUBLISH_AGAIN_SECONDS = 10.0
"""Between two publications of an artefact, however often gateways say that they miss it."""
_MANIFEST_WORK: tuple[Due, ...] = ("sign", "publish")


@dataclass(frozen=True)
class WorkDue:
    """What there is to do at the broker."""

    sign: bool
    """Manifests are to be signed again."""
    artifacts: list[str]
    """Hashes of artefacts to publish."""
    manifests: bool
    """Manifests are to be published."""
    unused: bool
    """Artefacts are to be cleared."""


@dataclass(frozen=True)
class StoredDesired:
    """What a gateway should run for one profile, and who ordered it when."""

    gateway: str
    profile: str
    desired: Desired
    ordered: float
    by: str


@dataclass(frozen=True)
class StoredActivation:
    """What became of a model, as a gateway reported it."""

    number: int
    gateway: str
    time: float
    received: float
    activation: Activation


def load_desired(connection: Connection, names: Collection[str]) -> dict[str, dict[str, StoredDesired]]:
    """What each of these gateways should run, by gateway and profile."""
    found: dict[str, dict[str, StoredDesired]] = {name: {} for name in names}
    for chunk in _chunks(names):
        for row in connection.execute(select(desired).where(desired.c.gateway.in_(chunk))).mappings():
            stored = _desired(row)
            found[stored.gateway][stored.profile] = stored
    return found


def list_desired(connection: Connection) -> list[StoredDesired]:
    """What every gateway should run, by profile and gateway."""
    query = select(desired).order_by(desired.c.profile, desired.c.gateway)
    return [_desired(row) for row in connection.execute(query).mappings()]


def save_desired(connection: Connection, changed: Iterable[StoredDesired]) -> None:
    """Write what gateways should run over what is there."""
    rows = [
        {
            "gateway": item.gateway,
            "profile": item.profile,
            "version": item.desired.current.number if item.desired.current else None,
            "sha256": item.desired.current.sha256 if item.desired.current else None,
            "previous_version": item.desired.previous.number if item.desired.previous else None,
            "previous_sha256": item.desired.previous.sha256 if item.desired.previous else None,
            "ordered": item.ordered,
            "by": item.by,
        }
        for item in changed
    ]
    if not rows:
        return
    table = desired.c
    same = (table.gateway == bindparam("of_gateway")) & (table.profile == bindparam("of_profile"))
    keys = [{"of_gateway": row["gateway"], "of_profile": row["profile"]} for row in rows]
    connection.execute(delete(desired).where(same), keys)
    connection.execute(insert(desired), rows)


def ordered_versions(connection: Connection, profile: str) -> set[int]:
    """Versions of a profile that a gateway should run, or go back to."""
    current = select(desired.c.version).where(desired.c.profile == profile, desired.c.version.is_not(None))
    before = select(desired.c.previous_version).where(
        desired.c.profile == profile, desired.c.previous_version.is_not(None)
    )
    return {number for number in connection.execute(current.union(before)).scalars() if number is not None}


def load_manifests(connection: Connection, names: Collection[str]) -> dict[str, IssuedManifest]:
    """The newest manifest of each of these gateways that has one."""
    found: dict[str, IssuedManifest] = {}
    columns = [column for column in manifests.c if column.name != "body"]
    for chunk in _chunks(names):
        for row in connection.execute(select(*columns).where(manifests.c.gateway.in_(chunk))).mappings():
            found[row["gateway"]] = IssuedManifest(**row)
    return found


def save_manifests(connection: Connection, signed: Sequence[tuple[IssuedManifest, bytes]]) -> None:
    """Write manifests with their bytes over those that are there."""
    if not signed:
        return
    names = [{"of_gateway": manifest.gateway} for manifest, _ in signed]
    connection.execute(delete(manifests).where(manifests.c.gateway == bindparam("of_gateway")), names)
    connection.execute(insert(manifests), [{**vars(manifest), "body": body} for manifest, body in signed])


def mark_manifests(connection: Connection, due: Mapping[str, Due]) -> None:
    """Say what is to be done with the manifests of these gateways."""
    if due:
        changes = [{"of_gateway": name, "what": what} for name, what in due.items()]
        connection.execute(
            update(manifests).where(manifests.c.gateway == bindparam("of_gateway")).values(due=bindparam("what")),
            changes,
        )


def due_manifests(connection: Connection, due: Due, *, limit: int, after: str = "") -> list[str]:
    """Gateways by name with whose manifest this is to be done."""
    query = select(manifests.c.gateway).where(manifests.c.due == due, manifests.c.gateway > after)
    return list(connection.execute(query.order_by(manifests.c.gateway).limit(limit)).scalars())


def ready_manifests(connection: Connection, names: Collection[str]) -> dict[str, tuple[int, bytes]]:
    """(counter, bytes) of the manifests of these gateways all of whose artefacts the broker has acknowledged."""
    waiting = or_(artifacts.c.due != "", artifacts.c.published.is_(None))
    refers = or_(desired.c.sha256 == artifacts.c.sha256, desired.c.previous_sha256 == artifacts.c.sha256)
    incomplete = select(artifacts.c.sha256).where(desired.c.gateway == manifests.c.gateway, refers, waiting).exists()
    found: dict[str, tuple[int, bytes]] = {}
    for chunk in _chunks(names):
        query = select(manifests.c.gateway, manifests.c.counter, manifests.c.body)
        for row in connection.execute(query.where(manifests.c.gateway.in_(chunk), ~incomplete)):
            found[row.gateway] = (row.counter, row.body)
    return found


def manifests_published(connection: Connection, counters: Mapping[str, int], now: float) -> None:
    """The broker has acknowledged these manifests; one that was replaced meanwhile stays to be published."""
    if counters:
        table = manifests.c
        connection.execute(
            update(manifests)
            .where(table.gateway == bindparam("of_gateway"), table.counter == bindparam("at"), table.due == "publish")
            .values(due="", published=now, tries=table.tries + 1),
            [{"of_gateway": name, "at": counter} for name, counter in counters.items()],
        )


def publish_everything_again(connection: Connection, key: str | None) -> None:
    """After a connection: the broker may have lost what it kept. What another key signed is signed again with `key`."""
    connection.execute(update(artifacts).where(artifacts.c.due == "").values(due="publish"))
    connection.execute(update(manifests).where(manifests.c.due == "").values(due="publish"))
    if key is not None:
        connection.execute(update(manifests).where(manifests.c.key != key).values(due="sign"))


def foreign_keys(connection: Connection, key: str | None) -> dict[str, int]:
    """How many manifests were signed by each key other than this one."""
    query = select(manifests.c.key, func.count().label("number")).group_by(manifests.c.key)
    return {row.key: int(row.number) for row in connection.execute(query) if row.key != key}


def need_artifacts(connection: Connection, hashes: Collection[str]) -> None:
    """See to it that these artefacts are published, unless they are already."""
    insert_new(connection, artifacts, [{"sha256": sha256, "due": "publish"} for sha256 in sorted(hashes)])
    for chunk in _chunks(hashes):
        being_cleared = artifacts.c.sha256.in_(chunk) & (artifacts.c.due == "clear")
        connection.execute(update(artifacts).where(being_cleared).values(due="publish"))


def publish_again(connection: Connection, hashes: Collection[str], now: float) -> None:
    """A gateway has missed these artefacts; those nobody refers to, or just published, stay as they are."""
    at = artifacts.c.published
    long_ago = or_(at.is_(None), at <= now - PUBLISH_AGAIN_SECONDS, at > now)  # or the clock was set back
    for chunk in _chunks(hashes):
        known = artifacts.c.sha256.in_(chunk) & (artifacts.c.due == "")
        connection.execute(update(artifacts).where(known, long_ago).values(due="publish"))


def work_due(connection: Connection) -> WorkDue:
    """What there is to do at the broker."""
    by_due = {what: bool(due_manifests(connection, what, limit=1)) for what in _MANIFEST_WORK}
    hashes = connection.execute(select(artifacts.c.sha256).where(artifacts.c.due == "publish").order_by("sha256"))
    unused = connection.execute(select(artifacts.c.sha256).where(_unused()).limit(1)).first()
    return WorkDue(by_due["sign"], list(hashes.scalars()), by_due["publish"], unused is not None)


def artifact_published(connection: Connection, sha256: str, now: float | None) -> None:
    """The broker has acknowledged an artefact; without a time: it cannot be published, for it is gone."""
    values: dict[str, Any] = {"due": ""} if now is None else {"due": "", "published": now}
    connection.execute(
        update(artifacts).where(artifacts.c.sha256 == sha256, artifacts.c.due == "publish").values(**values)
    )


def retire_artifacts(connection: Connection) -> list[str]:
    """Mark the artefacts that nobody refers to as to be cleared; all that are to be cleared."""
    connection.execute(update(artifacts).where(_unused()).values(due="clear"))
    return list(connection.execute(select(artifacts.c.sha256).where(artifacts.c.due == "clear")).scalars())


def artifact_cleared(connection: Connection, sha256: str) -> None:
    """The broker no longer has an artefact; one that was ordered again meanwhile stays to be published."""
    connection.execute(delete(artifacts).where(artifacts.c.sha256 == sha256, artifacts.c.due == "clear"))


def add_activations(connection: Connection, gateway: str, found: Sequence[Activation], time: float, now: float) -> None:
    """Keep what a report of a gateway says became of models."""
    if found:
        rows = [
            {
                "gateway": gateway,
                "profile": item.profile,
                "version": item.version,
                "sha256": item.sha256,
                "outcome": item.outcome[:_OUTCOME_LENGTH],
                "reason": item.reason,
                "detail": item.detail,
                "counter": item.counter,
                "time": time,
                "received": now,
            }
            for item in found
        ]
        connection.execute(insert(activations), rows)


def last_activations(connection: Connection, names: Collection[str]) -> dict[str, dict[str, StoredActivation]]:
    """The newest activation of each of these gateways, by gateway and profile."""
    found: dict[str, dict[str, StoredActivation]] = {name: {} for name in names}
    for chunk in _chunks(names):
        newest = (
            select(func.max(activations.c.number))
            .where(activations.c.gateway.in_(chunk))
            .group_by(activations.c.gateway, activations.c.profile)
        )
        for row in connection.execute(select(activations).where(activations.c.number.in_(newest))).mappings():
            stored = _activation(row)
            found[stored.gateway][stored.activation.profile] = stored
    return found


def groups(connection: Connection) -> dict[str, int]:
    """How many gateways are in each group."""
    query = select(gateways.c.group, func.count().label("number")).where(gateways.c.group != "")
    rows = connection.execute(query.group_by(gateways.c.group).order_by(gateways.c.group))
    return {row.group: int(row.number) for row in rows}


def members(connection: Connection, group: str | None) -> list[str]:
    """Gateways of a group by name; of None: all."""
    query = select(gateways.c.gateway).order_by(gateways.c.gateway)
    if group is not None:
        query = query.where(gateways.c.group == group)
    return list(connection.execute(query).scalars())


def set_group(connection: Connection, gateway: str, group: str) -> bool:
    """Put a gateway into a group, or with an empty name into none; False when there is no such gateway."""
    return connection.execute(update(gateways).where(gateways.c.gateway == gateway).values(group=group)).rowcount > 0


def add_gateway(connection: Connection, gateway: str, now: float) -> bool:
    """Make a gateway known before it has been heard; whether it is new."""
    known = connection.execute(select(gateways.c.gateway).where(gateways.c.gateway == gateway)).first()
    insert_new(connection, gateways, [{"gateway": gateway, "first_seen": now, "last_seen": 0.0}])
    return known is None


def _unused() -> ColumnElement[bool]:
    current = select(desired.c.gateway).where(desired.c.sha256 == artifacts.c.sha256).exists()
    previous = select(desired.c.gateway).where(desired.c.previous_sha256 == artifacts.c.sha256).exists()
    return ~current & ~previous


def _desired(row: RowMapping) -> StoredDesired:
    current = None if row["version"] is None else Version(row["version"], row["sha256"])
    previous = None if row["previous_version"] is None else Version(row["previous_version"], row["previous_sha256"])
    return StoredDesired(row["gateway"], row["profile"], Desired(current, previous), row["ordered"], row["by"])


def _activation(row: RowMapping) -> StoredActivation:
    names = ("profile", "sha256", "version", "outcome", "reason", "detail", "counter")
    activation = Activation(**{name: row[name] for name in names})
    return StoredActivation(row["number"], row["gateway"], row["time"], row["received"], activation)


def _chunks(names: Collection[str]) -> Iterator[list[str]]:
    wanted = sorted(names)
    for start in range(0, len(wanted), _CHUNK):
        yield wanted[start : start + _CHUNK]
