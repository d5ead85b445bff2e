"""`/api/v1/silences`: alerts that nobody wants to hear of for some time."""

from __future__ import annotations

from typing import Any, NoReturn

from apiflask import APIBlueprint, abort

from vedette_hub.api.access import requires
from vedette_hub.api.auditing import note
from vedette_hub.api.caller import who
from vedette_hub.api.context import context
from vedette_hub.api.idempotency import idempotent
from vedette_hub.api.lifecycle_shapes import (
    YEAR,
    SilenceIn,
    SilenceOut,
    SilencesOut,
    SilencesQuery,
    silence_answer,
)
from vedette_hub.store import silences
from vedette_hub.store.database import reading, writing
from vedette_hub.store.silences import TooManySilencesError

blueprint = APIBlueprint("silences", __name__, url_prefix="/api/v1/silences", tag="Silences and maintenance")


@blueprint.get("")
@requires("viewer")
@blueprint.input(SilencesQuery, location="query")
@blueprint.output(SilencesOut)
def list_silences(query_data: SilencesQuery) -> dict[str, Any]:
    """Silences that hold now or will, or those that are over."""
    here = context()
    now = here.now()
    with reading(here.engine) as connection:
        found = silences.list_silences(connection, now, past=query_data.past == "true")
    return {"silences": [silence_answer(silence, now) for silence in found]}


@blueprint.post("")
@requires("operator")
@idempotent
@blueprint.input(SilenceIn)
@blueprint.output(SilenceOut, status_code=201)
@blueprint.doc(responses=[400, 409, 413])
def add_silence(json_data: SilenceIn) -> dict[str, Any]:
    """Tell nobody of these alerts until a time; they are stored and listed as all others."""
    here = context()
    now = here.now()
    start = now if json_data.start is None else json_data.start
    if not max(now, start) < json_data.end <= start + YEAR:
        problem = "must be later than now and start, and not by more than a year"
        abort(422, "The request is not as it should be.", detail={"json": {"end": [problem]}})
    matchers = json_data.matchers.matchers()
    with writing(here.engine) as connection:
        try:
            made = silences.add_silence(
                connection, matchers, start, json_data.end, by=who(), now=now, comment=json_data.comment
            )
        except TooManySilencesError as error:
            abort(409, f"{str(error)[:1].upper()}{str(error)[1:]}.")
        note(connection, "silence.add", str(made.number), detail=f"{matchers.patterns()} {json_data.comment}".strip())
    return silence_answer(made, now)


@blueprint.get("/<int(min=1, max=9007199254740992):number>")
@requires("viewer")
@blueprint.output(SilenceOut)
@blueprint.doc(responses=[404])
def show_silence(number: int) -> dict[str, Any]:
    """One silence."""
    here = context()
    with reading(here.engine) as connection:
        found = silences.find_silence(connection, number)
    return silence_answer(found, here.now()) if found is not None else _no_such_silence(number)


@blueprint.post("/<int(min=1, max=9007199254740992):number>/end")
@requires("operator")
@idempotent
@blueprint.output(SilenceOut)
@blueprint.doc(responses=[404])
def end_silence(number: int) -> dict[str, Any]:
    """End a silence now; alerts that are still active are told. One that is over stays as it is."""
    here = context()
    now = here.now()
    with writing(here.engine) as connection:
        before = silences.find_silence(connection, number)
        found = silences.end_silence(connection, number, by=who(), now=now)
        if found is None:
            _no_such_silence(number)
        if found != before:
            note(connection, "silence.end", str(number))
    return silence_answer(found, now)


def _no_such_silence(number: int) -> NoReturn:
    abort(404, f"There is no silence {number}; GET /api/v1/silences lists those there are.")
