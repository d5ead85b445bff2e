"""`/api/v1/alerts.csv`: alerts for a spreadsheet."""

from __future__ import annotations

from collections.abc import Iterator

from apiflask import APIBlueprint
from flask import Response
from sqlalchemy import Engine

from vedette_hub.api.access import requires
from vedette_hub.api.context import context
from vedette_hub.api.csv_answers import csv_answer, csv_responses
from vedette_hub.api.shapes import AlertChoice
from vedette_hub.store.alert_rows import StoredAlert
from vedette_hub.store.alert_search import AlertFilter, page_of_alerts
from vedette_hub.store.database import reading
from vedette_hub.times import rfc3339

PAGE = 1_000
COLUMNS = ("gateway", "id", "device", "profile", "kind", "detector", "state", "severity", "gateway_severity",
           "acknowledged_by", "assignee", "label", "label_by", "opened_at", "cleared_at", "cleared_by", "received_at",
           "score", "reason")  # fmt: skip

blueprint = APIBlueprint("alert_export", __name__, url_prefix="/api/v1", tag="Alerts")


@blueprint.get("/alerts.csv")
@requires("viewer")
@blueprint.input(AlertChoice, location="query")
@blueprint.doc(responses=csv_responses("All alerts that fit, those that reached the hub last first."))
def export_alerts(query_data: AlertChoice) -> Response:
    """The same as CSV, in full; text that a spreadsheet would take for a formula has an apostrophe before it."""
    return csv_answer("alerts", COLUMNS, _rows(context().engine, query_data.chosen()))


def _rows(engine: Engine, chosen: AlertFilter) -> Iterator[tuple[object, ...]]:
    """A page at a time: each is a transaction of its own, however slowly the reader reads."""
    before: int | None = None
    while True:
        with reading(engine) as connection:
            page = page_of_alerts(connection, chosen, limit=PAGE, before=before)
        yield from map(_row, page.alerts)
        if page.next is None:
            return
        before = page.next


def _row(stored: StoredAlert) -> tuple[object, ...]:
    record, event = stored.record, stored.record.event
    seen, label = record.acknowledgement, record.label
    return (
        event.gateway,
        event.id,
        event.device,
        event.profile,
        event.kind,
        event.detector,
        record.state,
        record.severity,
        event.severity,
        seen.by if seen is not None and record.acknowledged else None,
        record.assignment.to if record.assignment is not None else None,
        label.value if label is not None else None,
        label.by if label is not None else None,
        rfc3339(event.opened),
        rfc3339(record.cleared),
        record.cleared_by,
        rfc3339(stored.received),
        event.score,
        event.reason,
    )
