"""Sessions of signed-in users: kept as hashes only, bounded for each user, ended by deleting them."""

from __future__ import annotations

import hashlib
import secrets

from sqlalchemy import Connection, delete, insert, select

from vedette_hub.store.schema import sessions, users
from vedette_hub.store.users import User, user_of

MOST_PER_USER = 20
"""Sessions a user may have at a time; one more ends the oldest."""


def begin_session(connection: Connection, user: User, now: float, seconds: float, address: str) -> str:
    """Begin a session of so many seconds; returns its secret, of 256 random bits."""
    secret = secrets.token_urlsafe(32)
    connection.execute(delete(sessions).where(sessions.c.expires <= now))
    newest = (
        select(sessions.c.hash)
        .where(sessions.c.user == user.number)
        .order_by(sessions.c.created.desc(), sessions.c.hash)
        .limit(MOST_PER_USER - 1)
    )
    connection.execute(
        delete(sessions).where(sessions.c.user == user.number, sessions.c.hash.not_in(newest.scalar_subquery()))
    )
    connection.execute(
        insert(sessions).values(
            hash=_hash(secret), user=user.number, created=now, expires=now + seconds, address=address
        )
    )
    return secret


def find_session(connection: Connection, secret: str, now: float) -> User | None:
    """The user whose session this is; None when it has ended, or they are disabled."""
    query = (
        select(users)
        .join(sessions, sessions.c.user == users.c.number)
        .where(sessions.c.hash == _hash(secret), sessions.c.expires > now, users.c.disabled.is_(None))
    )
    row = connection.execute(query).first()
    return None if row is None else user_of(row)


def end_session(connection: Connection, secret: str) -> None:
    """End one session."""
    connection.execute(delete(sessions).where(sessions.c.hash == _hash(secret)))


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
