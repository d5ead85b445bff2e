"""Who may call what: every route declares it here, and is refused at registration if it does not.

    @blueprint.post("/models/train")
    @requires("approver", "train")
    @blueprint.input(TrainIn)
    def train(json_data: TrainIn) -> …:

The declaration stands directly under the route. `guard` checks what it says before the view runs; nothing else does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from flask import Flask

from vedette_hub.config import Config
from vedette_hub.errors import HubError
from vedette_hub.identity.roles import LEAST_ROLE, Role, Scope, covers

View = TypeVar("View", bound=Callable[..., Any])

_DECLARED = "vedette_access"
_OPEN_ENDPOINTS = {
    "static": "not used",
    "bootstrap.static": "style sheets of the sign-in form",
    "console.static": "style sheets and scripts of the console; no data",
    "openapi.spec": "what the API looks like, which everybody can read in the source",
}
"""Routes that libraries make for us, and why they are open."""


class UndeclaredRouteError(HubError):
    """A route that does not say who may call it."""


@dataclass(frozen=True)
class Access:
    """Who may call a route."""

    role: Role | None
    """The least role; None: everybody, also without signing in."""
    scopes: tuple[Scope, ...] = ()
    """A token that is narrowed to scopes needs one of these."""
    page: bool = False
    """A page for people: whoever is not signed in is led to the form that does it."""
    person: bool = False
    """For signed-in users only, not for tokens: it is about their own account."""
    password_due: bool = False
    """Also for a user who has to choose a new password first."""
    unless: Callable[[Config], bool] | None = None
    """The configuration may open it to everybody."""
    why: str = ""
    """Why it is open to everybody."""
    greets: bool = False
    """Open, and wants to know who is signed in if somebody is: `maybe_caller()`."""


def requires(
    role: Role,
    *scopes: Scope,
    page: bool = False,
    person: bool = False,
    password_due: bool = False,
    any_scope: bool = False,
    unless: Callable[[Config], bool] | None = None,
) -> Callable[[View], View]:
    """Declare the least role that a route needs, and the scopes of which a narrowed token must have one.

    Without scopes: `read` for a viewer's route, `alerts` for an operator's, `admin` for an admin's. An approver's route
    names one, for `train` and `push` are different things. With `any_scope` any token of the role will do.

    Raises:
        UndeclaredRouteError: an approver's route that names no scope, or a scope that belongs to a higher role.
    """
    usual: dict[Role, tuple[Scope, ...]] = {"viewer": ("read",), "operator": ("alerts",), "admin": ("admin",)}
    chosen = scopes or usual.get(role, ())
    if any_scope:
        chosen = ()
    elif not chosen:
        raise UndeclaredRouteError(f"a route for the role {role}: name its scope")
    for scope in chosen:
        if not covers(role, LEAST_ROLE[scope]):
            raise UndeclaredRouteError(f"scope {scope!r} is for {LEAST_ROLE[scope]}, the route for {role}")
    access = Access(role, chosen, page, person, password_due, unless)

    def declare(view: View) -> View:
        setattr(view, _DECLARED, access)
        return view

    return declare


def open_to_all(why: str, *, greets: bool = False) -> Callable[[View], View]:
    """Declare that a route answers everybody, and why; with `greets`, `maybe_caller()` says who asks."""

    def declare(view: View) -> View:
        setattr(view, _DECLARED, Access(None, why=why, greets=greets))
        return view

    return declare


def access_of(app: Flask, endpoint: str) -> Access:
    """What a route of an application declares."""
    if endpoint in _OPEN_ENDPOINTS:
        return Access(None, why=_OPEN_ENDPOINTS[endpoint])
    declared = getattr(app.view_functions[endpoint], _DECLARED)
    assert isinstance(declared, Access)  # noqa: S101  # registration has seen to it
    return declared


def check_declared(endpoint: str | None, view: Callable[..., Any] | None) -> None:
    """Refuse a route that does not say who may call it.

    Raises:
        UndeclaredRouteError: it does not.
    """
    name = endpoint or getattr(view, "__name__", "")
    if view is not None and name not in _OPEN_ENDPOINTS and not isinstance(getattr(view, _DECLARED, None), Access):
        raise UndeclaredRouteError(
            f"route {name!r} does not say who may call it: put @requires(role) or @open_to_all(why) under its route"
        )
