"""API tokens: made for programs, kept as hashes only, checked, revoked."""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, delete, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from vedette_hub.errors import HubError
from vedette_hub.identity.roles import Role, Scope, parse_role, parse_scopes
from vedette_hub.store.schema import NAME_LENGTH, api_tokens

MOST_TOKENS = 1_000
"""Tokens kept; one more lets go of the oldest that no longer works, and is refused where all of them do."""

_FORM = re.compile(r"^vedette_[A-Za-z0-9_-]{43}$")
_LAST_USED_STEP_SECONDS = 60.0


class TokenError(HubError):
    """A token that cannot be made or revoked as asked."""


class UnknownTokenError(TokenError):
    """There is no such token, or it is revoked already."""


@dataclass(frozen=True)
class Token:
    """A token without its secret."""

    number: int
    name: str
    role: Role
    scopes: tuple[Scope, ...] | None
    """What of the role it may; None: all."""
    created: float
    by: str
    """Who made it; empty before that was kept."""
    expires: float | None
    last_used: float | None
    revoked: float | None

    def works(self, now: float) -> bool:
        """Whether it opens anything at a time."""
        return self.revoked is None and (self.expires is None or self.expires > now)


def new_secret() -> str:
    """A token of 256 random bits."""
    return f"vedette_{secrets.token_urlsafe(32)}"


def is_secret(text: str) -> bool:
    """Whether a text has the form of a token."""
    return _FORM.match(text) is not None


def add_token(
    connection: Connection,
    name: str,
    secret: str,
    now: float,
    *,
    role: Role,
    scopes: Sequence[str] = (),
    expires: float | None = None,
    by: str = "",
) -> Token:
    """Keep a token under a name.

    Raises:
        TokenError: the name is empty, too long or taken, it would have expired already, or there are too many.
        RoleError: a scope is unknown, or needs a higher role.
    """
    if not name.strip() or len(name) > NAME_LENGTH:
        raise TokenError(f"token name {name!r}: give it 1 to {NAME_LENGTH} characters")
    chosen = parse_scopes(scopes, role)
    kept = None if chosen is None else json.dumps(chosen)
    if expires is not None and expires <= now:
        raise TokenError(f"token name {name!r}: it would have expired already")
    _make_room(connection, now)
    values = {"name": name, "hash": _hash(secret), "created": now, "role": role, "expires": expires, "by": by}
    try:
        with connection.begin_nested():
            connection.execute(insert(api_tokens).values(**values, scopes=kept))
    except IntegrityError as error:
        raise TokenError(f"token name {name!r}: there is one already; choose another, or revoke that one") from error
    row = connection.execute(select(api_tokens).where(api_tokens.c.name == name)).one()
    return _token_of(row)


def check_secret(connection: Connection, secret: str, now: float) -> Token | None:
    """The token a secret belongs to; None when there is none, or it has expired or been revoked."""
    if not is_secret(secret):
        return None
    row = connection.execute(select(api_tokens).where(api_tokens.c.hash == _hash(secret), _working(now))).first()
    return None if row is None else _token_of(row)


def is_use_worth_noting(token: Token, now: float) -> bool:
    """Whether the time of last use is old enough to be written again: not every request is worth a write."""
    return token.last_used is None or now - token.last_used >= _LAST_USED_STEP_SECONDS


def note_use(connection: Connection, token: Token, now: float) -> None:
    """Write down when a token was used."""
    connection.execute(update(api_tokens).where(api_tokens.c.number == token.number).values(last_used=now))


def list_tokens(connection: Connection) -> list[Token]:
    """All tokens, those that work no longer too, oldest first."""
    return [_token_of(row) for row in connection.execute(select(api_tokens).order_by(api_tokens.c.number))]


def revoke_token(connection: Connection, name: str, now: float) -> None:
    """Make a token useless at once.

    Raises:
        UnknownTokenError: there is no such token, or it is revoked already.
    """
    known = [token.name for token in list_tokens(connection) if token.revoked is None]
    if name not in known:
        raise UnknownTokenError(f"token name {name!r}: no such token; there are: {', '.join(known) or 'none'}")
    connection.execute(update(api_tokens).where(api_tokens.c.name == name).values(revoked=now))


def _working(now: float) -> ColumnElement[bool]:
    return api_tokens.c.revoked.is_(None) & or_(api_tokens.c.expires.is_(None), api_tokens.c.expires > now)


def _make_room(connection: Connection, now: float) -> None:
    if connection.execute(select(func.count()).select_from(api_tokens)).scalar_one() < MOST_TOKENS:
        return
    oldest = select(api_tokens.c.number).where(~_working(now)).order_by(api_tokens.c.number).limit(1)
    gone = connection.execute(delete(api_tokens).where(api_tokens.c.number.in_(oldest.scalar_subquery()))).rowcount
    if not gone:
        raise TokenError(f"there are {MOST_TOKENS} tokens that work, which is as many as there can be; revoke one")


def _token_of(row: Row[Any]) -> Token:
    role = parse_role(row.role)
    scopes = None if row.scopes is None else parse_scopes(json.loads(row.scopes), role)
    return Token(row.number, row.name, role, scopes, row.created, row.by, row.expires, row.last_used, row.revoked)


def _hash(secret: str) -> str:
    # A token is 256 random bits: there is nothing to guess, and a slow hash would only slow down every request.
    return hashlib.sha256(secret.encode()).hexdigest()
