"""The console: one page that refreshes itself, and signing in to it."""

from __future__ import annotations

from typing import Any

from apiflask import APIBlueprint
from flask import Response, abort, redirect, render_template, request, url_for

from vedette_hub.alerts.actions import act
from vedette_hub.api import session, signing_in
from vedette_hub.api.access import open_to_all, requires
from vedette_hub.api.auditing import note
from vedette_hub.api.caller import maybe_caller, who
from vedette_hub.api.context import context
from vedette_hub.fleet import ingest_state
from vedette_hub.identity.roles import Role, covers
from vedette_hub.state import PASSWORD_FILE
from vedette_hub.store.alerts import Action
from vedette_hub.store.database import writing
from vedette_hub.times import rfc3339
from vedette_hub.version import VERSION
from vedette_hub.web.overview import Overview, read_overview
from vedette_models.readings import Quality

blueprint = APIBlueprint(
    "console",
    __name__,
    template_folder="templates",
    static_folder="static",
    static_url_path="/console",
    enable_openapi=False,
)


@blueprint.app_context_processor
def _for_templates() -> dict[str, Any]:
    return {"version": VERSION, "caller": maybe_caller(), "may": _may}


def _may(role: Role) -> bool:
    """Whether whoever looks at the page has this role, or a higher one."""
    found = maybe_caller()
    return found is not None and covers(found.role, role)


@blueprint.app_template_filter("rfc3339")
def _rfc3339(seconds: float | None) -> str:
    return rfc3339(seconds) or ""


@blueprint.app_template_filter("unset")
def _unset(quality: int) -> bool:
    return bool(quality & Quality.GATEWAY_UNSET)


@blueprint.app_template_filter("clock")
def _clock(seconds: float | None) -> str:
    """A time for a person, in UTC."""
    text = rfc3339(seconds)
    return f"{text[:10]} {text[11:19]} UTC" if text else "at an impossible time"


@blueprint.app_template_filter("number")
def _number(value: float) -> str:
    """A measured value with as many digits as tell something."""
    return f"{value:.4g}" if abs(value) < 1e5 else f"{value:,.0f}"


@blueprint.get("/")
@requires("viewer", page=True)
def page() -> Any:
    """The console."""
    return render_template("console.html", view=_overview(), broker=_broker(), whole_page=True)


@blueprint.get("/overview")
@requires("viewer")
def overview() -> Any:
    """The part of the page that changes; 304 when it has not, 401 when the session has ended."""
    response = Response(render_template("overview.html", view=_overview(), broker=_broker()), mimetype="text/html")
    response.add_etag()
    return response.make_conditional(request)


@blueprint.get("/login")
@open_to_all("whoever is to sign in has not yet", greets=True)
def sign_in() -> Any:
    """Where a user name and a password become a session."""
    if maybe_caller() is not None:
        return redirect(url_for("console.page"))
    return _login_page()


@blueprint.post("/login")
@open_to_all("whoever is to sign in has not yet", greets=True)
def check_sign_in() -> Any:
    """Check user name and password."""
    name = request.form.get("user", "")
    try:
        signing_in.sign_in(name, request.form.get("password", ""))
    except signing_in.TooManyFailuresError as error:
        return _login_page(str(error), 429, name, {"Retry-After": str(error.retry_after)})
    except signing_in.WrongPasswordError as error:
        return _login_page(str(error), 401, name)
    return redirect(url_for("console.page"), 303)


@blueprint.post("/logout")
@requires("viewer", person=True, password_due=True)
def sign_out() -> Any:
    """End the session."""
    with writing(context().engine) as connection:
        note(connection, "session.end")
        session.end()
    return redirect(url_for("console.sign_in"), 303)


@blueprint.post("/alerts/<name:gateway>/<name:alert>/acknowledge")
@requires("operator")
def acknowledge(gateway: str, alert: str) -> Any:
    """Acknowledge an alert from the page."""
    here = context()
    with writing(here.engine) as connection:
        if act(here.engine, (gateway, alert), Action("acknowledge", here.now(), who())) is None:
            abort(404)
        note(connection, "alert.acknowledge", f"{gateway}/{alert}")
    return redirect(url_for("console.page"), 303)


def _login_page(
    problem: str = "", status: int = 200, user: str = "", headers: dict[str, str] | None = None
) -> tuple[str, int, dict[str, str]]:
    # Until the first sign-in; later it is nobody's business where the hub keeps its state.
    first = context().state_dir / PASSWORD_FILE
    file = first if first.exists() else None
    page = render_template("login.html", problem=problem, user=user[:64], password_file=file)
    return page, status, headers or {}


def _overview() -> Overview:
    here = context()
    now = here.now()
    ingest = ingest_state.read(here.state_dir, now)
    return read_overview(here.engine, ingest, now, here.config.hub.silent_after)


def _broker() -> str:
    return context().config.broker.url
