"""What a request needs: the store, the configuration and the clock."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from flask import current_app
from sqlalchemy import Engine

from vedette_hub.config import Config

_EXTENSION = "vedette"


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
