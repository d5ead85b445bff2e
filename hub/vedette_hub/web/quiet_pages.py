"""The console's settings of silences and maintenance windows: when nobody is told."""

from __future__ import annotations

from typing import Any

from apiflask import APIBlueprint
from flask import abort, redirect, render_template, request, url_for

from vedette_hub.api.access import requires
from vedette_hub.api.auditing import note
from vedette_hub.api.caller import who
from vedette_hub.api.context import context
from vedette_hub.api.lifecycle_shapes import SilenceIn, WindowIn
from vedette_hub.errors import HubError
from vedette_hub.store import maintenance, silences
from vedette_hub.store.database import reading, writing
from vedette_hub.web import forms, shell
from vedette_hub.web.forms import FormError

LASTING = {"1": "1 hour", "4": "4 hours", "24": "a day", "168": "a week", "720": "30 days"}
_HOUR = 3_600.0

blueprint = APIBlueprint("quiet_console", __name__, url_prefix="/settings", enable_openapi=False)


@blueprint.get("/quiet")
@requires("viewer", page=True)
def page() -> Any:
    """Silences and maintenance windows, and forms to make them."""
    return _page()


@blueprint.post("/silences")
@requires("operator")
def add_silence() -> Any:
    """Silence alerts from now on."""
    here = context()
    now = here.now()
    try:
        lasting = request.form.get("lasting", "")
        if lasting not in LASTING:
            raise FormError("say for how long")
        matchers = forms.patterns(request.form, request.form.getlist("severity"))
        values = {"matchers": matchers, "end": now + _HOUR * int(lasting), "comment": request.form.get("comment", "")}
        asked = forms.read(SilenceIn, values)
        with writing(here.engine) as connection:
            chosen = asked.matchers.matchers()
            made = silences.add_silence(connection, chosen, now, asked.end, by=who(), now=now, comment=asked.comment)
            note(connection, "silence.add", str(made.number), detail=f"{chosen.patterns()} {asked.comment}".strip())
    except HubError as error:
        return _page(shell.sentence(str(error)), 422)
    return redirect(url_for("quiet_console.page"), 303)


@blueprint.post("/silences/<int(min=1, max=9007199254740992):number>/end")
@requires("operator")
def end_silence(number: int) -> Any:
    """End a silence now."""
    here = context()
    with writing(here.engine) as connection:
        if silences.end_silence(connection, number, by=who(), now=here.now()) is None:
            abort(404)
        note(connection, "silence.end", str(number))
    return redirect(url_for("quiet_console.page"), 303)


@blueprint.post("/maintenance")
@requires("operator")
def add_window() -> Any:
    """Add a maintenance window."""
    here = context()
    form = request.form
    zone = form.get("timezone", "").strip() or "UTC"
    try:
        values = {
            "name": form.get("name", "").strip(),
            "matchers": forms.patterns(form, form.getlist("severity")),
            "start": forms.moment(form.get("start", ""), zone, "begins"),
            "end": forms.moment(form.get("end", ""), zone, "ends"),
            "weekly": "weekly" in form,
            "timezone": zone,
            "comment": form.get("comment", ""),
        }
        asked = forms.read(WindowIn, values)
        with writing(here.engine) as connection:
            made = maintenance.add_window(connection, asked.window(by=who(), now=here.now()))
            note(connection, "maintenance.add", str(made.number), detail=f"{asked.name}: {made.matchers.patterns()}")
    except HubError as error:
        return _page(shell.sentence(str(error)), 422)
    return redirect(url_for("quiet_console.page"), 303)


@blueprint.post("/maintenance/<int(min=1, max=9007199254740992):number>/delete")
@requires("operator")
def delete_window(number: int) -> Any:
    """Delete a maintenance window."""
    with writing(context().engine) as connection:
        if not maintenance.delete_window(connection, number):
            abort(404)
        note(connection, "maintenance.delete", str(number))
    return redirect(url_for("quiet_console.page"), 303)


def _page(problem: str = "", status: int = 200) -> tuple[str, int]:
    here = context()
    with reading(here.engine) as connection:
        now = here.now()
        text = render_template(
            "settings_quiet.html",
            problem=problem,
            now=now,
            silences=silences.list_silences(connection, now),
            windows=maintenance.list_windows(connection),
            lasting=LASTING,
            typed=request.form,
        )
    return text, status
