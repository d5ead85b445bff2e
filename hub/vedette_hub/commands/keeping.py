"""`vedette-hub backup`, `restore`, `retention`: keeping what the hub knows, and letting go of it."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from vedette_hub.command_line import config_option, load_config, note, reported, user

if TYPE_CHECKING:
    from vedette_hub.config import Config
    from vedette_hub.keeping.contents import Contents
    from vedette_hub.store.retained import Retained

_NAME = "vedette-hub-{:%Y%m%dT%H%M%SZ}.backup"
_NAMES = "vedette-hub-????????T??????Z.backup"


@click.command()
@click.argument("target", type=click.Path(path_type=Path))
@click.option("--keep", type=click.IntRange(min=1), help="In a folder: delete older backups beyond so many.")
@click.option("--without-database", is_flag=True, help="Keys only, for a database on a PostgreSQL server.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@config_option
@reported
def backup(target: Path, *, keep: int | None, without_database: bool, as_json: bool, path: Path | None) -> None:
    """Back up database, models and signing keys to the file TARGET, or into the folder TARGET; the hub may serve.

    Whoever has the file can give orders to every gateway: it is readable for its owner only; keep it so.
    """
    from vedette_hub.keeping.backup import back_up

    config = load_config(path)
    now = time.time()
    in_folder = target.is_dir()
    if keep is not None and not in_folder:
        raise click.UsageError(f"--keep: {target} is no folder; with a file's name there is nothing to delete")
    file = target / _NAME.format(datetime.fromtimestamp(now, UTC)) if in_folder else target
    contents = back_up(config, file, now, with_database=not without_database)
    if contents.has_database:
        _note_backup(config, file, contents)
    for old in sorted(target.glob(_NAMES))[:-keep] if keep is not None else ():
        old.unlink(missing_ok=True)
    if as_json:
        click.echo(json.dumps({"file": str(file), **msgspec.to_builtins(contents)}))
        return
    click.echo(str(file))
    click.echo(_what(contents), err=True)
    if not contents.signing_key:
        click.echo("There is no signing key in it: this hub has none, and no gateway can be told anything.", err=True)
    if not contents.has_database:
        click.echo("The database is not in it: back it up with pg_dump.", err=True)


@click.command()
@click.argument("archive", type=click.Path(path_type=Path))
@click.option("--check", "only_check", is_flag=True, help="Read it from end to end, and put nothing anywhere.")
@config_option
@reported
def restore(archive: Path, *, only_check: bool, path: Path | None) -> None:
    """Bring the backup ARCHIVE back, into a state directory and a database where there is none; then serve.

    Nothing is overwritten: move away what is there, or name another hub.state_dir. Everybody signs in again.
    """
    from vedette_hub.keeping import restore as restoring

    if only_check:
        click.echo(_what(restoring.check(archive)))
        return
    config = load_config(path)
    contents = restoring.restore(config, archive, time.time(), user())
    click.echo(_what(contents), err=True)
    click.echo(f"It is back in {config.state_dir}. Next: vedette-hub serve", err=True)


@click.group(invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="One JSON array.")
@config_option
@click.pass_context
@reported
def retention(context: click.Context, *, as_json: bool, path: Path | None) -> None:
    """What is kept, how much of it, and what is let go of; `set` and `reset` change it while the hub serves."""
    if context.invoked_subcommand is not None:
        return
    from vedette_hub import hub
    from vedette_hub.store.database import reading
    from vedette_hub.store.retained import list_retention

    config = load_config(path)
    with reading(hub.open_database(config)) as connection:
        found = list_retention(connection, config.limits)
    if as_json:
        click.echo(json.dumps([one.as_json() for one in found]))
        return
    for one in found:
        click.echo(_line(one))


@retention.command("set")
@click.argument("name")
@click.argument("value", type=int)
@config_option
@reported
def set_retention(name: str, value: int, path: Path | None) -> None:
    """Keep at most VALUE of NAME from now on; what is beyond it is deleted within a minute."""
    _set(path, name, value)


@retention.command("reset")
@click.argument("name")
@config_option
@reported
def reset_retention(name: str, path: Path | None) -> None:
    """Keep of NAME what the configuration says."""
    _set(path, name, None)


def _set(path: Path | None, name: str, value: int | None) -> None:
    from vedette_hub import hub
    from vedette_hub.store import retained
    from vedette_hub.store.database import writing

    config = load_config(path)
    with writing(hub.open_database(config)) as connection:
        change = retained.set_limits(connection, {name: value}, config.limits, user(), time.time())
        note(connection, "retention.set", name, change)
        found = {one.name: one for one in retained.list_retention(connection, config.limits)}
    click.echo(_line(found[name]))


def _note_backup(config: Config, file: Path, contents: Contents) -> None:
    """In the audit log, where the database has this version's schema; a backup before an update has not."""
    from vedette_hub.store.database import open_store, writing
    from vedette_hub.store.migrate import HEAD

    if contents.schema != HEAD:
        return
    engine = open_store(config.database_url)
    with writing(engine) as connection:
        note(connection, "hub.backup", file.name, f"{sum(part.bytes for part in contents.parts)} bytes")
    engine.dispose()


def _what(contents: Contents) -> str:
    from vedette_hub.times import rfc3339

    rows = ", ".join(f"{number} {name}" for name, number in contents.counts.items())
    key = f"signing key {contents.signing_key}" if contents.signing_key else "no signing key"
    made = f"Backup of {rfc3339(contents.made)} by version {contents.version}"
    return f"{made}: {rows or 'no database'}, {key}. It is sound."


def _line(one: Retained) -> str:
    source = f"set by {one.set_by}" if one.set_by else "configuration"
    limit = "no limit" if one.limit == 0 else f"at most {one.limit} {one.unit}"
    there = "" if one.there is None else f"\tthere are {one.there}"
    return f"{one.name}\t{limit}{there}\t{source}\t{one.what}"
