"""Roles and scopes: what a user may do, and what of that a token may. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, get_args

from vedette_hub.errors import HubError

Role = Literal["viewer", "operator", "approver", "admin"]
Scope = Literal["read", "metrics", "alerts", "detect", "train", "push", "admin"]

ROLES: tuple[Role, ...] = get_args(Role)
"""From the one that may least to the one that may all; each may what those before it may."""
SCOPES: tuple[Scope, ...] = get_args(Scope)

RIGHTS: dict[Role, str] = {
    "viewer": "reads: alerts, gateways, devices, models, jobs, metrics",
    "operator": "acknowledges, resolves, labels, comments, silences, plans maintenance; has readings scored",
    "approver": "trains, pushes, rolls back and unloads models; puts gateways into groups",
    "admin": "settings, users, tokens, channels; reads the audit log",
}

LEAST_ROLE: dict[Scope, Role] = {
    "read": "viewer",
    "metrics": "viewer",
    "alerts": "operator",
    "detect": "operator",
    "train": "approver",
    "push": "approver",
    "admin": "admin",
}
"""Role below which a scope is worth nothing."""


class RoleError(HubError):
    """A role or scope that there is not, or that do not go together."""


def covers(role: Role, needed: Role) -> bool:
    """Whether a role may what another one may."""
    return ROLES.index(role) >= ROLES.index(needed)


def parse_role(text: str) -> Role:
    """The role with this name.

    Raises:
        RoleError: there is none.
    """
    for role in ROLES:
        if role == text:
            return role
    raise RoleError(f"role {text!r}: there is none of this name; choose {', '.join(ROLES)}")


def parse_scopes(names: Iterable[str], role: Role) -> tuple[Scope, ...] | None:
    """The scopes with these names, in their order above; None, which is all that the role may, when there are none.

    Raises:
        RoleError: one is unknown, or needs a higher role.
    """
    wanted = set(names)
    if not wanted:
        return None
    if unknown := sorted(wanted - set(SCOPES)):
        raise RoleError(f"scope {unknown[0]!r}: there is none of this name; choose from {', '.join(SCOPES)}")
    chosen = tuple(scope for scope in SCOPES if scope in wanted)
    for scope in chosen:
        if not covers(role, LEAST_ROLE[scope]):
            raise RoleError(f"scope {scope!r}: it needs the role {LEAST_ROLE[scope]}, and the token has {role}")
    return chosen
