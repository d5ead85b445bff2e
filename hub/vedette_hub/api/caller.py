"""Who sent a request: a user by their session, or a program by its token."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from apiflask import HTTPError
from flask import g, request
from werkzeug.datastructures import Authorization

from vedette_hub.api import session
from vedette_hub.api.access import Access
from vedette_hub.api.context import context
from vedette_hub.identity.roles import Role, Scope, covers
from vedette_hub.store import tokens
from vedette_hub.store.database import reading, writing
from vedette_hub.store.schema import NAME_LENGTH
from vedette_hub.store.tokens import Token
from vedette_hub.store.users import User

_TOKEN_SUFFIX = " (token)"  # noqa: S105  # part of a name


@dataclass(frozen=True)
class Caller:
    """Who sent this request."""

    kind: Literal["user", "token"]
    number: int
    name: str
    role: Role
    scopes: tuple[Scope, ...] | None = None
    password_due: bool = False

    def __str__(self) -> str:
        """As histories and the audit log name them; a user and a token of the same name stay apart."""
        if self.kind == "user":
            return self.name
        return self.name[: NAME_LENGTH - len(_TOKEN_SUFFIX)] + _TOKEN_SUFFIX


def maybe_caller() -> Caller | None:
    """Who sent this request; None when they are not signed in, which only an open route meets."""
    found = g.get("caller")
    return found if isinstance(found, Caller) else None


def caller() -> Caller:
    """Who sent this request.

    Raises:
        HTTPError: 401: nobody signed in, on an open route.
    """
    found = maybe_caller()
    if found is None:
        raise unauthorized()
    return found


def who() -> str:
    """The caller's name for histories: a user's as it is, a token's with ` (token)` behind it."""
    return str(caller())


def unauthorized(*, invalid: bool = False) -> HTTPError:
    """The answer to a request without a caller."""
    challenge = 'Bearer realm="Vedette hub"' + (', error="invalid_token"' if invalid else "")
    return HTTPError(401, headers={"WWW-Authenticate": challenge})


def authenticate() -> Caller | None:
    """Who sends this request: by its token, or else by its session; None when it has neither.

    Raises:
        HTTPError: 401: it has a token that is worth nothing. The session does not count then.
    """
    sent = request.headers.get("Authorization")
    if sent is None:
        user = session.signed_in()
        return None if user is None else caller_of(user)
    given = Authorization.from_header(sent)
    found = check_token(given.token) if given is not None and given.type == "bearer" and given.token else None
    if found is None:
        raise unauthorized(invalid=True)
    return found


def check_token(secret: str) -> Caller | None:
    """The caller behind a token's secret; None when it is worth nothing."""
    here = context()
    now = here.now()
    with reading(here.engine) as connection:
        token = tokens.check_secret(connection, secret, now)
    if token is None:
        return None
    if tokens.is_use_worth_noting(token, now):
        with writing(here.engine) as connection:
            tokens.note_use(connection, token, now)
    return caller_of(token)


def caller_of(found: User | Token) -> Caller:
    """A user or token as a caller."""
    if isinstance(found, User):
        return Caller("user", found.number, found.name, found.role, password_due=found.password_due)
    return Caller("token", found.number, found.name, found.role, found.scopes)


def problem(access: Access, found: Caller) -> str:
    """Why a caller may not use a route, as a sentence; empty when they may."""
    if access.role is None:
        return ""
    if access.person and found.kind != "user":
        return "This is about a user's own account: sign in as one; a token has none."
    if not covers(found.role, access.role):
        return f"This needs the role {access.role}; {found} is {found.role}."
    if found.scopes is not None and access.scopes and not set(access.scopes) & set(found.scopes):
        needed = " or ".join(access.scopes)
        return f"This needs the scope {needed}; {found} has {', '.join(found.scopes)}."
    if found.password_due and not access.password_due:
        return "Choose a new password first: POST /api/v1/me/password, or on the console's page of your account."
    return ""
