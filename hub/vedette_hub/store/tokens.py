"""API tokens: made, kept as hashes only, checked, revoked."""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass

from sqlalchemy import Connection, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from vedette_hub.errors import HubError
from vedette_hub.store.schema import NAME_LENGTH, api_tokens

_FORM = re.compile(r"^vedette_[A-Za-z0-9_-]{43}$")
_LAST_USED_STEP_SECONDS = 60.0


class TokenError(HubError):
    """A token that cannot be made or revoked as asked."""


@dataclass(frozen=True)
class Token:
    """A token without its secret."""

    number: int
    name: str
    created: float
    last_used: float | None
    revoked: float | None


def new_secret() -> str:
    """A token of 256 random bits."""
    return f"vedette_{secrets.token_urlsafe(32)}"


def is_secret(text: str) -> bool:
    """Whether a text has the form of a token."""
    return _FORM.match(text) is not None


def add_token(connection: Connection, name: str, secret: str, now: float) -> None:
    """Keep a token under a name.

    Raises:
        TokenError: the name is empty, too long or taken.
    """
    if not name.strip() or len(name) > NAME_LENGTH:
        raise TokenError(f"token name {name!r}: give it 1 to {NAME_LENGTH} characters")
    try:
        connection.execute(insert(api_tokens).values(name=name, hash=_hash(secret), created=now))
    except IntegrityError as error:
        raise TokenError(f"token name {name!r}: there is one already; choose another, or revoke that one") from error


def check_secret(connection: Connection, secret: str) -> Token | None:
    """The token a secret belongs to; None when there is none, or it is revoked."""
    if not is_secret(secret):
        return None
    query = select(api_tokens).where(api_tokens.c.hash == _hash(secret), api_tokens.c.revoked.is_(None))
    row = connection.execute(query).first()
    return None if row is None else Token(row.number, row.name, row.created, row.last_used, row.revoked)


def find_token(connection: Connection, number: int) -> Token | None:
    """The token with a number; None when there is none, or it is revoked."""
    query = select(api_tokens).where(api_tokens.c.number == number, api_tokens.c.revoked.is_(None))
    row = connection.execute(query).first()
    return None if row is None else Token(row.number, row.name, row.created, row.last_used, row.revoked)


def is_use_worth_noting(token: Token, now: float) -> bool:
    """Whether the time of last use is old enough to be written again: not every request is worth a write."""
    return token.last_used is None or now - token.last_used >= _LAST_USED_STEP_SECONDS


def note_use(connection: Connection, token: Token, now: float) -> None:
    """Write down when a token was used."""
    connection.execute(update(api_tokens).where(api_tokens.c.number == token.number).values(last_used=now))


def list_tokens(connection: Connection) -> list[Token]:
    """All tokens, revoked ones too, oldest first."""
    rows = connection.execute(select(api_tokens).order_by(api_tokens.c.number))
    return [Token(row.number, row.name, row.created, row.last_used, row.revoked) for row in rows]


def count_valid(connection: Connection) -> int:
    """How many tokens work."""
    query = select(func.count()).select_from(api_tokens).where(api_tokens.c.revoked.is_(None))
    return int(connection.execute(query).scalar_one())


def revoke_token(connection: Connection, name: str, now: float) -> None:
    """Make a token useless, for the console's sessions too.

    Raises:
        TokenError: there is no such token, or it is revoked already.
    """
    known = [token for token in list_tokens(connection) if token.revoked is None]
    if name not in {token.name for token in known}:
        names = ", ".join(token.name for token in known) or "none"
        raise TokenError(f"token name {name!r}: no such token; there are: {names}")
    connection.execute(update(api_tokens).where(api_tokens.c.name == name).values(revoked=now))


def _hash(secret: str) -> str:
    # A token is 256 random bits: there is nothing to guess, and a slow hash would only slow down every request.
    return hashlib.sha256(secret.encode()).hexdigest()
