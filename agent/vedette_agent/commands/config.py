"""`vedette-agent config`: check, show and init."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import click

from vedette_agent.commands.options import (
    BAD_CONFIGURATION,
    CONFIG_VARIABLE,
    DEFAULT_CONFIG,
    config_option,
    json_option,
    load_or_exit,
    print_problems,
    print_warnings,
)


@click.group()
def config() -> None:
    """Look after the configuration file."""


@config.command()
@config_option
@json_option
def check(config_path: Path, as_json: bool) -> None:
    """Say everything that is wrong with the configuration, or what was understood.

    Exit code 0 when it can be used, 2 when not.
    """
    from dataclasses import asdict

    from vedette_agent.config import ConfigError, load
    from vedette_agent.config.show import summary

    problems, warnings, understood = [], [], []
    try:
        loaded = load(config_path, os.environ, outside_service=True)
    except ConfigError as error:
        problems = error.problems
    else:
        warnings, understood = list(loaded.warnings), summary(loaded)
    if as_json:
        answer = {
            "ok": not problems,
            "file": str(config_path),
            "problems": [asdict(problem) for problem in problems],
            "warnings": [asdict(warning) for warning in warnings],
            "understood": understood,
        }
        click.echo(json.dumps(answer, ensure_ascii=False))
    else:
        print_problems(problems)
        print_warnings(warnings)
        for line in understood:
            click.echo(f"ok: {line}")
    if problems:
        sys.exit(BAD_CONFIGURATION)


@config.command()
@config_option
@json_option
def show(config_path: Path, as_json: bool) -> None:
    """Print every value in force, with defaults and environment, without passwords."""
    from vedette_agent.config.show import effective, to_toml

    values = effective(load_or_exit(config_path, outside_service=True))
    if as_json:
        click.echo(json.dumps(values, ensure_ascii=False))
    else:
        click.echo(f"# Values in force from {config_path} and the environment.\n\n{to_toml(values)}", nl=False)


@config.command()
@click.argument("path", type=click.Path(path_type=Path), envvar=CONFIG_VARIABLE, default=DEFAULT_CONFIG, required=False)
def init(path: Path) -> None:
    """Write a configuration with every key explained to PATH; an existing file is never touched.

    PATH defaults to $VEDETTE_CONFIG, then /etc/vedette/agent.toml.
    """
    from importlib.resources import files

    text = (files("vedette_agent.config") / "agent.toml").read_bytes()
    try:
        if path.exists():
            raise click.ClickException(f"{path} exists and is left as it is: name another path, or move it away")
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as file:
            file.write(text)
    except OSError as error:
        raise click.ClickException(f"{path} cannot be written: {error.strerror}") from None
    click.echo(f"wrote {path}: set [gateway] id, [devices] url and your [[streams]], then run")
    click.echo(f"  vedette-agent config check --config {path}")
