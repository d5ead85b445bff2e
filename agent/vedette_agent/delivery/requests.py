"""Requests: what another process, such as a command, asks of the running agent, through the database."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from vedette_agent.delivery.database import Database

KEPT = 100


class Request(NamedTuple):
    """A question."""

    id: int
    verb: str
    argument: str


class Requests:
    """Questions and their answers; each side may come before the other."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def ask(self, verb: str, argument: str, now: float) -> int:
        """Leave a request for the running agent; return its id."""
        with self._database.transaction("leave a request") as connection:
            cursor = connection.execute(
                "INSERT INTO request (verb, argument, asked) VALUES (?, ?, ?)", (verb, argument, now)
            )
        return int(cursor.lastrowid or 0)

    def waiting(self) -> list[Request]:
        """Those without an answer, the oldest first."""
        rows = self._database.select("SELECT id, verb, argument FROM request WHERE answer IS NULL ORDER BY id")
        return [Request(*row) for row in rows]

    def answer(self, request: int, text: str) -> None:
        """Answer one; old answers are dropped."""
        with self._database.transaction("answer a request") as connection:
            connection.execute("UPDATE request SET answer = ? WHERE id = ?", (text, request))
            connection.execute("DELETE FROM request WHERE id <= (SELECT max(id) FROM request) - ?", (KEPT,))

    def answer_of(self, request: int) -> str | None:
        """The answer to a request, or None while there is none."""
        rows = self._database.select("SELECT answer FROM request WHERE id = ?", (request,))
        return rows[0][0] if rows else None
