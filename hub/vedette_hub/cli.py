"""`vedette-hub`: serve, config, version, and the commands of `commands/`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from vedette_hub.command_line import config_option, load_config, reported
from vedette_hub.commands import gateways, identity, keeping, learning, notify, rollout
from vedette_hub.config import Config
from vedette_hub.errors import HubError
from vedette_hub.version import VERSION

_EXAMPLE = Path(__file__).parent / "hub.toml"


@click.group()
def main() -> None:
    """The hub of a Vedette fleet: it takes in alerts, keeps them, and shows them."""


for _command in (rollout.push, rollout.rollback, rollout.unload, gateways.enroll, gateways.group, gateways.key):
    main.add_command(_command)
for _command in (learning.train, learning.list_models, learning.list_jobs, learning.job):
    main.add_command(_command)
for _command in (keeping.backup, keeping.restore, keeping.retention):
    main.add_command(_command)
for _group in (identity.user, identity.token, notify.channel, notify.route):
    main.add_command(_group)


@main.command()
@config_option
@reported
def serve(path: Path | None) -> None:
    """Run the hub until it is told to stop."""
    from vedette_hub import hub, log

    config = load_config(path)
    log.configure(config.hub)
    hub.serve(config)


@main.command(hidden=True)
@click.option("--socket", "socket_number", type=int, required=True)
@reported
def web(socket_number: int) -> None:
    """The web server's process, started by `serve` with the settings on standard input."""
    from vedette_hub import hub, log

    config = Config.model_validate_json(sys.stdin.buffer.readline())
    log.configure(config.hub)
    hub.serve_web(config, socket_number)


@main.group("config")
def config_group() -> None:
    """The configuration: check it, show it, begin one."""


@config_group.command("check")
@config_option
@reported
def check_config(path: Path | None) -> None:
    """Check the configuration in full; exit code 2 when something is wrong."""
    from vedette_hub import tracing
    from vedette_hub.fleet.broker import tls_context
    from vedette_hub.learning.scheduler import cron_trigger
    from vedette_hub.web.tls import Certificate

    config = load_config(path)
    config.broker_password()
    tls_context(config.broker)
    if config.web.certificate:
        Certificate(config.web.certificate, config.web.key).context()
    cron_trigger(config.learning.schedule)
    tracing.check(config.tracing)
    click.echo(f"{path or 'defaults'}: the configuration is sound.", err=True)


@config_group.command("show")
@config_option
@reported
def show_config(path: Path | None) -> None:
    """Show every setting with its value, as JSON; no secrets are part of it."""
    click.echo(load_config(path).model_dump_json(indent=2))


@config_group.command("init")
@click.argument("target", type=click.Path(path_type=Path), default=Path("hub.toml"))
@reported
def init_config(target: Path) -> None:
    """Write a configuration with every key and what it means to TARGET (hub.toml); never over a file."""
    try:
        with target.open("x") as file:
            file.write(_EXAMPLE.read_text())
    except FileExistsError:
        raise HubError(f"{target}: there is a file already; choose another name") from None
    except OSError as error:
        raise HubError(f"{target}: {error.strerror}") from error
    click.echo(f"{target} is written. Next: vedette-hub serve --config {target}", err=True)


@main.command()
def version() -> None:
    """Print the version."""
    click.echo(VERSION)


if __name__ == "__main__":
    main()
