"""What a request does, written into the audit log with who, when and from where."""

from __future__ import annotations

from flask import request
from sqlalchemy import Connection

from vedette_hub.api.caller import maybe_caller
from vedette_hub.api.context import context
from vedette_hub.store import audit
from vedette_hub.store.audit import Entry, Outcome
from vedette_hub.store.database import writing

NOBODY = "nobody"
"""Who does something without having signed in."""


def note(
    connection: Connection,
    action: str,
    target: str = "",
    *,
    outcome: Outcome = "done",
    detail: str = "",
    by: str | None = None,
) -> None:
    """Write down what this request does, in the transaction of what it does.

    Args:
        connection: of the block `with writing(engine) as connection` in which the effect is, or around it.
        action: `<thing>.<verb>`, such as `alert.acknowledge`.
        target: to what; a name that can be looked for.
        outcome: whether it was done, refused, or failed.
        detail: what else matters, in words; never a secret.
        by: who, where it is not the caller.
    """
    found = maybe_caller()
    name = by if by is not None else str(found) if found is not None else NOBODY
    address = request.remote_addr or ""
    audit.note(connection, Entry(context().now(), name, address, action, target, outcome, detail))


def note_alone(
    action: str, target: str = "", *, outcome: Outcome = "done", detail: str = "", by: str | None = None
) -> None:
    """Write down what changes nothing in the store, such as a refusal, in a transaction of its own."""
    with writing(context().engine) as connection:
        note(connection, action, target, outcome=outcome, detail=detail, by=by)
