"""`vedette-agent replay`: what would Vedette have said of this history?"""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vedette_agent.commands.alert_rate import in_words
from vedette_agent.commands.options import config_option, load_or_exit

if TYPE_CHECKING:
    from typing import TextIO

    from vedette_agent.replay import OrderBy, Replay

LEFT_OUT_SHOWN = 20
"""Devices of which is said which channels were not judged; the summary has all."""


@click.command()
@config_option
@click.option("--out", type=click.Path(path_type=Path), help="Where to write time,device,score,alert; else to stdout.")
@click.option("--profile", help="Profile of the file's devices; else the one whose channels fit best.")
@click.option("--device", default=None, help="Device of a file without a device column; else the file's name.")
@click.option("--time-column", help="Else time, timestamp, ts, datetime or date.")
@click.option("--device-column", help="Else device, where there is one.")
@click.option(
    "--order",
    type=click.Choice(["auto", "file", "time"]),
    default="auto",
    help="Read the lines as they stand in the file, or sorted by time; auto sorts only what is in no order of time.",
)
@click.argument("source", metavar="INPUT.csv", type=click.Path(path_type=Path))
def replay(
    config_path: Path,
    out: Path | None,
    profile: str | None,
    device: str | None,
    time_column: str | None,
    device_column: str | None,
    order: OrderBy,
    source: Path,
) -> None:
    """Run a CSV file through the stages of the live agent, in order, without a broker.

    A file that is in no order of time (in reverse, shuffled, device after device) is sorted first, on disk.

    Writes one line per reading (time,device,score,alert: a score of 1 and more is anomalous, alert is 1 where one is
    raised), the alerts in words, and a JSON summary as the last line.
    """
    from vedette_agent.replay import Replay, open_input
    from vedette_agent.replay_layout import ReplayError

    config = load_or_exit(config_path, outside_service=True)
    if out is not None and out.exists() and source.exists() and out.samefile(source):
        raise click.ClickException(f"{out}: --out is the input itself, name another file")
    try:
        with open_input(source) as file:
            run = Replay(
                config,
                file,
                profile=profile,
                device=device or source.stem,
                time_column=time_column,
                device_column=device_column,
                order=order,
            )
            for note in (*run.layout.notes, *run.summary.notes):
                click.echo(f"note: {note}", err=True)
            known = len(run.summary.notes)
            if out is None:
                _write(run, sys.stdout)
            else:
                with out.open("w", newline="", encoding="utf-8") as scores:
                    _write(run, scores)
    except (ReplayError, csv.Error) as error:
        raise click.ClickException(f"{source}: {error}") from None
    except BrokenPipeError:
        raise  # whoever reads has seen enough; click ends quietly
    except OSError as error:
        raise click.ClickException(f"{error.filename}: {error.strerror}") from None
    for problem in run.summary.problems:
        click.echo(f"skipped {problem}", err=True)
    more = run.summary.skipped + run.summary.bad_cells - len(run.summary.problems)
    if more > 0:
        click.echo(f"skipped {more} more lines or values", err=True)
    for note in run.summary.notes[known:]:
        click.echo(f"note: {note}", err=True)
    for device, channels in list(run.summary.left_out.items())[:LEFT_OUT_SHOWN]:
        said = "; ".join(f"{channel} {why}" for channel, why in channels.items())
        click.echo(f"{device}: not judged, or not together with the other channels: {said}", err=True)
    click.echo(f"alert budget: {in_words(run.summary.rate)}", err=True)
    click.echo(json.dumps(run.summary.as_json()))
    if run.summary.values == 0:
        sys.exit(1)


def _write(run: Replay, scores: TextIO) -> None:
    writer = csv.writer(scores, lineterminator="\n")
    writer.writerow(("time", "device", "score", "alert"))
    said = run.events
    for reading in run.run():
        if run.events is not said:
            said = run.events
            for event in said:
                if event.revision == 1:
                    click.echo(f"{_when(event.opened)}  {event.severity:8}  {event.device}: {event.reason}", err=True)
        writer.writerow((reading.time, reading.device, format(reading.score, ".6g"), int(reading.raised)))


def _when(time: float) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(time, UTC).isoformat(sep=" ", timespec="seconds").removesuffix("+00:00")
