"""A hub with something of everything that a backup has to bring back."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result
from sqlalchemy import Engine, select

from tests.hub import people
from tests.hub.gateway import alert, row
from tests.hub.updating import add_model
from vedette_hub import state
from vedette_hub.cli import main
from vedette_hub.config import Config, LimitsSection
from vedette_hub.fleet.arrivals import parse
from vedette_hub.fleet.commit import commit
from vedette_hub.fleet.enrolment import prepare_signing_key
from vedette_hub.hub import open_database
from vedette_hub.store.database import reading
from vedette_hub.store.schema import metadata
from vedette_models import topics
from vedette_models.messages import Delivery, to_bytes


class Place:
    """A state directory with its configuration, and commands for it."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.path = folder / "hub.toml"
        self.path.write_text('[hub]\nstate_dir = "state"\n')
        self.state_dir = folder / "state"
        self.config = Config.model_validate({"hub": {"state_dir": str(self.state_dir)}})

    def run(self, *arguments: str) -> Result:
        return CliRunner().invoke(main, [*arguments, "--config", str(self.path)])

    def rows(self, *without: str) -> dict[str, list[tuple[Any, ...]]]:
        """Everything in the database, by table."""
        engine = open_database(self.config)
        with reading(engine) as connection:
            found = {
                table.name: sorted((tuple(one) for one in connection.execute(select(table))), key=repr)
                for table in metadata.sorted_tables
                if table.name not in without
            }
        engine.dispose()
        return found

    def said(self, name: str) -> str:
        return (self.state_dir / name).read_text()


def deliver(engine: Engine, *numbers: int) -> None:
    """Alerts of a gateway, committed as they come from the broker."""
    rows = tuple(row(number, alert(number)) for number in numbers)
    commit(engine, parse(topics.gateway_up("gw-1", "alerts"), to_bytes(Delivery(rows))), time.time(), LimitsSection())


def fill(place: Place) -> None:
    engine = open_database(place.config)
    state.first_token(place.state_dir, engine, 1.0)
    prepare_signing_key(place.state_dir, engine)
    people.add(engine, "ana", "admin")
    client: Any = _Cookie()
    people.begin_session(client, engine, "ana")
    add_model(engine)
    deliver(engine, *range(1, 40))
    engine.dispose()


class _Cookie:
    def session_transaction(self) -> Any:
        from contextlib import nullcontext

        return nullcontext({})
