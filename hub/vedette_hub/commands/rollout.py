"""`vedette-hub push`, `rollback`, `unload`: orders for one gateway, a group or all."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vedette_hub.command_line import config_option, load_config, note, reported, user

if TYPE_CHECKING:
    from nacl.signing import SigningKey
    from sqlalchemy import Engine

    from vedette_hub.fleet.orders import Ordered, Targets


def _targets_and_output(command: Callable[..., None]) -> Callable[..., None]:
    for option in (
        click.option("--json", "as_json", is_flag=True, help="One JSON object."),
        click.option("--all", "everybody", is_flag=True, help="Every gateway this hub knows."),
        click.option("--group", metavar="NAME", help="The gateways of a group."),
        click.option("--gateway", "gateways", multiple=True, metavar="ID", help="This gateway; may be repeated."),
    ):
        command = option(command)
    return command


@click.command()
@click.argument("profile")
@click.argument("version", type=click.IntRange(min=1, max=2**31 - 1))
@_targets_and_output
@config_option
@reported
def push(profile: str, version: int, *, path: Path | None, **options: Any) -> None:
    """Order that gateways run VERSION of PROFILE's model."""
    from vedette_hub.fleet import orders

    _order(
        ("model.push", f"{profile} {version}"),
        path,
        options,
        lambda engine, key, *how: orders.push(engine, key, profile, version, *how),
    )


@click.command()
@click.argument("profile")
@_targets_and_output
@config_option
@reported
def rollback(profile: str, *, path: Path | None, **options: Any) -> None:
    """Order that gateways run the version of PROFILE's model that was ordered before."""
    from vedette_hub.fleet import orders

    _order(
        ("model.rollback", profile),
        path,
        options,
        lambda engine, key, *how: orders.roll_back(engine, key, profile, *how),
    )


@click.command()
@click.argument("profile")
@_targets_and_output
@config_option
@reported
def unload(profile: str, *, path: Path | None, **options: Any) -> None:
    """Order that gateways run no model of PROFILE; rollback brings it back."""
    from vedette_hub.fleet import orders

    _order(
        ("model.unload", profile), path, options, lambda engine, key, *how: orders.unload(engine, key, profile, *how)
    )


def _order(
    noted: tuple[str, str],
    path: Path | None,
    options: dict[str, Any],
    give: Callable[[Engine, SigningKey, Targets, str, float], Ordered],
) -> None:
    from vedette_hub import hub, state
    from vedette_hub.fleet.order_words import order_words
    from vedette_hub.store.database import writing

    targets = _targets(**{name: options[name] for name in ("gateways", "group", "everybody")})
    config = load_config(path)
    engine = hub.open_database(config)
    key = state.signing_key(config.state_dir)
    with writing(engine) as connection:
        ordered = give(engine, key, targets, user(), time.time())
        note(connection, *noted, order_words(targets, ordered))
    if options["as_json"]:
        click.echo(json.dumps(asdict(ordered)))
        return
    for item in ordered.gateways:
        what = f"version {item.version}" if item.version is not None else "no model"
        click.echo(f"{item.gateway}\t{ordered.profile}: {what}\tmanifest {item.counter}")
    for name in ordered.skipped:
        click.echo(f"{name}\tskipped: nothing to change there")
    click.echo(
        f"Ordered for {len(ordered.gateways)} gateways. A hub that serves publishes it within a second; gateways that "
        "are away follow when they are back.",
        err=True,
    )


def _targets(gateways: tuple[str, ...], group: str | None, *, everybody: bool) -> Targets:
    from vedette_hub.fleet.orders import Targets

    if bool(gateways) + (group is not None) + everybody != 1:
        raise click.UsageError("say for whom: --gateway ID (may be repeated), --group NAME, or --all")
    if group is not None and not group:
        raise click.UsageError("--group: the name is empty")
    return Targets(gateways, group or "")
