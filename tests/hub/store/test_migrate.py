"""The store is brought to this version's schema, and never harmed by an older one's code."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text

from vedette_hub.errors import StoreError
from vedette_hub.store import notify_schema, tokens
from vedette_hub.store.database import open_store, reading, writing
from vedette_hub.store.migrate import HEAD, migrate
from vedette_hub.store.samples import newest_segments
from vedette_hub.store.schema import metadata


def test_an_empty_database_gets_the_schema_and_a_second_run_changes_nothing(tmp_path: Path) -> None:
    assert notify_schema.channels.metadata is metadata, "tables of all modules belong to it"
    engine = open_store(f"sqlite:///{tmp_path / 'hub.db'}")
    for _ in range(2):
        migrate(engine)
        with engine.connect() as connection:
            assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_a_newer_database_is_refused_untouched(tmp_path: Path) -> None:
    engine = open_store(f"sqlite:///{tmp_path / 'hub.db'}")
    migrate(engine)
    with writing(engine) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StoreError, match=r"'9999' is newer than this vedette-hub"):
        migrate(engine)


def test_a_migration_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    engine = open_store(f"sqlite:///{tmp_path / 'hub.db'}")
    with writing(engine) as connection:
        connection.execute(text("CREATE TABLE unparsed (number INTEGER)"))
    with pytest.raises(StoreError, match="already exists"):
        migrate(engine)
    with reading(engine) as connection:
        tables = connection.execute(text("SELECT name FROM sqlite_master WHERE type = 'table'")).scalars().all()
    assert tables == ["unparsed"]


def test_sqlite_is_set_up_to_keep_what_it_promises(tmp_path: Path) -> None:
    with open_store(f"sqlite:///{tmp_path / 'hub.db'}").connect() as connection:
        answers = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        }
    assert answers == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}


@pytest.mark.parametrize(
    ("url", "hint"),
    [
        ("sqlite:////nowhere/at/all/hub.db", "does the folder exist"),
        ("nonsense", "database.url"),
        ("postgresql+nodriver://host/db", "database.url"),
    ],
)
def test_a_database_that_cannot_be_opened_says_why(url: str, hint: str) -> None:
    with pytest.raises(StoreError, match=hint):
        open_store(url)


def test_a_file_that_is_no_database_says_so(tmp_path: Path) -> None:
    path = tmp_path / "hub.db"
    path.write_bytes(b"no database " * 1000)
    with pytest.raises(StoreError, match="not a database"):
        open_store(f"sqlite:///{path}")


def test_the_newest_migration_is_the_one_the_code_expects() -> None:
    config = Config()
    config.set_main_option("script_location", "vedette_hub.store:migrations")
    assert ScriptDirectory.from_config(config).get_current_head() == HEAD


def test_the_migrations_are_part_of_the_package() -> None:
    import vedette_hub.store.migrations as package

    folder = Path(str(package.__file__)).parent
    assert (folder / "env.py").is_file()
    assert list((folder / "versions").glob("*.py"))


def test_samples_from_before_suspicion_are_not_suspect(tmp_path: Path) -> None:
    engine = open_store(f"sqlite:///{tmp_path / 'hub.db'}")
    config = Config()
    config.set_main_option("script_location", "vedette_hub.store:migrations")
    with writing(engine) as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0003")
        connection.execute(
            text(
                "INSERT INTO samples (gateway, profile, device, channels, first, last, readings, bytes, received, body)"
                " VALUES ('gw', 'pump', 'p-1', '[\"a\"]', 1, 2, 1, 16, 3, x'00000000000000000000000000000000')"
            )
        )
    migrate(engine)
    with reading(engine) as connection:
        (segment,) = newest_segments(connection, "pump")
    assert segment.suspect is False


def test_a_token_from_before_roles_may_what_it_could_do_then(tmp_path: Path) -> None:
    engine = open_store(f"sqlite:///{tmp_path / 'hub.db'}")
    config = Config()
    config.set_main_option("script_location", "vedette_hub.store:migrations")
    secret = tokens.new_secret()
    kept = hashlib.sha256(secret.encode()).hexdigest()
    with writing(engine) as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0004")
        connection.execute(
            text("INSERT INTO api_tokens (name, hash, created) VALUES ('first', :hash, 1)"), {"hash": kept}
        )
    migrate(engine)
    with reading(engine) as connection:
        token = tokens.check_secret(connection, secret, 2.0)
    assert token is not None
    assert (token.name, token.role, token.scopes, token.expires) == ("first", "approver", None, None)
