"""`/api/v1/alerts/accuracy`: how right alerts were, as far as people have said."""

from __future__ import annotations

from apiflask import APIBlueprint, abort

from vedette_hub.api.access import requires
from vedette_hub.api.context import context
from vedette_hub.api.lifecycle_shapes import AccuraciesOut, AccuracyQuery
from vedette_hub.store.database import reading
from vedette_hub.store.label_counts import accuracies

USUAL_SECONDS = 90 * 86_400.0
GROUPS = 500

blueprint = APIBlueprint("alert_accuracy", __name__, url_prefix="/api/v1/alerts", tag="Alerts")


@blueprint.get("/accuracy")
@requires("viewer")
@blueprint.input(AccuracyQuery, location="query")
@blueprint.output(AccuraciesOut)
def show_accuracy(query_data: AccuracyQuery) -> AccuraciesOut:
    """Precision and false alarms of each profile, device or detector, from the labels of their alerts."""
    here = context()
    until = here.now() if query_data.until is None else query_data.until
    since = until - USUAL_SECONDS if query_data.since is None else query_data.since
    if since >= until:
        abort(422, "The request is not as it should be.", detail={"query": {"since": ["must be earlier than until"]}})
    with reading(here.engine) as connection:
        found = accuracies(connection, query_data.by, since, until, limit=GROUPS + 1)
    return AccuraciesOut.of(query_data.by, since, until, found, GROUPS)
