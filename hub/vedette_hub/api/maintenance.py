"""`/api/v1/maintenance`: times at which alerts are expected."""

from __future__ import annotations

from typing import Any, NoReturn

from apiflask import APIBlueprint, abort

from vedette_hub.api.access import requires
from vedette_hub.api.auditing import note
from vedette_hub.api.caller import who
from vedette_hub.api.context import context
from vedette_hub.api.idempotency import idempotent
from vedette_hub.api.lifecycle_shapes import WindowIn, WindowOut, WindowsOut, window_answer
from vedette_hub.store import maintenance
from vedette_hub.store.database import reading, writing
from vedette_hub.store.maintenance import TooManyWindowsError

blueprint = APIBlueprint("maintenance", __name__, url_prefix="/api/v1/maintenance", tag="Silences and maintenance")


@blueprint.get("")
@requires("viewer")
@blueprint.output(WindowsOut)
def list_windows() -> dict[str, Any]:
    """All maintenance windows, past ones too."""
    here = context()
    with reading(here.engine) as connection:
        found = maintenance.list_windows(connection)
    return {"windows": [window_answer(window, here.now()) for window in found]}


@blueprint.post("")
@requires("operator")
@idempotent
@blueprint.input(WindowIn)
@blueprint.output(WindowOut, status_code=201)
@blueprint.doc(responses=[400, 409, 413])
def add_window(json_data: WindowIn) -> dict[str, Any]:
    """Say when work is done on devices: nobody is told of their alerts then, once or every week."""
    here = context()
    now = here.now()
    with writing(here.engine) as connection:
        try:
            made = maintenance.add_window(connection, json_data.window(by=who(), now=now))
        except TooManyWindowsError as error:
            abort(409, f"{str(error)[:1].upper()}{str(error)[1:]}.")
        note(connection, "maintenance.add", str(made.number), detail=_in_words(json_data))
    return window_answer(made, now)


@blueprint.get("/<int(min=1, max=9007199254740992):number>")
@requires("viewer")
@blueprint.output(WindowOut)
@blueprint.doc(responses=[404])
def show_window(number: int) -> dict[str, Any]:
    """One maintenance window."""
    here = context()
    with reading(here.engine) as connection:
        found = maintenance.find_window(connection, number)
    return window_answer(found, here.now()) if found is not None else _no_such_window(number)


@blueprint.put("/<int(min=1, max=9007199254740992):number>")
@requires("operator")
@idempotent
@blueprint.input(WindowIn)
@blueprint.output(WindowOut)
@blueprint.doc(responses=[400, 404, 413])
def change_window(number: int, json_data: WindowIn) -> dict[str, Any]:
    """Change all of a maintenance window, but not who made it."""
    here = context()
    with writing(here.engine) as connection:
        if not maintenance.change_window(connection, json_data.window(number)):
            _no_such_window(number)
        note(connection, "maintenance.change", str(number), detail=_in_words(json_data))
        found = maintenance.find_window(connection, number)
    assert found is not None  # noqa: S101  # it was changed in this transaction
    return window_answer(found, here.now())


@blueprint.delete("/<int(min=1, max=9007199254740992):number>")
@requires("operator")
@idempotent
@blueprint.output({}, status_code=204)
@blueprint.doc(responses=[404])
def delete_window(number: int) -> str:
    """Delete a maintenance window; alerts that are still active are told, if it was in force."""
    with writing(context().engine) as connection:
        if not maintenance.delete_window(connection, number):
            _no_such_window(number)
        note(connection, "maintenance.delete", str(number))
    return ""


def _in_words(window: WindowIn) -> str:
    often = "every week from " if window.weekly else ""
    return f"{window.name}: {often}{window.start:.0f} to {window.end:.0f}, {window.matchers.matchers().patterns()}"


def _no_such_window(number: int) -> NoReturn:
    abort(404, f"There is no maintenance window {number}; GET /api/v1/maintenance lists those there are.")
