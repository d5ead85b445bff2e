"""`vedette-agent version`."""

from __future__ import annotations

import click

from vedette_agent.commands.options import json_option


@click.command()
@json_option
def version(as_json: bool) -> None:
    """Print the version."""
    import json
    import platform
    from importlib.metadata import version as installed

    number = installed("vedette")
    if as_json:
        click.echo(json.dumps({"version": number, "python": platform.python_version()}))
    else:
        click.echo(f"vedette-agent {number}")
