"""Orders: push, roll back and unload for one gateway, a group or all, in one transaction with the signed manifests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from nacl.signing import SigningKey
from sqlalchemy import Connection, Engine

from vedette_hub.errors import HubError
from vedette_hub.fleet import rollout
from vedette_hub.fleet.issue import issue
from vedette_hub.fleet.rollout import Desired, Version
from vedette_hub.learning import registry
from vedette_hub.store import fleet as fleet_store
from vedette_hub.store import rollout as store
from vedette_hub.store.database import writing
from vedette_hub.store.rollout import StoredDesired

_NAMED = 5


class OrderError(HubError):
    """An order that cannot be given; nothing has changed."""


class UnknownModelError(OrderError):
    """There is no such profile or version."""


class UnknownTargetError(OrderError):
    """There is no such gateway or group; `field` says which of the two was asked for."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


class NothingToChangeError(OrderError):
    """None of the gateways could do what is asked for."""


@dataclass(frozen=True)
class Targets:
    """Whom an order is for: these gateways, a group, or with neither of them all."""

    gateways: tuple[str, ...] = ()
    group: str = ""

    def __str__(self) -> str:
        if self.gateways:
            return _listed(self.gateways)
        return f"group {self.group!r}" if self.group else "all gateways"


@dataclass(frozen=True)
class OrderedGateway:
    """What one gateway has been ordered; version None: no model."""

    gateway: str
    version: int | None
    counter: int


@dataclass(frozen=True)
class Ordered:
    """What an order did. Gateways that had nothing to go back to, or to unload, were skipped."""

    profile: str
    gateways: tuple[OrderedGateway, ...]
    skipped: tuple[str, ...] = ()


def push(engine: Engine, key: SigningKey, profile: str, number: int, targets: Targets, by: str, now: float) -> Ordered:
    """Order a version of a profile's model.

    Raises:
        UnknownModelError: there is no such version.
        UnknownTargetError: there is no such gateway or group.
        OrderError: a manifest cannot be made.
    """
    with writing(engine) as connection:
        model = registry.find(connection, profile, number)
        if model is None:
            raise UnknownModelError(_unknown_version(connection, profile, number))
        version = Version(model.version, model.sha256)
        return _order(connection, key, profile, lambda before: rollout.push(before, version), targets, by, now)


def roll_back(engine: Engine, key: SigningKey, profile: str, targets: Targets, by: str, now: float) -> Ordered:
    """Order on each gateway the version that was ordered there before.

    Raises:
        UnknownModelError: there is no model of this profile.
        UnknownTargetError: there is no such gateway or group.
        NothingToChangeError: nowhere is anything to go back to.
        OrderError: a manifest cannot be made.
    """
    with writing(engine) as connection:
        _check_profile(connection, profile)
        ordered = _order(connection, key, profile, rollout.roll_back, targets, by, now)
        if not ordered.gateways:
            raise NothingToChangeError(
                f"profile {profile!r}: no earlier version was ever ordered for {targets}; `vedette-hub unload` ends a "
                "model without a successor"
            )
        return ordered


def unload(engine: Engine, key: SigningKey, profile: str, targets: Targets, by: str, now: float) -> Ordered:
    """Order that no model of this profile runs; a roll back brings it back.

    Raises:
        UnknownModelError: there is no model of this profile.
        UnknownTargetError: there is no such gateway or group.
        NothingToChangeError: none is ordered anywhere.
        OrderError: a manifest cannot be made.
    """
    with writing(engine) as connection:
        _check_profile(connection, profile)
        ordered = _order(connection, key, profile, rollout.unload, targets, by, now)
        if not ordered.gateways:
            raise NothingToChangeError(f"profile {profile!r}: no model is ordered for {targets}")
        return ordered


def _order(
    connection: Connection,
    key: SigningKey,
    profile: str,
    change: Callable[[Desired | None], Desired | None],
    targets: Targets,
    by: str,
    now: float,
) -> Ordered:
    names = _resolve(connection, targets)
    ordered_before = store.ordered_versions(connection, profile)
    wanted = store.load_desired(connection, names)
    changed: dict[str, Desired] = {}
    for name in names:
        stored = wanted[name].get(profile)
        if (desired := change(stored.desired if stored else None)) is not None:
            changed[name] = desired
    store.save_desired(
        connection, [StoredDesired(name, profile, desired, now, by) for name, desired in changed.items()]
    )
    issued = issue(connection, key, list(changed), now)
    if issued.failures:
        name, reason = next(iter(issued.failures.items()))
        raise OrderError(f"gateway {name!r}: no manifest can be made: {reason}; nothing was ordered")
    _set_stages(connection, profile, ordered_before)
    return Ordered(
        profile,
        tuple(
            OrderedGateway(name, desired.current.number if desired.current else None, issued.counters[name])
            for name, desired in changed.items()
        ),
        tuple(name for name in names if name not in changed),
    )


def _resolve(connection: Connection, targets: Targets) -> list[str]:
    if targets.gateways:
        names = sorted(set(targets.gateways))
        if unknown := sorted(set(names) - fleet_store.known_gateways(connection, names)):
            raise UnknownTargetError(
                "gateways",
                f"no such gateway: {_listed(tuple(unknown))}; `vedette-hub enroll` makes one known before it reports",
            )
        return names
    names = store.members(connection, targets.group or None)
    if not names and targets.group:
        there = ", ".join(store.groups(connection)) or "none"
        raise UnknownTargetError("group", f"no gateway is in group {targets.group!r}; groups: {there}")
    if not names:
        raise UnknownTargetError("all", "there are no gateways yet; `vedette-hub enroll` makes one known")
    return names


def _check_profile(connection: Connection, profile: str) -> None:
    if registry.newest(connection, profile) is None:
        raise UnknownModelError(_unknown_profile(connection, profile))


def _unknown_version(connection: Connection, profile: str, number: int) -> str:
    found = registry.list_versions(connection, profile, limit=_NAMED)
    if not found:
        return _unknown_profile(connection, profile)
    there = ", ".join(str(model.version) for model in found)
    return f"profile {profile!r} has no version {number}; its newest are {there}"


def _unknown_profile(connection: Connection, profile: str) -> str:
    found = sorted({model.profile for model in registry.list_versions(connection, limit=100)})
    there = _listed(tuple(found)) if found else "none yet"
    return f"there is no model of profile {profile!r}; profiles with models: {there}"


def _set_stages(connection: Connection, profile: str, before: set[int]) -> None:
    after = store.ordered_versions(connection, profile)
    for number in sorted(after - before):
        registry.set_stage(connection, profile, number, "released")
    for number in sorted(before - after):
        registry.set_stage(connection, profile, number, "retired")


def _listed(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(repr(name) for name in names[:_NAMED]) + more
