"""`/api/v1/retention`: how much is kept, shown and set."""

from __future__ import annotations

from typing import Any

from apiflask import APIBlueprint, abort
from pydantic import BaseModel

from vedette_hub.api.access import requires
from vedette_hub.api.auditing import note
from vedette_hub.api.caller import who
from vedette_hub.api.context import context
from vedette_hub.api.idempotency import idempotent
from vedette_hub.api.retention_shapes import RetentionIn, RetentionOut
from vedette_hub.store.database import reading, writing
from vedette_hub.store.retained import Retained, RetentionError, list_retention, set_limits
from vedette_hub.times import rfc3339

blueprint = APIBlueprint("retention", __name__, url_prefix="/api/v1", tag="Retention")


@blueprint.get("/retention")
@requires("viewer")
@blueprint.output(RetentionOut)
def show_retention() -> dict[str, Any]:
    """How much is kept of what, what there is, and who has said so."""
    here = context()
    with reading(here.engine) as connection:
        return _answer(list_retention(connection, here.config.limits))


@blueprint.put("/retention")
@requires("admin")
@idempotent
@blueprint.input(RetentionIn)
@blueprint.output(RetentionOut)
@blueprint.doc(responses=[400, 413])
def set_retention(json_data: BaseModel) -> dict[str, Any]:
    """Set how much is kept; what is beyond it is deleted within a minute, and does not come back."""
    here = context()
    wanted = json_data.model_dump(exclude_unset=True)
    with writing(here.engine) as connection:
        try:
            change = set_limits(connection, wanted, here.config.limits, who(), here.now())
        except RetentionError as error:
            name, _, problem = str(error).partition(": ")
            abort(422, "The request is not as it should be.", detail={"json": {name: [problem]}})
        if wanted:
            note(connection, "retention.set", ", ".join(wanted), detail=change)
        return _answer(list_retention(connection, here.config.limits))


def _answer(found: list[Retained]) -> dict[str, Any]:
    return {"limits": [{**one.as_json(), "set_at": rfc3339(one.set_time)} for one in found]}
