"""The console's first page, what needs attention, and signing in to it."""

from __future__ import annotations

from typing import Any

from apiflask import APIBlueprint
from flask import redirect, render_template, request, url_for

from vedette_hub.api import session, signing_in
from vedette_hub.api.access import open_to_all, requires
from vedette_hub.api.auditing import note
from vedette_hub.api.caller import maybe_caller
from vedette_hub.api.context import context
from vedette_hub.fleet import ingest_state
from vedette_hub.state import PASSWORD_FILE
from vedette_hub.store.database import writing
from vedette_hub.web import formats, shell
from vedette_hub.web.overview import Overview, read_overview

blueprint = APIBlueprint(
    "console",
    __name__,
    template_folder="templates",
    static_folder="static",
    static_url_path="/console",
    enable_openapi=False,
)
blueprint.app_context_processor(shell.for_templates)
formats.register(blueprint)


@blueprint.get("/")
@requires("viewer", page=True)
def page() -> Any:
    """What needs attention, how the fleet is, and what is most anomalous."""
    return render_template("overview_page.html", view=_overview(), broker=_broker(), live_page=True, whole_page=True)


@blueprint.get("/overview")
@requires("viewer")
def overview() -> Any:
    """The part of the page that changes; 304 when it has not, 401 when the session has ended."""
    return shell.part("overview.html", view=_overview(), broker=_broker())


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
