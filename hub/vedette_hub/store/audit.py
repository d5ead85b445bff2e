"""The audit log: who did what to what, when and from where, and what came of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, Row, func, insert, select

from vedette_hub.store.schema import NAME_LENGTH, audit

Outcome = Literal["done", "refused", "failed"]

BY_THE_HUB = "vedette-hub"
"""Who does what nobody asked for."""
TEXT_LENGTH = 2_000
"""Longest target and detail kept, in characters; what is longer is cut."""


@dataclass(frozen=True)
class Entry:
    """One thing that somebody did, or tried to do."""

    time: float
    by: str
    """Who, as histories name them: `ana`, `scripts (token)`, `root (command line)`."""
    address: str
    """Network address it came from; empty on the command line."""
    action: str
    """What was done, as `<thing>.<verb>`: `alert.acknowledge`, `model.push`, `user.add`."""
    target: str = ""
    """To what: the name of a user, `<gateway>/<alert>`, `<profile> <version>`."""
    outcome: Outcome = "done"
    detail: str = ""


@dataclass(frozen=True)
class StoredEntry:
    """An entry with its number, which grows with time."""

    number: int
    entry: Entry


@dataclass(frozen=True)
class AuditFilter:
    """Which entries: every condition must hold; None: any."""

    by: str | None = None
    action: str | None = None
    """An action, or all of a thing: `alert.`"""
    target: str | None = None
    outcome: Outcome | None = None
    since: float | None = None
    until: float | None = None


def note(connection: Connection, entry: Entry) -> None:
    """Write an entry, in the transaction of what it is about."""
    connection.execute(
        insert(audit).values(
            time=entry.time,
            by=entry.by[:NAME_LENGTH],
            address=entry.address[:64],
            action=entry.action[:64],
            target=entry.target[:TEXT_LENGTH],
            outcome=entry.outcome,
            detail=entry.detail[:TEXT_LENGTH],
        )
    )


def list_entries(
    connection: Connection, chosen: AuditFilter, *, limit: int, before: int | None = None
) -> list[StoredEntry]:
    """Entries, the newest first; those older than number `before` where that is given."""
    query = select(audit).where(*_conditions(chosen)).order_by(audit.c.number.desc()).limit(limit)
    if before is not None:
        query = query.where(audit.c.number < before)
    return [_stored(row) for row in connection.execute(query)]


def count_entries(connection: Connection, chosen: AuditFilter) -> int:
    """How many entries there are."""
    return int(connection.execute(select(func.count()).select_from(audit).where(*_conditions(chosen))).scalar_one())


def _conditions(chosen: AuditFilter) -> Iterator[ColumnElement[bool]]:
    if chosen.by is not None:
        yield audit.c.by == chosen.by
    if chosen.action is not None:
        thing = chosen.action.endswith(".")
        yield audit.c.action.startswith(chosen.action, autoescape=True) if thing else audit.c.action == chosen.action
    if chosen.target is not None:
        yield audit.c.target == chosen.target
    if chosen.outcome is not None:
        yield audit.c.outcome == chosen.outcome
    if chosen.since is not None:
        yield audit.c.time >= chosen.since
    if chosen.until is not None:
        yield audit.c.time < chosen.until


def _stored(row: Row[Any]) -> StoredEntry:
    entry = Entry(row.time, row.by, row.address, row.action, row.target, row.outcome, row.detail)
    return StoredEntry(row.number, entry)
