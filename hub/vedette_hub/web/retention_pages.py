"""The console's settings of how much is kept of what."""

from __future__ import annotations

from typing import Any

from apiflask import APIBlueprint
from flask import redirect, render_template, request, url_for

from vedette_hub.api.access import requires
from vedette_hub.api.auditing import note
from vedette_hub.api.caller import who
from vedette_hub.api.context import context
from vedette_hub.errors import HubError
from vedette_hub.store.database import reading, writing
from vedette_hub.store.retained import KEPT, list_retention, set_limits
from vedette_hub.web import forms, shell
from vedette_hub.web.forms import FormError

blueprint = APIBlueprint("retention_console", __name__, url_prefix="/settings/retention", enable_openapi=False)


@blueprint.get("")
@requires("viewer", page=True)
def page() -> Any:
    """Every limit, what there is, and who has set it."""
    return _page()


@blueprint.post("")
@requires("admin")
def set_limit() -> Any:
    """Set one limit; with nothing typed the configuration's counts again."""
    here = context()
    name = request.form.get("name", "")
    try:
        if name not in KEPT:
            raise FormError("say which limit")
        value = forms.number(request.form.get("value", ""), name)
        if value is not None and not value.is_integer():
            raise FormError(f"{name}: a whole number, not {value:g}")
        wanted = {name: None if value is None else int(value)}
        with writing(here.engine) as connection:
            change = set_limits(connection, wanted, here.config.limits, who(), here.now())
            note(connection, "retention.set", name, detail=change)
    except HubError as error:
        return _page(shell.sentence(str(error)), 422)
    return redirect(url_for("retention_console.page"), 303)


def _page(problem: str = "", status: int = 200) -> tuple[str, int]:
    here = context()
    with reading(here.engine) as connection:
        kept = list_retention(connection, here.config.limits)
    return render_template("settings_retention.html", problem=problem, kept=kept), status
