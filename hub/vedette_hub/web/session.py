"""Signing in to the console: an API token, exchanged for a signed cookie; and protection of its forms."""

from __future__ import annotations

import hmac
import secrets
from datetime import timedelta

from flask import Flask, request, session

from vedette_hub.api.context import context
from vedette_hub.store import tokens
from vedette_hub.store.database import reading
from vedette_hub.store.tokens import Token

FORM_FIELD = "form_key"


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


def sign_in(secret: str) -> bool:
    """Begin a session for whoever has this API token; False when it is none."""
    with reading(context().engine) as connection:
        token = tokens.check_secret(connection, secret.strip())
    if token is None:
        return False
    session.clear()
    session.permanent = True
    session["token"] = token.number
    return True


def sign_out() -> None:
    """End the session."""
    session.clear()


def signed_in() -> Token | None:
    """The token of this session; None without one, or when it has been revoked since."""
    number = session.get("token")
    if not isinstance(number, int):
        return None
    with reading(context().engine) as connection:
        return tokens.find_token(connection, number)


def form_key() -> str:
    """What a form of this session must send back, so that no other site can send it."""
    if "form_key" not in session:
        session["form_key"] = secrets.token_urlsafe(24)
    return str(session["form_key"])


def is_own_form() -> bool:
    """Whether this request comes from a form of this session."""
    expected = session.get("form_key")
    return isinstance(expected, str) and hmac.compare_digest(expected, request.form.get(FORM_FIELD, ""))
