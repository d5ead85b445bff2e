"""`/api/v1/users` and `/api/v1/me`: who may sign in, as what, and one's own account."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from apiflask import APIBlueprint, abort

from vedette_hub.api import signing_in
from vedette_hub.api.access import requires
from vedette_hub.api.auditing import note
from vedette_hub.api.caller import caller
from vedette_hub.api.context import context
from vedette_hub.api.idempotency import idempotent
from vedette_hub.api.identity_shapes import (
    MeOut,
    NewPasswordOut,
    OwnPasswordIn,
    PasswordIn,
    UserChangeIn,
    UserIn,
    UserOut,
    UsersOut,
    user_answer,
)
from vedette_hub.identity import passwords
from vedette_hub.identity.passwords import PasswordError
from vedette_hub.store import users
from vedette_hub.store.database import reading, writing
from vedette_hub.store.users import UnknownUserError, UserError

blueprint = APIBlueprint("users", __name__, url_prefix="/api/v1", tag="Users")


@blueprint.get("/me")
@requires("viewer", any_scope=True, password_due=True)
@blueprint.output(MeOut)
def me() -> dict[str, Any]:
    """Who sends this request, and what they may."""
    found = caller()
    scopes = None if found.scopes is None else list(found.scopes)
    return {**found.__dict__, "scopes": scopes}


@blueprint.post("/me/password")
@requires("viewer", person=True, password_due=True)
@blueprint.input(OwnPasswordIn)
@blueprint.output({}, status_code=204)
@blueprint.doc(responses=[400, 413])
def change_own_password(json_data: OwnPasswordIn) -> str:
    """Change one's own password; all other sessions of oneself end."""
    try:
        signing_in.change_password(caller(), json_data.current, json_data.password)
    except signing_in.TooManyFailuresError as error:
        abort(429, str(error), headers={"Retry-After": str(error.retry_after)})
    except signing_in.WrongPasswordError:
        abort(403, "That is not your current password.")
    except PasswordError as error:
        _refuse("password", error)
    return ""


@blueprint.get("/users")
@requires("admin")
@blueprint.output(UsersOut)
def list_users() -> dict[str, Any]:
    """Users by name."""
    with reading(context().engine) as connection:
        return {"users": [user_answer(user) for user in users.list_users(connection)]}


@blueprint.post("/users")
@requires("admin")
@blueprint.input(UserIn)
@blueprint.output(NewPasswordOut, status_code=201)
@blueprint.doc(responses=[400, 409, 413])
def add_user(json_data: UserIn) -> dict[str, Any]:
    """Add a user."""
    here, made = context(), _password(json_data.password, json_data.name)
    with _answered(), writing(here.engine) as connection:
        user = users.add_user(
            connection, json_data.name, made.kept, json_data.role, here.now(), password_due=made.shown is not None
        )
        note(connection, "user.add", user.name, detail=f"role {user.role}")
    return {**user_answer(user), "password": made.shown}


@blueprint.patch("/users/<name:user>")
@requires("admin")
@idempotent
@blueprint.input(UserChangeIn)
@blueprint.output(UserOut)
@blueprint.doc(responses=[400, 404, 409, 413])
def change_user(user: str, json_data: UserChangeIn) -> dict[str, Any]:
    """Give a user another role, disable or enable them."""
    here = context()
    with _answered(), writing(here.engine) as connection:
        changed = users.get_user(connection, user)
        if json_data.role is not None and json_data.role != changed.role:
            changed = users.set_role(connection, user, json_data.role)
            note(connection, "user.role", changed.name, detail=f"role {changed.role}")
        if json_data.disabled is not None and json_data.disabled != (changed.disabled is not None):
            changed = users.set_disabled(connection, user, here.now() if json_data.disabled else None)
            note(connection, "user.disable" if json_data.disabled else "user.enable", changed.name)
    return user_answer(changed)


@blueprint.post("/users/<name:user>/password")
@requires("admin")
@blueprint.input(PasswordIn)
@blueprint.output(NewPasswordOut)
@blueprint.doc(responses=[400, 404, 413])
def set_password(user: str, json_data: PasswordIn) -> dict[str, Any]:
    """Give a user another password, which they change at their next sign-in; all their sessions end."""
    here, made = context(), _password(json_data.password, user)
    with _answered(), writing(here.engine) as connection:
        changed = users.set_password(connection, user, made.kept, here.now(), password_due=True)
        note(connection, "user.password", changed.name)
    return {**user_answer(changed), "password": made.shown}


@blueprint.post("/users/<name:user>/sign-out")
@requires("admin")
@idempotent
@blueprint.output(UserOut)
@blueprint.doc(responses=[404])
def sign_out(user: str) -> dict[str, Any]:
    """End all sessions of a user."""
    with _answered(), writing(context().engine) as connection:
        found = users.get_user(connection, user)
        ended = users.end_sessions(connection, found.number)
        note(connection, "user.sign_out", found.name, detail=f"{ended} sessions")
    return user_answer(found)


class _Made:
    """A password on its way into the store."""

    def __init__(self, kept: str, shown: str | None) -> None:
        self.kept, self.shown = kept, shown


def _password(given: str | None, name: str) -> _Made:
    shown = passwords.generate() if given is None else None
    try:
        passwords.check(given or shown or "", name)
    except PasswordError as error:
        _refuse("password", error)
    return _Made(passwords.hashed(given or shown or ""), shown)


def _refuse(field: str, error: Exception) -> None:
    abort(422, "The request is not as it should be.", detail={"json": {field: [str(error)]}})


@contextmanager
def _answered() -> Iterator[None]:
    """Why it cannot be done, as a status with a sentence."""
    try:
        yield
    except UnknownUserError as error:
        abort(404, f"{str(error)[:1].upper()}{str(error)[1:]}; GET /api/v1/users lists those there are.")
    except UserError as error:
        abort(409, f"{str(error)[:1].upper()}{str(error)[1:]}.")
