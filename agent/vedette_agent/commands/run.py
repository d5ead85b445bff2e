"""`vedette-agent run`: watch."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from vedette_agent.commands.options import config_option, load_or_exit


@click.command()
@config_option
@click.option(
    "--trace",
    type=click.Path(path_type=Path),
    help="Append one line of JSON per reading to this file, for tests and support.",
)
def run(config_path: Path, trace: Path | None) -> None:
    """Watch the devices until told to stop."""
    import asyncio

    from vedette_agent.agent import Agent
    from vedette_agent.delivery.database import OutboxError
    from vedette_agent.event_loop import EventLoop
    from vedette_agent.logs import configure
    from vedette_agent.memory import return_freed

    config = load_or_exit(config_path)
    configure(config.gateway.log_level, config.gateway.log_format)
    return_freed()

    async def watch() -> None:
        await Agent(config, trace).run()

    try:
        with asyncio.Runner(loop_factory=EventLoop) as runner:
            runner.run(watch())
    except (OutboxError, OSError) as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(1)
