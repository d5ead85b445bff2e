"""The console: one page that refreshes itself, and signing in to it."""

from __future__ import annotations

from typing import Any

from apiflask import APIBlueprint
from flask import Response, abort, redirect, render_template, request, url_for

from vedette_hub.alerts.actions import act
from vedette_hub.api.context import context
from vedette_hub.fleet import ingest_state
from vedette_hub.store.alerts import Action
from vedette_hub.store.tokens import Token
from vedette_hub.times import rfc3339
from vedette_hub.version import VERSION
from vedette_hub.web import session
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
    return {"version": VERSION, "form_key": session.form_key, "form_field": session.FORM_FIELD}


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
def page() -> Any:
    """The console."""
    token = session.signed_in()
    if token is None:
        return redirect(url_for("console.sign_in"))
    return render_template("console.html", token=token, view=_overview(), broker=_broker())


@blueprint.get("/overview")
def overview() -> Any:
    """The part of the page that changes; 304 when it has not, 401 when the session has ended."""
    if session.signed_in() is None:
        return Response("The session has ended.", 401, mimetype="text/plain")
    response = Response(render_template("overview.html", view=_overview(), broker=_broker()), mimetype="text/html")
    response.add_etag()
    return response.make_conditional(request)


@blueprint.get("/login")
def sign_in() -> Any:
    """Where an API token becomes a session."""
    if session.signed_in() is not None:
        return redirect(url_for("console.page"))
    return _login_page("")


@blueprint.post("/login")
def check_sign_in() -> Any:
    """Check the token."""
    if not session.is_own_form():
        return _login_page("This form has expired. Please try again.", 400)
    if not session.sign_in(request.form.get("token", "")):
        return _login_page("That is no valid token. Is it the whole line of the file?", 401)
    return redirect(url_for("console.page"), 303)


@blueprint.post("/logout")
def sign_out() -> Any:
    """End the session."""
    _own_form()
    session.sign_out()
    return redirect(url_for("console.sign_in"), 303)


@blueprint.post("/alerts/<name:gateway>/<name:alert>/acknowledge")
def acknowledge(gateway: str, alert: str) -> Any:
    """Acknowledge an alert from the page."""
    token = _own_form()
    here = context()
    if act(here.engine, (gateway, alert), Action("acknowledge", here.now(), token.name)) is None:
        abort(404)
    return redirect(url_for("console.page"), 303)


def _own_form() -> Token:
    token = session.signed_in()
    if token is None:
        abort(401)
    if not session.is_own_form():
        abort(400)
    return token


def _login_page(problem: str, status: int = 200) -> tuple[str, int]:
    file = context().state_dir / "api-token"
    return render_template("login.html", problem=problem, token_file=file), status


def _overview() -> Overview:
    here = context()
    now = here.now()
    ingest = ingest_state.read(here.state_dir, now)
    return read_overview(here.engine, ingest, now, here.config.hub.silent_after)


def _broker() -> str:
    return context().config.broker.url
