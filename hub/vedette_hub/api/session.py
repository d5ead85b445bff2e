"""The session of a signed-in user: a signed cookie that holds a secret, whose hash the store knows."""

from __future__ import annotations

from datetime import timedelta

from flask import Flask, g, request, session

from vedette_hub.api.context import context
from vedette_hub.store import sessions, users
from vedette_hub.store.database import reading, writing
from vedette_hub.store.users import User

SECRET = "session"  # noqa: S105  # where the cookie has it


def configure(app: Flask, secret_key: bytes, *, hours: float, secure: bool) -> None:
    """Give an application its session cookie: signed, not readable by scripts, never sent by other sites."""
    app.secret_key = secret_key
    app.config.update(
        SESSION_COOKIE_NAME="vedette_hub",
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Strict",
        SESSION_COOKIE_SECURE=secure,
        PERMANENT_SESSION_LIFETIME=timedelta(hours=hours),
        SESSION_REFRESH_EACH_REQUEST=False,
    )


def begin(user: User) -> None:
    """Begin a session for a user who has proved who they are; what the cookie held before is gone."""
    here = context()
    now = here.now()
    with writing(here.engine) as connection:
        seconds = 3600.0 * here.config.web.session_hours
        secret = sessions.begin_session(connection, user, now, seconds, request.remote_addr or "")
        users.note_sign_in(connection, user, now)
    session.clear()
    g.pop("csrf_token", None)
    session.permanent = True
    session[SECRET] = secret


def end() -> None:
    """End this session; the cookie is worth nothing from now on, copies of it neither."""
    secret = session.get(SECRET)
    if isinstance(secret, str):
        with writing(context().engine) as connection:
            sessions.end_session(connection, secret)
    session.clear()


def signed_in() -> User | None:
    """The user whose session this is; None without one, or when it has ended."""
    secret = session.get(SECRET)
    if not isinstance(secret, str):
        return None
    here = context()
    with reading(here.engine) as connection:
        return sessions.find_session(connection, secret, here.now())
