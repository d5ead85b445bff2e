"""The console's page of users and API tokens, for admins."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from apiflask import APIBlueprint
from flask import abort, redirect, render_template, request, url_for
from sqlalchemy import Connection

from vedette_hub.api.access import requires
from vedette_hub.api.auditing import note
from vedette_hub.api.caller import who
from vedette_hub.api.context import context
from vedette_hub.api.tokens import describe
from vedette_hub.errors import HubError
from vedette_hub.identity import passwords
from vedette_hub.identity.roles import LEAST_ROLE, RIGHTS, RoleError, parse_role
from vedette_hub.store import tokens, users
from vedette_hub.store.database import reading, writing
from vedette_hub.store.tokens import UnknownTokenError
from vedette_hub.store.users import UnknownUserError

LIFETIMES = {"never": None, "in a day": 1, "in 90 days": 90, "in a year": 365}
_DAY = 86_400.0

blueprint = APIBlueprint("access", __name__, url_prefix="/settings", enable_openapi=False)


@blueprint.get("/access")
@requires("admin", page=True)
def page() -> Any:
    """Users and tokens."""
    return _page()


@blueprint.post("/users")
@requires("admin")
def add_user() -> Any:
    """Add a user with a password that is made, shown once and has to be changed."""
    name, made = request.form.get("name", ""), passwords.generate()
    kept = passwords.hashed(made)

    def add(connection: Connection, now: float) -> tuple[str, str]:
        role = parse_role(request.form.get("role", ""))
        user = users.add_user(connection, name, kept, role, now, password_due=True)
        note(connection, "user.add", user.name, detail=f"role {user.role}")
        return f"Password of {user.name}, to be changed at the first sign-in", made

    return _do(add)


@blueprint.post("/users/<name:user>/role")
@requires("admin")
def set_role(user: str) -> Any:
    """Give a user another role."""

    def change(connection: Connection, _: float) -> None:
        changed = users.set_role(connection, user, parse_role(request.form.get("role", "")))
        note(connection, "user.role", changed.name, detail=f"role {changed.role}")

    return _do(change)


@blueprint.post("/users/<name:user>/disable")
@requires("admin")
def disable(user: str) -> Any:
    """Let a user sign in no more."""

    def change(connection: Connection, now: float) -> None:
        note(connection, "user.disable", users.set_disabled(connection, user, now).name)

    return _do(change)


@blueprint.post("/users/<name:user>/enable")
@requires("admin")
def enable(user: str) -> Any:
    """Let a user sign in again."""

    def change(connection: Connection, _: float) -> None:
        note(connection, "user.enable", users.set_disabled(connection, user, None).name)

    return _do(change)


@blueprint.post("/users/<name:user>/password")
@requires("admin")
def reset_password(user: str) -> Any:
    """Make another password for a user, shown once, to be changed."""
    made = passwords.generate()
    kept = passwords.hashed(made)

    def change(connection: Connection, now: float) -> tuple[str, str]:
        changed = users.set_password(connection, user, kept, now, password_due=True)
        note(connection, "user.password", changed.name)
        return f"New password of {changed.name}, to be changed at the next sign-in", made

    return _do(change)


@blueprint.post("/tokens")
@requires("admin")
def create_token() -> Any:
    """Make a token, whose secret is shown once."""
    secret = tokens.new_secret()
    days = LIFETIMES.get(request.form.get("expires", ""))

    def create(connection: Connection, now: float) -> tuple[str, str]:
        made = tokens.add_token(
            connection,
            request.form.get("name", "").strip(),
            secret,
            now,
            role=parse_role(request.form.get("role", "")),
            scopes=request.form.getlist("scope"),
            expires=None if days is None else now + days * _DAY,
            by=who(),
        )
        note(connection, "token.add", made.name, detail=describe(made))
        return f"Token {made.name}", secret

    return _do(create)


@blueprint.post("/tokens/<name:token>/revoke")
@requires("admin")
def revoke_token(token: str) -> Any:
    """Make a token useless at once."""

    def revoke(connection: Connection, now: float) -> None:
        tokens.revoke_token(connection, token, now)
        note(connection, "token.revoke", token)

    return _do(revoke)


def _do(change: Callable[[Connection, float], tuple[str, str] | None]) -> Any:
    """Change something; then the page again, with a secret if there is one to show, or with why it cannot be done."""
    here = context()
    try:
        with writing(here.engine) as connection:
            secret = change(connection, here.now())
    except (UnknownUserError, UnknownTokenError):
        abort(404)
    except HubError as error:
        text = str(error)
        status = 422 if isinstance(error, RoleError) else 409
        return _page(problem=text[:1].upper() + text[1:] + ".", status=status)
    return redirect(url_for("access.page"), 303) if secret is None else _page(secret=secret)


def _page(problem: str = "", status: int = 200, secret: tuple[str, str] | None = None) -> tuple[str, int]:
    here = context()
    now = here.now()
    with reading(here.engine) as connection:
        found_users, found_tokens = users.list_users(connection), tokens.list_tokens(connection)
    text = render_template(
        "access.html",
        problem=problem,
        secret=secret,
        users=found_users,
        tokens=[token for token in found_tokens if token.works(now)],
        rights=RIGHTS,
        scopes=LEAST_ROLE,
        lifetimes=LIFETIMES,
    )
    return text, status
