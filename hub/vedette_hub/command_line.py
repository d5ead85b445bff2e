"""What every command of `vedette-hub` shares: its configuration, and errors as sentences."""

from __future__ import annotations

import getpass
import os
import sys
import time
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vedette_hub import config as configuration
from vedette_hub.config import Config
from vedette_hub.errors import ConfigurationError, HubError

if TYPE_CHECKING:
    from sqlalchemy import Connection

EXIT_FAILURE, EXIT_CONFIGURATION = 1, 2

config_option = click.option(
    "--config",
    "-c",
    "path",
    type=click.Path(path_type=Path),
    envvar="VEDETTE_HUB_CONFIG",
    help="Configuration file; without one the defaults and VEDETTE_HUB_… variables count.",
)


def reported(command: Callable[..., None]) -> Callable[..., None]:
    """Errors as sentences on standard error, with an exit code instead of a trace."""

    @wraps(command)
    def run(*arguments: Any, **options: Any) -> None:
        try:
            command(*arguments, **options)
        except ConfigurationError as error:
            for problem in error.problems:
                click.echo(problem, err=True)
            sys.exit(EXIT_CONFIGURATION)
        except HubError as error:
            click.echo(str(error), err=True)
            sys.exit(EXIT_FAILURE)

    return run


def user() -> str:
    """Who runs a command, as histories and the audit log name them."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):
        name = "somebody"  # a user id without a name, as in a container
    return f"{name} (command line)"


def note(connection: Connection, action: str, target: str = "", detail: str = "") -> None:
    """Write down in the audit log what a command does, in the transaction of what it does."""
    from vedette_hub.store import audit

    audit.note(connection, audit.Entry(time.time(), user(), "", action, target, detail=detail))


def load_config(path: Path | None) -> Config:
    """The configuration at `path`, with the environment's say.

    Raises:
        ConfigurationError: with every mistake there is.
    """
    environment = {name: value for name, value in os.environ.items() if name != "VEDETTE_HUB_CONFIG"}
    return configuration.load(path, environment)
