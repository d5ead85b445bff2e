"""What API requests and answers about users, tokens and the audit log look like. Times are as in `shapes`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from vedette_hub.api.shapes import Page, Seconds
from vedette_hub.identity import passwords
from vedette_hub.identity.roles import Role, Scope
from vedette_hub.store.audit import AuditFilter, StoredEntry
from vedette_hub.store.schema import NAME_LENGTH
from vedette_hub.store.tokens import Token
from vedette_hub.store.users import NAME_FORM, User
from vedette_hub.times import rfc3339

YEAR = 366 * 86_400.0
CSV_ROWS = 100_000

_Password = Annotated[str, Field(min_length=passwords.SHORTEST, max_length=passwords.LONGEST)]
_Name = Annotated[str, Field(max_length=NAME_LENGTH)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class UserIn(_Strict):
    """A user to be added."""

    name: Annotated[str, Field(pattern=NAME_FORM)]
    role: Role = "viewer"
    password: _Password | None = Field(None, description="Without one, one is made and answered, to be changed.")


class UserChangeIn(_Strict):
    """What is to be changed about a user; what is left out stays."""

    role: Role | None = None
    disabled: bool | None = Field(None, description="true ends all their sessions.")


class PasswordIn(_Strict):
    """Another password for a user."""

    password: _Password | None = Field(None, description="Without one, one is made and answered, to be changed.")


class OwnPasswordIn(_Strict):
    """Another password for oneself."""

    current: Annotated[str, Field(max_length=passwords.LONGEST)]
    password: _Password


class UserOut(BaseModel):
    """A user."""

    name: str
    role: Role
    disabled: bool
    password_due: bool
    """The password has to be changed at the next sign-in."""
    created: float
    created_at: str | None
    last_sign_in: float | None
    last_sign_in_at: str | None


class NewPasswordOut(UserOut):
    """A user with a new password."""

    password: str | None
    """The one that was made, shown this once; null where the request brought one."""


class UsersOut(BaseModel):
    """All users by name."""

    users: list[UserOut]


class TokenIn(_Strict):
    """A token to be made."""

    name: Annotated[str, Field(min_length=1, max_length=NAME_LENGTH, pattern=r"\S")]
    role: Role = "viewer"
    scopes: Annotated[list[Scope], Field(max_length=20)] = Field([], description="Only this of the role; empty: all.")
    expires_in: Annotated[float, Field(gt=0, le=10 * YEAR, strict=False)] | None = Field(
        None, description="Seconds until it is worth nothing; null: never."
    )


class TokenOut(BaseModel):
    """A token without its secret."""

    name: str
    role: Role
    scopes: list[Scope] | None
    """null: all that the role may."""
    by: str
    created: float
    created_at: str | None
    expires: float | None
    expires_at: str | None
    last_used: float | None
    last_used_at: str | None
    revoked: float | None
    works: bool


class NewTokenOut(TokenOut):
    """A token that has just been made."""

    secret: str
    """Shown this once; the hub keeps a hash."""


class TokensOut(BaseModel):
    """All tokens, oldest first."""

    tokens: list[TokenOut]


class MeOut(BaseModel):
    """Who sends this request."""

    kind: Literal["user", "token"]
    name: str
    role: Role
    scopes: list[Scope] | None
    password_due: bool


class AuditChoice(BaseModel):
    """Which entries of the audit log."""

    model_config = ConfigDict(extra="forbid")

    by: _Name | None = Field(None, description="As entries name them: `ana`, `scripts (token)`.")
    action: Annotated[str, Field(max_length=64)] | None = Field(
        None, description="`model.push`, or with a dot at the end all of a thing: `model.`"
    )
    target: Annotated[str, Field(max_length=2_000)] | None = None
    outcome: Literal["done", "refused", "failed"] | None = None
    since: Seconds | None = Field(None, description="At this time or later: seconds since 1970, or RFC 3339.")
    until: Seconds | None = None

    def chosen(self) -> AuditFilter:
        """The filter for the store."""
        return AuditFilter(self.by, self.action, self.target, self.outcome, self.since, self.until)


class AuditQuery(AuditChoice, Page):
    """Which page of the audit log."""

    before: int | None = Field(None, ge=1, le=2**53, description="Continue: the `next` of the page before.")


class AuditEntryOut(BaseModel):
    """One thing that somebody did, or tried to do."""

    number: int
    time: float
    at: str | None
    by: str
    address: str
    action: str
    target: str
    outcome: Literal["done", "refused", "failed"]
    detail: str


class AuditOut(BaseModel):
    """A page of the audit log, the newest first."""

    entries: list[AuditEntryOut]
    total: int
    next: int | None = Field(description="`before` of the next page; null on the last.")


def user_answer(user: User) -> dict[str, Any]:
    """Fields of `UserOut`."""
    return {
        "name": user.name,
        "role": user.role,
        "disabled": user.disabled is not None,
        "password_due": user.password_due,
        "created": user.created,
        "created_at": rfc3339(user.created),
        "last_sign_in": user.last_sign_in,
        "last_sign_in_at": rfc3339(user.last_sign_in),
    }


def token_answer(token: Token, now: float) -> dict[str, Any]:
    """Fields of `TokenOut`."""
    return {
        "name": token.name,
        "role": token.role,
        "scopes": None if token.scopes is None else list(token.scopes),
        "by": token.by,
        "created": token.created,
        "created_at": rfc3339(token.created),
        "expires": token.expires,
        "expires_at": rfc3339(token.expires),
        "last_used": token.last_used,
        "last_used_at": rfc3339(token.last_used),
        "revoked": token.revoked,
        "works": token.works(now),
    }


def entry_answer(stored: StoredEntry) -> dict[str, Any]:
    """Fields of `AuditEntryOut`."""
    return {"number": stored.number, "at": rfc3339(stored.entry.time), **stored.entry.__dict__}
