"""`/api/v1/audit`: who did what to what, when and from where."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from apiflask import APIBlueprint
from flask import Response

from vedette_hub.api.access import requires
from vedette_hub.api.context import Context, context
from vedette_hub.api.csv_answers import csv_answer, csv_responses
from vedette_hub.api.identity_shapes import AuditChoice, AuditOut, AuditQuery, entry_answer
from vedette_hub.store import audit
from vedette_hub.store.audit import AuditFilter
from vedette_hub.store.database import reading

CSV_PAGE = 1_000

_COLUMNS = ("number", "at", "by", "address", "action", "target", "outcome", "detail")

blueprint = APIBlueprint("audit", __name__, url_prefix="/api/v1", tag="Audit log")


@blueprint.get("/audit")
@requires("admin")
@blueprint.input(AuditQuery, location="query")
@blueprint.output(AuditOut)
def list_audit(query_data: AuditQuery) -> dict[str, Any]:
    """What was done and refused, the newest first."""
    chosen = query_data.chosen()
    with reading(context().engine) as connection:
        found = audit.list_entries(connection, chosen, limit=query_data.limit + 1, before=query_data.before)
        total = audit.count_entries(connection, chosen)
    page = found[: query_data.limit]
    return {
        "entries": [entry_answer(stored) for stored in page],
        "total": total,
        "next": page[-1].number if len(found) > len(page) else None,
    }


@blueprint.get("/audit.csv")
@requires("admin")
@blueprint.input(AuditChoice, location="query")
@blueprint.doc(responses=csv_responses("All entries, the newest first."))
def export_audit(query_data: AuditChoice) -> Response:
    """The same as CSV, in full; text that a spreadsheet would take for a formula has an apostrophe before it."""
    return csv_answer("audit", _COLUMNS, _rows(context(), query_data.chosen()))


def _rows(here: Context, chosen: AuditFilter) -> Iterator[list[object]]:
    """A page at a time: each is a transaction of its own, however slowly the reader reads."""
    before: int | None = None
    while True:
        with reading(here.engine) as connection:
            found = audit.list_entries(connection, chosen, limit=CSV_PAGE, before=before)
        for stored in found:
            fields = entry_answer(stored)
            yield [fields[name] for name in _COLUMNS]
        if len(found) < CSV_PAGE:
            return
        before = found[-1].number
