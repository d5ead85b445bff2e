"""People and programs who use a hub in a test."""

from __future__ import annotations

import re
import time
from typing import Any

from sqlalchemy import Engine

from vedette_hub.identity import passwords
from vedette_hub.identity.roles import Role
from vedette_hub.store import sessions, tokens, users
from vedette_hub.store.database import writing

PASSWORD = "correct horse battery"
_KEPT: list[str] = []


def add(engine: Engine, name: str, role: Role, *, password_due: bool = False) -> None:
    """A user with `PASSWORD`."""
    if not _KEPT:
        _KEPT.append(passwords.hashed(PASSWORD))  # once: it is meant to take long
    with writing(engine) as connection:
        users.add_user(connection, name, _KEPT[0], role, time.time(), password_due=password_due)


def begin_session(client: Any, engine: Engine, name: str) -> None:
    """Give a test client a session of that user, without the form, which takes longer."""
    with writing(engine) as connection:
        secret = sessions.begin_session(connection, users.get_user(connection, name), time.time(), 3600.0, "127.0.0.1")
    with client.session_transaction() as cookie:
        cookie["session"] = secret


def make_token(engine: Engine, name: str, role: Role, *scopes: str, expires: float | None = None) -> str:
    """A token's secret."""
    secret = tokens.new_secret()
    with writing(engine) as connection:
        tokens.add_token(connection, name, secret, time.time(), role=role, scopes=scopes, expires=expires)
    return secret


def csrf_token(page: str) -> str:
    """The token that forms of a page send."""
    found = re.search(r'name="csrf-token" content="([^"]+)"', page)
    assert found
    return found[1]


def sign_in(client: Any, name: str, password: str = PASSWORD) -> Any:
    """Sign in by the form; the answer."""
    token = csrf_token(client.get("/login").get_data(as_text=True))
    return client.post("/login", data={"user": name, "password": password, "csrf_token": token})


def csrf_header(client: Any) -> dict[str, str]:
    """What the console's `fetch` sends with a session's cookie."""
    return {"X-CSRFToken": csrf_token(client.get("/login", follow_redirects=True).get_data(as_text=True))}
