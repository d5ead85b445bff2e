"""`vedette-agent model`: show what runs, verify a file, go back."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vedette_agent.commands.options import config_option, json_option, load_or_exit
from vedette_agent.commands.state import NOT_RUNNING, ask

if TYPE_CHECKING:
    from vedette_agent.config import Config
    from vedette_agent.update.journal import Journal, Running

REFUSED, UNREADABLE = 1, 2
"""Exit codes: it would be refused, or was not done; the file cannot be read."""


@click.group()
def model() -> None:
    """Look after the models that the hub has sent."""


@model.command()
@config_option
@json_option
def show(config_path: Path, as_json: bool) -> None:
    """Show which versions run, which ran before, and which were refused."""
    import msgspec

    journal = _journal(load_or_exit(config_path, outside_service=True))
    if as_json:
        click.echo(json.dumps({} if journal is None else msgspec.to_builtins(journal)))
    elif journal is None:
        click.echo("no model from the hub has come to this gateway yet")
    else:
        _print(journal)


def _journal(config: Config) -> Journal | None:
    """What the agent has written down; None: nothing yet."""
    from vedette_agent.update.model_store import FOLDER, ModelStore

    folder = config.gateway.state_dir / FOLDER
    try:
        return ModelStore(config.gateway.state_dir).journal if any(folder.iterdir()) else None
    except FileNotFoundError:
        return None
    except OSError as error:
        raise click.ClickException(f"{folder}: {error.strerror or error}") from None


def _print(journal: Journal) -> None:
    counter = "lost: waiting for the hub to answer our nonce" if journal.counter is None else str(journal.counter)
    click.echo(f"manifest {counter}")
    for profile in sorted({*journal.ordered, *journal.current, *journal.previous}):
        for name, part in (("runs", journal.current), ("before", journal.previous)):
            if (running := part.get(profile)) is not None:
                click.echo(f"{profile}  {name:7} {_describe(running)}")
        ordered, current = journal.ordered.get(profile), journal.current.get(profile)
        if ordered is not None and (current is None or current.release.sha256 != ordered.sha256):
            held = journal.held.get(profile)
            why = held.reason if held is not None and held.sha256 == ordered.sha256 else "under way"
            click.echo(f"{profile}  ordered version {ordered.version}: {why}")


def _describe(running: Running) -> str:
    since = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(running.since))
    release = running.release
    trial = ", on probation" if running.on_probation else ""
    return f"version {release.version} of {release.detector}, since {since} UTC, {release.sha256[:12]}{trial}"


@model.command()
@json_option
@click.argument("file", type=click.Path(path_type=Path))
def verify(as_json: bool, file: Path) -> None:
    """Check a model's FILE as the gateway would: nothing in it is executed. Exit code 1: it would be refused."""
    from vedette_models import artifact
    from vedette_models.rejection import ArtifactRejected

    try:
        with file.open("rb") as opened:
            data = opened.read(artifact.MAX_BYTES + 1)
    except OSError as error:
        click.echo(f"Error: {file}: {error.strerror or error}", err=True)
        sys.exit(UNREADABLE)
    try:
        found = artifact.load(data)
    except ArtifactRejected as error:
        answer = {"accepted": False, "reason": error.reason.value, "detail": error.detail}
        click.echo(json.dumps(answer) if as_json else f"refused: {error}")
        sys.exit(REFUSED)
    content = found.artifact
    accepted: dict[str, object] = {
        "accepted": True,
        "sha256": found.sha256,
        "bytes": len(data),
        "detector": content.detector,
        "profile": content.profile,
        "channels": list(content.channels),
        "samples": content.lineage.samples,
    }
    if as_json:
        click.echo(json.dumps(accepted))
        return
    for key, value in accepted.items():
        click.echo(f"{key:9} {', '.join(value) if isinstance(value, list) else value}")


@model.command()
@config_option
@json_option
@click.option("--timeout", default=30.0, show_default=True, help="Seconds to wait for the agent.")
@click.argument("profile")
def rollback(config_path: Path, as_json: bool, timeout: float, profile: str) -> None:
    """Run the version of PROFILE's model before the present one, until the hub orders anew.

    Exit code 1: there is none to go back to; 3: the agent is not running.
    """
    from vedette_agent.update.answer import Answer, from_text
    from vedette_agent.update.answer import ask as rollback_argument

    config = load_or_exit(config_path, outside_service=True)
    journal = _journal(config)
    current = journal.current.get(profile) if journal is not None else None
    leaving = current.release.sha256 if current is not None else ""
    text = ask(config, "rollback", rollback_argument(profile, leaving), timeout)
    answer = (
        from_text(str(text))
        if text is not None
        else Answer(
            False, f"no answer within {timeout:.0f} s: the agent is not running; it will go back when it starts"
        )
    )
    click.echo(json.dumps({"done": answer.done, "detail": answer.detail}) if as_json else answer.detail)
    if not answer.done:
        sys.exit(NOT_RUNNING if text is None else REFUSED)
