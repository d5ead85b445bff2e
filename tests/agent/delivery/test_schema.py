"""Databases of older and newer agents."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from unittest import mock

import pytest

from tests.agent.alerts import alert
from vedette_agent.config.models import OutboxLimits
from vedette_agent.delivery import database, schema
from vedette_agent.delivery.database import OutboxError
from vedette_agent.delivery.outbox import Outbox
from vedette_agent.delivery.schema import STEPS, Step, TooNewError, migrate
from vedette_agent.reading.effects import DeadLetterRow, Effects
from vedette_models.messages import Committed, Receipt

COLOURS = Step(1, ("CREATE TABLE colour (name TEXT)", "ALTER TABLE outbox ADD COLUMN colour TEXT"))
"""What a later version may add without harm."""


def connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, isolation_level=None)


def dump(path: Path) -> list[str]:
    with closing(connect(path)) as connection:
        return [*connection.iterdump(), str(connection.execute("PRAGMA user_version").fetchone())]


def first_version(path: Path) -> None:
    """As the first release has left it: it counted in `user_version` alone."""
    with closing(connect(path)) as connection:
        for statement in schema.FIRST:
            connection.execute(statement)
        connection.execute("PRAGMA user_version = 1")
        connection.execute(
            "INSERT INTO outbox (priority, epoch, sequence, written, topic, body, local_done, hub_done) "
            "VALUES (0, 'old', 1, 1.0, 't', ?, 0, 0)",
            (b"{}",),
        )


def open_box(path: Path) -> Outbox:
    return Outbox(path, "gw", OutboxLimits(max_rows=5), to_hub=True)


def use(path: Path) -> tuple[str, int]:
    """Everything an agent does with its tables; its epoch, and how many rows then wait."""
    box = open_box(path)
    try:
        box.commit(
            Effects(alerts=[alert(device="x"), alert(device="y")], dead_letters=[DeadLetterRow(1, "t", "r", "d", b"")]),
            1.0,
        )
        box.declare_losses(1.0)
        box.local_done([row.id for row in box.pending_local(10)])
        box.apply(Receipt((Committed("alerts", box.epoch, 1),)))
        box.stats(), box.dead_letters(3), box.alert_states(), box.settled_keys(), box.filters()
        return box.epoch, box.stats().rows
    finally:
        box.close()


def test_a_database_of_the_first_release_is_brought_up_to_date_with_what_is_in_it(tmp_path: Path) -> None:
    path = tmp_path / "agent.db"
    first_version(path)
    box = open_box(path)
    assert [(row.epoch, row.sequence, row.body) for row in box.pending_hub(10)] == [("old", 1, b"{}")]
    box.close()
    use(path)
    with closing(connect(path)) as connection:
        assert {row[0] for row in connection.execute("SELECT number FROM step")} == set(range(1, len(STEPS) + 1))
        assert not schema.differs(connection)


@pytest.mark.parametrize("back", range(1, len(STEPS) + 1))
def test_an_older_agent_goes_on_with_a_newer_database_and_the_newer_one_after_it(tmp_path: Path, back: int) -> None:
    """Down to every version there was, and up again, with one that does not exist yet on top."""
    path = tmp_path / "agent.db"
    newer = (*STEPS, COLOURS)
    with mock.patch.object(database, "migrate", lambda connection: migrate(connection, newer)):
        open_box(path).close()
    before = dump(path)
    with mock.patch.object(database, "migrate", lambda connection: migrate(connection, STEPS[:back])):
        open_box(path).close()
    assert dump(path) == before, "an older agent changes no table"
    epoch, rows = use(path)
    with mock.patch.object(database, "migrate", lambda connection: migrate(connection, newer)):
        box = open_box(path)
        assert box.stats().rows == rows
        assert {row.epoch for row in box.pending_hub(10)} == {epoch}
        box.close()


def test_the_first_release_itself_accepts_the_tables_of_this_one(tmp_path: Path) -> None:
    """It refuses what is above 1, and names the columns that it writes."""
    path = tmp_path / "agent.db"
    open_box(path).close()
    with closing(connect(path)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (1,)
        connection.execute(
            "INSERT INTO dead_letter (time, topic, reason, detail, sample) VALUES (1.0, 't', 'r', 'd', x'00')"
        )
        connection.execute(
            "INSERT INTO outbox (priority, epoch, sequence, written, topic, body, local_done, hub_done) "
            "VALUES (0, 'old', 1, 1.0, 't', x'00', 0, 0)"
        )


def test_a_database_that_an_older_agent_would_harm_is_refused_unchanged(tmp_path: Path) -> None:
    path = tmp_path / "agent.db"
    harmful = Step(2, ("ALTER TABLE outbox RENAME COLUMN body TO content",))
    open_box(path).close()
    with closing(connect(path)) as connection:
        migrate(connection, (*STEPS, harmful))
    before = dump(path)
    with pytest.raises(OutboxError, match="needs an agent of level 2, this one has level 1; run the newer agent until"):
        open_box(path)
    with pytest.raises(OutboxError):  # nor is it taken for a damaged one
        Outbox(path, "gw", OutboxLimits(), to_hub=True, owner=True)
    assert dump(path) == before
    with closing(connect(path)) as connection, pytest.raises(TooNewError):
        migrate(connection)


def test_a_step_that_fails_leaves_no_half(tmp_path: Path) -> None:
    path = tmp_path / "agent.db"
    open_box(path).close()
    before = dump(path)
    broken = Step(1, ("CREATE TABLE colour (name TEXT)", "ALTER TABLE nothing ADD COLUMN colour TEXT"))
    with closing(connect(path)) as connection, pytest.raises(sqlite3.OperationalError):
        migrate(connection, (*STEPS, broken))
    assert dump(path) == before


def test_levels_never_fall() -> None:
    assert [step.needs for step in STEPS] == sorted(step.needs for step in STEPS)
