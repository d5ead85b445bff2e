"""`vedette-hub channel`, `route`: where people are told of alerts, and which alerts go there."""

from __future__ import annotations

import json
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vedette_hub.command_line import config_option, load_config, note, reported
from vedette_hub.command_line import user as whoever
from vedette_hub.errors import HubError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection

    from vedette_hub.config import Config
    from vedette_hub.notify.channels import ChannelSetup
    from vedette_hub.notify.routing import Route
    from vedette_hub.store.channels import Channel

_KINDS = ("webhook", "email", "mqtt", "log", "apprise")
_SEVERITIES = ("low", "medium", "high", "critical")
_WATCH_SECONDS = 0.2


@click.group()
def channel() -> None:
    """Channels: where people are told of alerts."""


@channel.command("add")
@click.argument("name")
@click.argument("kind", type=click.Choice(_KINDS))
@click.option("--set", "given", multiple=True, metavar="NAME=VALUE", help="A setting that is not secret; repeatable.")
@click.option("--disabled", is_flag=True, help="Send nothing yet.")
@config_option
@reported
def add_channel(name: str, kind: str, *, given: tuple[str, ...], disabled: bool, path: Path | None) -> None:
    """Add a channel called NAME. Secret settings are read from standard input, one NAME=VALUE a line."""
    from vedette_hub.notify import channels

    config, settings = load_config(path), _settings(given) | _secret_settings(kind)
    with _writing(config) as connection:
        made = channels.add_channel(
            connection, _setup(config), name, kind, settings, enabled=not disabled, now=time.time(), by=whoever()
        )
        note(connection, "channel.add", name, f"{kind}, {made.channel.address}")
    click.echo(f"Channel {name!r}, {made.channel.address}. Try it: vedette-hub channel test {name}", err=True)
    if made.secret is not None:
        click.echo("What is sent is signed with this secret, shown this once:", err=True)
        click.echo(made.secret)


@channel.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON array.")
@config_option
@reported
def list_channels(*, as_json: bool, path: Path | None) -> None:
    """List channels, without their secrets."""
    from vedette_hub.store.channels import list_channels

    with _reading(load_config(path)) as connection:
        found = list_channels(connection)
    if as_json:
        click.echo(json.dumps([_shown(one) for one in found]))
        return
    for one in found:
        click.echo(f"{one.name}\t{one.kind}\t{one.address}\t{_standing(one)}")
    if not found:
        click.echo("There are no channels yet; `vedette-hub channel add --help` says how to make one.", err=True)


@channel.command("test")
@click.argument("name")
@click.option("--wait", type=click.FloatRange(0, 300), default=30.0, show_default=True, help="Seconds for the result.")
@config_option
@reported
def test_channel(name: str, *, wait: float, path: Path | None) -> None:
    """Send a test message through NAME, and say what became of it; the hub must be running."""
    from vedette_hub import hub
    from vedette_hub.notify import channels
    from vedette_hub.store.database import reading, writing
    from vedette_hub.store.deliveries import find_delivery

    engine = hub.open_database(load_config(path))
    with writing(engine) as connection:
        number = channels.queue_test(connection, name, now=time.time(), by=whoever())
        note(connection, "channel.test", name)
    end = time.monotonic() + wait
    while True:
        with reading(engine) as connection:
            found = find_delivery(connection, number)
        if found is None or found.finished is not None or time.monotonic() >= end:
            break
        time.sleep(_WATCH_SECONDS)
    if found is not None and found.status == "sent":
        click.echo(f"Channel {name!r}: {found.detail}.", err=True)
        return
    if found is not None and found.status == "failed":
        raise HubError(f"channel {name!r}: {found.detail}")
    raise HubError(f"channel {name!r}: nothing came of it within {wait:g} s; is the hub running (vedette-hub serve)?")


@channel.command("enable")
@click.argument("name")
@config_option
@reported
def enable_channel(name: str, path: Path | None) -> None:
    """Send through NAME again; what waits for it is sent at once."""
    _set_enabled(path, name, enabled=True)


@channel.command("disable")
@click.argument("name")
@config_option
@reported
def disable_channel(name: str, path: Path | None) -> None:
    """Send nothing through NAME."""
    _set_enabled(path, name, enabled=False)


@channel.command("remove")
@click.argument("name")
@config_option
@reported
def remove_channel(name: str, path: Path | None) -> None:
    """Remove NAME, to which no route may lead, and what was told through it."""
    from vedette_hub.notify import channels

    with _writing(load_config(path)) as connection:
        channels.remove_channel(connection, name)
        note(connection, "channel.remove", name)
    click.echo(f"Channel {name!r} is removed.", err=True)


@click.group()
def route() -> None:
    """Routes: which alerts go to which channels."""


@route.command("add")
@click.argument("name")
@click.argument("channels", nargs=-1, required=True)
@click.option("--severity", multiple=True, type=click.Choice(_SEVERITIES), help="Only of this severity; repeatable.")
@click.option("--profile", multiple=True, help="Only of this profile; * and ? stand for characters; repeatable.")
@click.option("--gateway", multiple=True, help="Only of this gateway; likewise.")
@click.option("--device", multiple=True, help="Only of this device; likewise.")
@click.option("--kind", multiple=True, help="Only of this kind; likewise.")
@click.option("--cooldown", type=click.FloatRange(0, 604_800), default=0.0, help="Seconds between two alerts.")
@click.option(
    "--device-cooldown", type=click.FloatRange(0, 604_800), default=0.0, help="Seconds between two of one device."
)
@click.option(
    "--per-hour", type=click.IntRange(0, 10_000), default=60, show_default=True, help="Messages; 0: no bound."
)
@click.option("--device-per-hour", type=click.IntRange(0, 10_000), default=0, help="Of one device; 0: no bound.")
@config_option
@reported
def add_route(
    name: str,
    channels: tuple[str, ...],
    *,
    severity: tuple[str, ...],
    profile: tuple[str, ...],
    gateway: tuple[str, ...],
    device: tuple[str, ...],
    kind: tuple[str, ...],
    cooldown: float,
    device_cooldown: float,
    per_hour: int,
    device_per_hour: int,
    path: Path | None,
) -> None:
    """Add a route called NAME to CHANNELS; times of the day can be set in the console and by the API."""
    from vedette_hub.alerts.matching import Matchers
    from vedette_hub.notify.channels import check_name
    from vedette_hub.notify.routing import Bounds, Route
    from vedette_hub.store.routes import add_route

    check_name(name)
    made = Route(
        name,
        channels,
        Matchers(gateway=gateway, device=device, profile=profile, kind=kind, severity=severity),
        bounds=Bounds(cooldown, device_cooldown, per_hour, device_per_hour),
        created=time.time(),
        created_by=whoever(),
    )
    with _writing(load_config(path)) as connection:
        add_route(connection, made)
        note(connection, "route.add", name, f"to {', '.join(channels)}")
    click.echo(f"Route {name!r} leads to {', '.join(channels)}.", err=True)


@route.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON array.")
@config_option
@reported
def list_routes(*, as_json: bool, path: Path | None) -> None:
    """List routes."""
    from dataclasses import asdict

    from vedette_hub.store.routes import list_routes

    with _reading(load_config(path)) as connection:
        found = list_routes(connection)
    if as_json:
        click.echo(json.dumps([asdict(one) for one in found]))
        return
    for one in found:
        click.echo(f"{one.name}\t{', '.join(one.channels)}\t{_which(one)}\t{'enabled' if one.enabled else 'disabled'}")
    if not found:
        click.echo("There are no routes yet, so nobody is told of anything; see `vedette-hub route add`.", err=True)


@route.command("remove")
@click.argument("name")
@config_option
@reported
def remove_route(name: str, path: Path | None) -> None:
    """Remove the route called NAME."""
    from vedette_hub.store.routes import remove_route

    with _writing(load_config(path)) as connection:
        remove_route(connection, name)
        note(connection, "route.remove", name)
    click.echo(f"Route {name!r} is removed.", err=True)


def _set_enabled(path: Path | None, name: str, *, enabled: bool) -> None:
    from vedette_hub.notify import channels

    config = load_config(path)
    with _writing(config) as connection:
        channels.change_channel(connection, _setup(config), name, enabled=enabled)
        note(connection, "channel.change", name, "enabled" if enabled else "disabled")
    click.echo(f"Channel {name!r} is {'enabled' if enabled else 'disabled'}.", err=True)


@contextmanager
def _writing(config: Config) -> Iterator[Connection]:
    from vedette_hub import hub
    from vedette_hub.store.database import writing

    with writing(hub.open_database(config)) as connection:
        yield connection


@contextmanager
def _reading(config: Config) -> Iterator[Connection]:
    from vedette_hub import hub
    from vedette_hub.store.database import reading

    with reading(hub.open_database(config)) as connection:
        yield connection


def _setup(config: Config) -> ChannelSetup:
    from vedette_hub import state
    from vedette_hub.notify.channels import ChannelSetup
    from vedette_hub.notify.sealing import Seal

    return ChannelSetup(Seal(state.channel_key(config.state_dir)), config.notify.allow_http)


def _settings(given: tuple[str, ...]) -> dict[str, Any]:
    """`NAME=VALUE` as settings: true, false, numbers and lists as JSON has them, else text."""
    found: dict[str, Any] = {}
    for item in given:
        name, equals, value = item.partition("=")
        if not equals or not name:
            raise HubError(f"--set {item!r}: write it as NAME=VALUE, such as port=465")
        try:
            found[name] = json.loads(value)
        except ValueError:
            found[name] = [part.strip() for part in value.split(",")] if name == "to" else value
    return found


def _secret_settings(kind: str) -> dict[str, str]:
    """Secrets never stand on a command line, where every process sees them."""
    from vedette_hub.notify.kinds import parse_kind, secret_fields

    names = secret_fields(parse_kind(kind))
    if not names:
        return {}
    found: dict[str, str] = {}
    if sys.stdin.isatty():
        for name in names:
            if value := click.prompt(name, hide_input=True, default="", show_default=False, err=True):
                found[name] = value
        return found
    for line in sys.stdin:
        if text := line.rstrip("\r\n"):
            name, equals, value = text.partition("=")
            if not equals or name not in names:
                raise HubError(f"standard input: write NAME=VALUE a line, NAME one of {', '.join(names)}")
            found[name] = value
    return found


def _shown(one: Channel) -> dict[str, Any]:
    names = ("name", "kind", "settings", "address", "enabled", "failures", "open_until", "sent", "failed", "last_sent")
    return {name: getattr(one, name) for name in (*names, "last_error", "last_error_time", "created", "created_by")}


def _standing(one: Channel) -> str:
    from vedette_hub.times import rfc3339

    if not one.enabled:
        return "disabled"
    if one.last_error:
        rest = f", rests until {rfc3339(one.open_until)}" if one.open_until > time.time() else ""
        return f"failing: {one.last_error}{rest}"
    return f"last sent {rfc3339(one.last_sent)}" if one.last_sent else "nothing sent yet"


def _which(one: Route) -> str:
    patterns = one.matchers.patterns()
    return "; ".join(f"{name} {', '.join(found)}" for name, found in patterns.items()) or "all alerts"
