"""Bring a database to the schema of this version, and refuse one that is newer."""

from __future__ import annotations

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from vedette_hub.errors import StoreError
from vedette_hub.store.database import describe, writing

_SCRIPTS = "vedette_hub.store:migrations"


def migrate(engine: Engine) -> None:
    """Run the migrations that are missing, all in one transaction; no effect on a database that is up to date.

    Raises:
        StoreError: the database was written by a newer hub, or a migration failed and was undone.
    """
    config = Config()
    config.set_main_option("script_location", _SCRIPTS)
    scripts = ScriptDirectory.from_config(config)
    known = {script.revision for script in scripts.walk_revisions()}
    try:
        with writing(engine) as connection:
            for revision in MigrationContext.configure(connection).get_current_heads():
                if revision not in known:
                    raise StoreError(
                        f"database {engine.url.render_as_string()}: its schema {revision!r} is newer than this "
                        "vedette-hub; install the version that wrote it, or restore a backup"
                    )
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    except SQLAlchemyError as error:
        shown = engine.url.render_as_string()
        raise StoreError(f"database {shown}: cannot be brought up to date: {describe(error)}") from error
