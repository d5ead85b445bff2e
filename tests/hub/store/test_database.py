"""A write transaction inside another one is a part of it."""

from __future__ import annotations

import threading
from contextlib import suppress
from pathlib import Path

from sqlalchemy import Connection, Engine

from vedette_hub.store import audit
from vedette_hub.store.audit import AuditFilter, Entry
from vedette_hub.store.database import open_store, reading, writing
from vedette_hub.store.migrate import migrate


def note(connection: Connection, what: str) -> None:
    audit.note(connection, Entry(1.0, "ana", "", what))


def noted(engine: Engine) -> list[str]:
    with reading(engine) as connection:
        return [one.entry.action for one in audit.list_entries(connection, AuditFilter(), limit=100)][::-1]


def test_inner_and_outer_are_committed_together(engine: Engine) -> None:
    with writing(engine) as outer:
        note(outer, "one")
        with writing(engine) as inner:
            note(inner, "two")
        assert noted(engine) == ["one", "two"]  # reading inside sees what has been written
        others: list[list[str]] = []
        thread = threading.Thread(target=lambda: others.append(noted(engine)))
        thread.start()
        thread.join()
        assert others == [[]]
    assert noted(engine) == ["one", "two"]


def test_an_inner_one_that_fails_is_undone_alone(engine: Engine) -> None:
    with writing(engine) as outer:
        note(outer, "one")
        with suppress(ZeroDivisionError), writing(engine) as inner:
            note(inner, "two")
            _ = 1 / 0
        note(outer, "three")
    assert noted(engine) == ["one", "three"]


def test_an_outer_one_that_fails_takes_the_inner_along(engine: Engine) -> None:
    with suppress(ZeroDivisionError), writing(engine) as outer:
        with writing(engine) as inner:
            note(inner, "two")
        note(outer, "three")
        _ = 1 / 0
    assert noted(engine) == []
    with writing(engine) as again:
        note(again, "four")
    assert noted(engine) == ["four"]


def test_another_store_is_another_transaction(engine: Engine, tmp_path: Path) -> None:
    other = open_store(f"sqlite:///{tmp_path / 'other.db'}")
    migrate(other)
    with suppress(ZeroDivisionError), writing(engine) as connection:
        note(connection, "one")
        with writing(other) as elsewhere:
            note(elsewhere, "two")
        _ = 1 / 0
    assert (noted(engine), noted(other)) == ([], ["two"])
    other.dispose()
