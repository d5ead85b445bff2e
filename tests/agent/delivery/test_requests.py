"""What other processes ask of the running agent."""

from __future__ import annotations

from pathlib import Path

from vedette_agent.delivery.database import Database
from vedette_agent.delivery.requests import Requests

MAX_BYTES = 2**20


def test_another_process_asks_and_gets_its_answer(tmp_path: Path) -> None:
    database = Database(tmp_path / "agent.db", MAX_BYTES)
    agent, command = Requests(database), Requests(Database(tmp_path / "agent.db", MAX_BYTES))
    seen = database.changed_elsewhere()
    first = command.ask("forget", "pump 1", 1.0)
    assert database.changed_elsewhere() != seen
    assert [(r.id, r.verb, r.argument) for r in agent.waiting()] == [(first, "forget", "pump 1")]
    assert command.answer_of(first) is None
    agent.answer(first, "done")
    assert command.answer_of(first) == "done"
    assert agent.waiting() == []
    assert command.answer_of(999) is None


def test_old_answers_are_dropped(tmp_path: Path) -> None:
    database = Database(tmp_path / "agent.db", MAX_BYTES)
    requests = Requests(database)
    for i in range(250):
        requests.answer(requests.ask("forget", str(i), 1.0), "done")
    assert database.number("SELECT count(*) FROM request") <= 100
