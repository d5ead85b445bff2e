"""The console's pages about models: who runs what (refreshes itself), a version with its report, and orders."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from apiflask import APIBlueprint
from flask import Response, abort, redirect, render_template, request, url_for

from vedette_hub import state
from vedette_hub.api.context import context
from vedette_hub.fleet import ingest_state, orders
from vedette_hub.fleet.orders import Ordered, OrderError, Targets, UnknownModelError
from vedette_hub.learning import registry
from vedette_hub.store import fleet
from vedette_hub.store import rollout as store
from vedette_hub.store.database import reading
from vedette_hub.web import session
from vedette_hub.web.models_overview import ModelsOverview, read_models_overview

GATEWAYS_OFFERED = 500
_MAX_FACTS = 100

blueprint = APIBlueprint("models_console", __name__, url_prefix="/models", enable_openapi=False)


@blueprint.app_template_filter("kib")
def _kib(size: int) -> str:
    return f"{size / 1024:.1f} KiB"


@blueprint.get("")
def page() -> Any:
    """Models, versions, and who runs what."""
    token = session.signed_in()
    if token is None:
        return redirect(url_for("console.sign_in"))
    return render_template("models.html", token=token, view=_view())


@blueprint.get("/overview")
def overview() -> Any:
    """The part of the page that changes; 304 when it has not, 401 when the session has ended."""
    if session.signed_in() is None:
        return Response("The session has ended.", 401, mimetype="text/plain")
    response = Response(render_template("models_overview.html", view=_view()), mimetype="text/html")
    response.add_etag()
    return response.make_conditional(request)


@blueprint.get("/<name:profile>/<int(min=1, max=2147483647):version>")
def show_version(profile: str, version: int) -> Any:
    """One version: its report, and a form to push it."""
    if session.signed_in() is None:
        return redirect(url_for("console.sign_in"))
    return _version_page(profile, version)


@blueprint.post("/<name:profile>/<int(min=1, max=2147483647):version>/push")
def push(profile: str, version: int) -> Any:
    """Push a version from its page."""
    return _order(
        lambda engine, key, *how: orders.push(engine, key, profile, version, *how),
        lambda problem, status: _version_page(profile, version, problem, status),
    )


@blueprint.get("/<name:profile>/orders")
def show_orders(profile: str) -> Any:
    """Forms to roll back and unload."""
    if session.signed_in() is None:
        return redirect(url_for("console.sign_in"))
    return _orders_page(profile)


@blueprint.post("/<name:profile>/rollback")
def roll_back(profile: str) -> Any:
    """Roll back from the page of orders."""
    return _order(
        lambda engine, key, *how: orders.roll_back(engine, key, profile, *how),
        lambda problem, status: _orders_page(profile, problem, status),
    )


@blueprint.post("/<name:profile>/unload")
def unload(profile: str) -> Any:
    """Unload from the page of orders."""
    return _order(
        lambda engine, key, *how: orders.unload(engine, key, profile, *how),
        lambda problem, status: _orders_page(profile, problem, status),
    )


def _order(give: Callable[..., Ordered], again: Callable[[str, int], Any]) -> Any:
    """Give an order that a form of ours asks for; when it cannot be given, the page says why."""
    token = session.signed_in()
    if token is None:
        abort(401)
    if not session.is_own_form():
        abort(400)
    here = context()
    targets = _targets(request.form.get("target", ""))
    if targets is None:
        return again("Choose whom the order is for.", 400)
    try:
        give(here.engine, state.signing_key(here.state_dir), targets, token.name, here.now())
    except UnknownModelError:
        abort(404)
    except OrderError as error:
        return again(_sentence(str(error)), 409)
    except state.StateError as error:
        return again(_sentence(str(error)), 503)
    return redirect(url_for("models_console.page"), 303)


def _targets(text: str) -> Targets | None:
    kind, _, name = text.partition(":")
    if text == "all":
        return Targets()
    if kind == "group" and name:
        return Targets(group=name)
    if kind == "gateway" and name:
        return Targets((name,))
    return None


def _version_page(profile: str, version: int, problem: str = "", status: int = 200) -> tuple[str, int]:
    with reading(context().engine) as connection:
        model = registry.find(connection, profile, version)
    if model is None:
        abort(404)
    text = render_template(
        "model_version.html",
        heading=f"{profile}, version {version}",
        model=model,
        report=list(_facts(model.report))[:_MAX_FACTS],
        lineage=list(_facts(model.lineage))[:_MAX_FACTS],
        problem=problem,
        **_choices(),
    )
    return text, status


def _orders_page(profile: str, problem: str = "", status: int = 200) -> tuple[str, int]:
    with reading(context().engine) as connection:
        if registry.newest(connection, profile) is None:
            abort(404)
    text = render_template(
        "model_orders.html",
        heading=f"{profile}: roll back or unload",
        profile=profile,
        problem=problem,
        **_choices(),
    )
    return text, status


def _choices() -> dict[str, Any]:
    """What a form offers as targets."""
    with reading(context().engine) as connection:
        found = fleet.list_gateways(connection, limit=GATEWAYS_OFFERED)
        return {
            "token": session.signed_in(),
            "gateways": [gateway.gateway for gateway in found],
            "gateways_total": fleet.count_gateways(connection),
            "groups": store.groups(connection),
        }


def _facts(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """(name, value) of everything in a report, nested names joined."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _facts(item, f"{name} {key}".strip().replace("_", " "))
    elif isinstance(value, list) and any(isinstance(item, dict | list) for item in value):
        for number, item in enumerate(value, start=1):
            yield from _facts(item, f"{name} {number}")
    elif isinstance(value, list):
        yield name, ", ".join(_shown(item) for item in value)
    else:
        yield name, _shown(value)


def _shown(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "–"}[value]
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + "."


def _view() -> ModelsOverview:
    here = context()
    now = here.now()
    ingest = ingest_state.read(here.state_dir, now)
    try:
        state.signing_key(here.state_dir)
        key_problem = ""
    except state.StateError as error:
        key_problem = str(error)
    return read_models_overview(here.engine, ingest, key_problem, now, here.config.hub.silent_after)
