"""`/docs`: the API as a page to read; /openapi.json is the same for programs."""

from __future__ import annotations

from typing import cast

from apiflask import APIBlueprint, APIFlask
from flask import current_app, render_template

from vedette_hub.api.access import open_to_all
from vedette_hub.version import VERSION
from vedette_hub.web.reference import Operation, operations

_EXTENSION = "vedette_reference"

blueprint = APIBlueprint("reference", __name__, enable_openapi=False)


@blueprint.get("/docs")
@open_to_all("what the API looks like, which everybody can read in the source")
def page() -> str:
    """Every route, what it takes, what it answers and who may call it."""
    return render_template("reference.html", tags=_operations(), version=VERSION)


def _operations() -> dict[str, list[Operation]]:
    """Worked out once: routes do not change while a process runs."""
    known = current_app.extensions.get(_EXTENSION)
    if known is None:
        spec = cast("APIFlask", current_app).spec
        known = current_app.extensions[_EXTENSION] = operations(spec if isinstance(spec, dict) else {})
    return cast("dict[str, list[Operation]]", known)
