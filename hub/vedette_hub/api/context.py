"""What a request needs: the store, the configuration, the clock, and who is asking."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from apiflask import HTTPTokenAuth
from flask import current_app
from sqlalchemy import Engine

from vedette_hub.config import Config
from vedette_hub.store import tokens
from vedette_hub.store.database import reading, writing
from vedette_hub.store.tokens import Token

_EXTENSION = "vedette"

bearer = HTTPTokenAuth(scheme="Bearer", description="A token made by `vedette-hub token create`.")


@dataclass(frozen=True)
class Context:
    """What the composer gives to the web application."""

    config: Config
    engine: Engine

    @property
    def state_dir(self) -> Path:
        """The state directory."""
        return self.config.state_dir

    def attach(self, extensions: dict[str, object]) -> None:
        """Make it reachable from requests."""
        extensions[_EXTENSION] = self

    def now(self) -> float:
        """Seconds since 1970 UTC."""
        return time.time()


def context() -> Context:
    """The context of the application that handles this request."""
    return cast(Context, current_app.extensions[_EXTENSION])


@bearer.verify_token  # type: ignore[untyped-decorator]  # Flask-HTTPAuth has no types
def _verify(secret: str) -> Token | None:
    here = context()
    with reading(here.engine) as connection:
        token = tokens.check_secret(connection, secret)
    if token is not None and tokens.is_use_worth_noting(token, here.now()):
        with writing(here.engine) as connection:
            tokens.note_use(connection, token, here.now())
    return token


def who() -> str:
    """Name of the token that this API request carries."""
    return cast(Token, bearer.current_user).name
