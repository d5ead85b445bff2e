"""`vedette-hub train`, `models`, `jobs`: learning from the command line."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vedette_hub.command_line import config_option, load_config, note, reported, user
from vedette_hub.config import Config
from vedette_hub.learning.training.algorithms import ALGORITHMS

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from vedette_hub.learning.datasets import Source
    from vedette_hub.learning.registry import ModelVersion

LISTED = 500


@click.command()
@click.option("--profile", required=True, help="Device type whose model is trained.")
@click.option("--csv", "csv_file", type=click.Path(path_type=Path), help="Train from this file, not from samples.")
@click.option("--algorithm", type=click.Choice(sorted(ALGORITHMS)), help="Else learning.algorithm.")
@click.option("--channels", default="", help="Value columns of the file, with commas between; else all with numbers.")
@click.option("--time-column", default="", help="Else time, timestamp, ts, datetime or date.")
@click.option("--device-column", default="", help="Else device, where there is one.")
@click.option("--label-column", default="", help="1 where a reading is known to be anomalous; else anomaly or label.")
@click.option("--synthetic", is_flag=True, help="Train from generated data, and tell precision and recall.")
@click.option("--n-samples", type=click.IntRange(min=1), default=10_000, show_default=True, help="Readings generated.")
@click.option("--n-features", type=click.IntRange(min=1), default=3, show_default=True, help="Channels generated.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the generator.")
@click.option(
    "--contamination",
    type=click.FloatRange(min=0.0, max=0.5, min_open=True),
    help="Share of training windows beyond the boundary, in place of learning.alerts_per_week.",
)
@click.option("--json", "as_json", is_flag=True, help="The version with its report, as one JSON object.")
@config_option
@reported
def train(*, profile: str, path: Path | None, **options: Any) -> None:
    """Train the next version of a profile's model, here and now; it becomes a candidate."""
    if options["csv_file"] is not None and options["synthetic"]:
        raise click.UsageError("--csv and --synthetic: choose one")
    from vedette_hub import hub

    config = load_config(path)
    engine = hub.open_database(config)
    version = _train(engine, config, profile, options)
    if options["as_json"]:
        click.echo(json.dumps(version.__dict__))
    else:
        click.echo(_summary(version))


@click.command("models")
@click.option("--profile", help="Only this one.")
@click.option("--json", "as_json", is_flag=True, help="One JSON array, with lineage and reports.")
@config_option
@reported
def list_models(*, profile: str | None, as_json: bool, path: Path | None) -> None:
    """List versions of models, of each profile the newest first."""
    from vedette_hub import hub
    from vedette_hub.learning import registry
    from vedette_hub.store.database import reading
    from vedette_hub.store.samples import sample_totals
    from vedette_hub.times import rfc3339

    with reading(hub.open_database(load_config(path))) as connection:
        found = registry.list_versions(connection, profile, limit=LISTED)
        totals = sample_totals(connection)
        whole = [registry.find(connection, one.profile, one.version) for one in found] if as_json else []
    if as_json:
        click.echo(json.dumps([version.__dict__ for version in whole if version is not None]))
        return
    for version in found:
        trained = f"trained {rfc3339(version.created)} on {'?' if version.trained is None else version.trained} windows"
        named = f"{version.profile}\t{version.version}\t{version.stage}\t{version.algorithm}"
        click.echo(f"{named}\t{trained}\t{version.sha256[:12]}")
    if not found:
        click.echo("There are no versions yet; `vedette-hub train --profile PROFILE` makes one.", err=True)
        for total in totals:
            click.echo(f"{total.profile}: {total.readings} readings wait to be learnt from.", err=True)


@click.command("jobs")
@click.option("--json", "as_json", is_flag=True, help="One JSON array.")
@config_option
@reported
def list_jobs(*, as_json: bool, path: Path | None) -> None:
    """List jobs, the newest first."""
    import msgspec

    from vedette_hub import hub
    from vedette_hub.learning import jobs
    from vedette_hub.store.database import reading

    with reading(hub.open_database(load_config(path))) as connection:
        found = jobs.list_jobs(connection, limit=LISTED)
    if as_json:
        click.echo(json.dumps([{**job.__dict__, "request": msgspec.to_builtins(job.request)} for job in found]))
        return
    for job in found:
        click.echo(f"{job.number}\t{job.profile}\t{job.state}\t{100 * job.progress:.0f} %\t{job.message}")
    if not found:
        click.echo("There are no jobs; POST /api/v1/models/train makes one, and so does the schedule.", err=True)


@click.command(hidden=True)
@click.option("--number", type=int, required=True)
@reported
def job(number: int) -> None:
    """The process that does a job, started by `serve` with the settings on standard input."""
    from vedette_hub import log, request_id, tracing
    from vedette_hub.learning import worker
    from vedette_hub.parent import end_with_parent
    from vedette_hub.store.database import open_store

    config = Config.model_validate_json(sys.stdin.buffer.readline())
    end_with_parent()
    worker.step_back()
    log.configure(config.hub)
    tracing.configure(config.tracing, "job")
    with request_id.using(f"job-{number}"), tracing.span("job", number=number):
        worker.work(open_store(config.database_url), config.learning, number)


def _train(engine: Engine, config: Config, profile: str, options: dict[str, Any]) -> ModelVersion:
    tell = _Progress(quiet=options["as_json"] and not sys.stderr.isatty())
    tell(0.0, "loading scikit-learn")
    from vedette_hub.learning.next_version import train_next

    version = train_next(
        engine,
        _source(engine, profile, options, tell),
        config.learning,
        time.time,
        algorithm=options["algorithm"],
        contamination=options["contamination"],
        by=user(),
        then=lambda connection, made: note(connection, "model.train", f"{made.profile} {made.version}"),
        tell=tell,
    )
    tell(1.0, "done")
    return version


def _source(engine: Engine, profile: str, options: dict[str, Any], tell: _Progress) -> Source:
    from vedette_hub.learning.sources import alerts, csv_file, store, synthetic
    from vedette_hub.store.database import reading

    if options["synthetic"]:
        return synthetic.generate(profile, options["n_samples"], options["n_features"], options["seed"])
    if options["csv_file"] is not None:
        channels = [name.strip() for name in options["channels"].split(",") if name.strip()]
        source = csv_file.read(
            options["csv_file"],
            profile,
            channels,
            time_column=options["time_column"],
            device_column=options["device_column"],
            label_column=options["label_column"],
            tell=lambda done: tell(0.1 * done, "reading the file"),
        )
        with reading(engine) as connection:
            return replace(source, periods=alerts.of_any_gateway(connection, profile))
    with reading(engine) as connection:
        return store.read(connection, profile)


class _Progress:
    """Progress on standard error: one line that changes on a terminal, a line for each step elsewhere."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._live = sys.stderr.isatty()
        self._last = ""

    def __call__(self, done: float, what: str) -> None:
        if self._quiet or (not self._live and what == self._last):
            return
        self._last = what
        line = f"{100 * done:3.0f} %  {what}"
        click.echo(f"\r{line:<60}" if self._live else line, err=True, nl=not self._live or done >= 1.0)


def _summary(version: ModelVersion) -> str:
    report = version.report
    lines = [
        f"{version.profile} version {version.version} ({version.detector}), {version.bytes} bytes, {version.sha256}",
        f"  trained on {report['trained']} windows of {report['readings']} readings of {report['devices']} devices; "
        f"{report['held_out']} windows held out",
        f"  beyond the boundary: {_percent(report['above'])} of the training, {_percent(report['held_out_above'])} of "
        "what was held out",
        f"  parity with scikit-learn: error {report['parity']['max_error']:.2g}, {report['parity']['flips']} labels "
        f"differ of {report['parity']['inputs']}",
    ]
    if found := report.get("detection"):
        lines.append(
            f"  on {found['windows']} labelled windows, {found['anomalous']} of them anomalous: "
            f"precision {found['precision']:.3f}, recall {found['recall']:.3f}, F1 {found['f1']:.3f}"
        )
    lines += _judged(report)
    lines += [f"  {note['what']} {note['name'] or note['count']}: {note['reason']}" for note in report["dropped"]]
    lines.append(f"Next: vedette-hub push {version.profile} {version.version} --gateway GATEWAY")
    return "\n".join(lines)


def _judged(report: dict[str, Any]) -> Iterator[str]:
    """The backtest and the drift, a line each."""
    backtest, drift = report["backtest"], report["drift"]
    for name in ("this", "previous"):
        found = backtest.get(name)
        if found is None or found["alerts_per_device_week"] is None:
            continue
        which = "backtest" if name == "this" else f"backtest of version {drift['version']}"
        true = f", {found['labelled_true_alerted']} of {found['labelled_true']} known anomalies found"
        yield (
            f"  {which}: {found['alerts_per_device_week']:g} alerts per device-week of normal time"
            f"{true if found['labelled_true'] else ''}"
        )
    if drift is not None:
        moved = [one["channel"] for one in drift["channels"] if one["level"] != "none"]
        yield f"  drift since version {drift['version']}: {drift['level']}" + (
            f" ({', '.join(moved)})" if moved else ""
        )
    yield from (f"  labels: {conflict}" for conflict in report["labels"]["conflicts"])


def _percent(share: float | None) -> str:
    return "nothing" if share is None else f"{100 * share:.2f} %"
