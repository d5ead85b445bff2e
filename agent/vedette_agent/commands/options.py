"""What several commands share: where the configuration is, and what happens when it cannot be used."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vedette_agent.config import Config, Problem

DEFAULT_CONFIG = Path("/etc/vedette/agent.toml")
CONFIG_VARIABLE = "VEDETTE_CONFIG"
BAD_CONFIGURATION = 2
"""Exit code when the configuration cannot be used."""

config_option = click.option(
    "--config",
    "config_path",
    type=click.Path(path_type=Path),
    envvar=CONFIG_VARIABLE,
    default=DEFAULT_CONFIG,
    show_default=True,
    show_envvar=True,
    help="The configuration file.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for a program to read.")


def load_or_exit(path: Path, *, outside_service: bool = False) -> Config:
    """The configuration; warnings go to stderr. `outside_service` as in `vedette_agent.config.load`.

    Raises:
        SystemExit: it cannot be used: every problem is on stderr, the exit code is 2.
    """
    import os

    from vedette_agent.config import ConfigError, load

    try:
        config = load(path, os.environ, outside_service=outside_service)
    except ConfigError as error:
        print_problems(error.problems)
        sys.exit(BAD_CONFIGURATION)
    print_warnings(config.warnings)
    return config


def print_problems(problems: Iterable[Problem]) -> None:
    """One line each, on stderr."""
    for problem in problems:
        click.echo(problem, err=True)


def print_warnings(warnings: Iterable[Problem]) -> None:
    """One line each, on stderr."""
    for warning in warnings:
        click.echo(f"warning: {warning}", err=True)
