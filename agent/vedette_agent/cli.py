"""`vedette-agent`: the command line, put together from `vedette_agent.commands`."""

from __future__ import annotations

import click

from vedette_agent.commands.config import config
from vedette_agent.commands.doctor import doctor
from vedette_agent.commands.model import model
from vedette_agent.commands.quarantine import quarantine
from vedette_agent.commands.replay import replay
from vedette_agent.commands.run import run
from vedette_agent.commands.state import forget, outbox, status, test_alert
from vedette_agent.commands.version import version


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Watch devices from the gateway nearest to them."""


for command in (run, config, replay, status, outbox, model, test_alert, forget, quarantine, doctor, version):
    main.add_command(command)

if __name__ == "__main__":
    main()
