"""`/health`, `/api/v1/health` and `/ready`: for whoever watches the hub; no token, and nothing that needs one."""

from __future__ import annotations

import logging
from typing import Any

from apiflask import APIBlueprint
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from vedette_hub.api.access import open_to_all
from vedette_hub.api.context import context
from vedette_hub.api.shapes import HealthOut, ReadyOut
from vedette_hub.fleet import ingest_state
from vedette_hub.store.database import describe, reading
from vedette_hub.store.migrate import HEAD, revision
from vedette_hub.version import VERSION
from vedette_hub.web.stopping import stopping

logger = logging.getLogger(__name__)

blueprint = APIBlueprint("health", __name__, tag="Health")


@blueprint.get("/health")
@blueprint.get("/api/v1/health")
@open_to_all("whoever watches the hub asks without a token, and learns no secret")
@blueprint.output(HealthOut)
@blueprint.doc(responses={503: "The database does not answer"})
def health() -> tuple[dict[str, Any], int]:
    """Whether the hub works: `degraded` when it answers, but gateways cannot reach it."""
    here = context()
    database = "ok"
    try:
        with reading(here.engine) as connection:
            connection.execute(text("SELECT 1 FROM alerts LIMIT 1"))
    except SQLAlchemyError as error:
        logger.error("health: the database does not answer: %s", describe(error))  # no trace needed
        database = "failing"
    now = here.now()
    state = ingest_state.read(here.state_dir, now)
    running = abs(now - state.written) <= ingest_state.STALE_SECONDS
    ingest = "connected" if state.connected else "disconnected" if running else "not running"
    status = "failing" if database == "failing" else "ok" if state.connected and not state.problem else "degraded"
    answer = {"status": status, "version": VERSION, "database": database, "ingest": ingest}
    return answer, 503 if status == "failing" else 200


@blueprint.get("/ready")
@open_to_all("a load balancer asks without a token, and learns no secret")
@blueprint.output(ReadyOut)
@blueprint.doc(responses={503: "Requests should go elsewhere, or wait: the reason says why"})
def ready() -> tuple[dict[str, Any], int]:
    """Whether requests should be sent here: the database answers, has this version's schema, and nothing is stopping.

    A hub that gateways cannot reach is ready: people need its console then more than ever; `/health` tells of that.
    """
    reason = _unready()
    return {"ready": not reason, "reason": reason}, 503 if reason else 200


def _unready() -> str:
    if stopping.is_set():
        return "the hub is stopping"
    try:
        with reading(context().engine) as connection:
            found = revision(connection)
    except SQLAlchemyError as error:
        logger.error("ready: the database does not answer: %s", describe(error))  # no trace needed
        return "the database does not answer"
    if found != HEAD:
        return "the database has the schema of another version"
    return ""
