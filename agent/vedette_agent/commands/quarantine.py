"""`vedette-agent quarantine`: who is not listened to, or sends too much, and how to end it."""

from __future__ import annotations

import json
from pathlib import Path

import click

from vedette_agent.commands.options import config_option, json_option
from vedette_agent.commands.state import answered, describe_restricted

OTHERWISE = ", and listens to everybody when it starts"


@click.group()
def quarantine() -> None:
    """Look after devices whose readings are not all taken, to protect the others."""


@quarantine.command("list")
@config_option
@json_option
@click.option("--timeout", default=30.0, show_default=True, help="Seconds to wait for the agent.")
def list_(config_path: Path, as_json: bool, timeout: float) -> None:
    """Show the devices in quarantine, on probation, and beyond their rate."""
    import msgspec

    from vedette_models.messages import Restricted

    found = msgspec.json.decode(answered(config_path, "restricted", "", timeout, OTHERWISE), type=list[Restricted])
    if as_json:
        click.echo(json.dumps([msgspec.structs.asdict(one) for one in found]))
        return
    for one in found:
        click.echo(describe_restricted(one))
    if not found:
        click.echo("every device is listened to")


@quarantine.command()
@config_option
@click.option("--timeout", default=30.0, show_default=True, help="Seconds to wait for the agent.")
@click.argument("device")
def release(config_path: Path, timeout: float, device: str) -> None:
    """Listen to DEVICE again, whatever it has sent: it has been repaired."""
    click.echo(answered(config_path, "release", device, timeout, OTHERWISE))
