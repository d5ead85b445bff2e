"""Bring a database to the schema of this version, and refuse one that is newer."""

from __future__ import annotations

from sqlalchemy import Connection, Engine, inspect, text
from sqlalchemy.exc import SQLAlchemyError

from vedette_hub.errors import StoreError
from vedette_hub.store.database import describe, writing

HEAD = "0015"
"""The newest migration. It is named here too, so that a start without migrations need not load alembic."""

_SCRIPTS = "vedette_hub.store:migrations"


def migrate(engine: Engine) -> None:
    """Run the migrations that are missing, all in one transaction; no effect on a database that is up to date.

    Raises:
        StoreError: the database was written by a newer hub, or a migration failed and was undone.
    """
    try:
        with writing(engine) as connection:
            found = revision(connection)
            if found != HEAD:
                _upgrade(connection, found)
    except SQLAlchemyError as error:
        shown = engine.url.render_as_string()
        raise StoreError(f"database {shown}: cannot be brought up to date: {describe(error)}") from error


def revision(connection: Connection) -> str | None:
    """The migration up to which a database has come; None for an empty one."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def known_revisions() -> set[str]:
    """Every migration that this version has."""
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", _SCRIPTS)
    return {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}


def _upgrade(connection: Connection, found: str | None) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", _SCRIPTS)
    if found is not None and found not in known_revisions():
        raise StoreError(
            f"database {connection.engine.url.render_as_string()}: its schema {found!r} is newer than this "
            "vedette-hub; install the version that wrote it, or restore a backup"
        )
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
