"""`vedette-agent doctor`: test everything between devices and hub, and say what to do."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from vedette_agent.clock import SYSTEM
from vedette_agent.commands.options import BAD_CONFIGURATION, config_option, json_option

FAILED = 1
"""Exit code: at least one check has failed."""


@click.command()
@config_option
@json_option
@click.option("--listen", default=5.0, show_default=True, help="Seconds to wait for messages of devices, at most 10.")
@click.option("--log-in", is_flag=True, help="Log in as a stopped agent, even if QoS 0 messages that wait are lost.")
@click.option("--unit", default="vedette-agent.service", show_default=True, help="The agent's unit at systemd.")
def doctor(config_path: Path, as_json: bool, listen: float, log_in: bool, unit: str) -> None:
    """Test brokers, access, samples, clock, disk, models and service, each with a fix.

    Takes less than half a minute, and disturbs neither devices nor a running agent, which is asked to look for itself.
    Exit code 0 without failures, 1 with, 2 when the configuration cannot be used.
    """
    from vedette_agent.config import ConfigError, load
    from vedette_agent.doctor.finding import Finding, is_well
    from vedette_agent.doctor.report import as_json as to_json
    from vedette_agent.doctor.report import as_text

    started = SYSTEM.uptime()
    gateway, code = "", 0
    try:
        config = load(config_path, os.environ, outside_service=True)
    except ConfigError as error:
        fix = f"Correct it, then: vedette-agent config check --config {config_path}"
        findings = [Finding("configuration", "", "failed", f"{problem}.", fix) for problem in error.problems]
        code = BAD_CONFIGURATION
    else:
        from vedette_agent.doctor.examination import Wishes, examine

        gateway = config.gateway.id
        findings = examine(config, Wishes(listen, log_in, unit))
        code = 0 if is_well(findings) else FAILED
    seconds = SYSTEM.uptime() - started
    if as_json:
        click.echo(to_json(findings, seconds, gateway, str(config_path)))
    else:
        for line in as_text(findings, seconds):
            click.echo(line)
    sys.stdout.flush()
    # threads that wait for a dead disk or nameserver are daemons, and do not keep us
    sys.exit(code)
