"""The console's pages about models: who runs what (refreshes itself), a version with its report, and orders."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from apiflask import APIBlueprint
from flask import abort, redirect, render_template, request, url_for

from vedette_hub import state
from vedette_hub.api.access import requires
from vedette_hub.api.auditing import note
from vedette_hub.api.caller import who
from vedette_hub.api.context import context
from vedette_hub.api.models import plot_answer
from vedette_hub.fleet import ingest_state, orders
from vedette_hub.fleet.order_words import order_words
from vedette_hub.fleet.orders import Ordered, OrderError, Targets, UnknownModelError
from vedette_hub.learning import jobs, registry
from vedette_hub.learning.errors import JobError
from vedette_hub.learning.jobs import TrainRequest
from vedette_hub.learning.training.algorithms import ALGORITHMS, unknown
from vedette_hub.store import fleet
from vedette_hub.store import rollout as store
from vedette_hub.store.database import reading, writing
from vedette_hub.store.plots import list_plots
from vedette_hub.store.samples import sample_totals
from vedette_hub.store.schema import NAME_LENGTH
from vedette_hub.web import shell
from vedette_hub.web.models_overview import ModelsOverview, read_models_overview
from vedette_hub.web.version_report import version_report

GATEWAYS_OFFERED = 500
_TRAIL = [("Models", "/models")]

blueprint = APIBlueprint("models_console", __name__, url_prefix="/models", enable_openapi=False)


@blueprint.get("")
@requires("viewer", page=True)
def page() -> Any:
    """Models, versions, and who runs what."""
    return render_template("models.html", view=_view(), live_page=True)


@blueprint.get("/overview")
@requires("viewer")
def overview() -> Any:
    """The part of the page that changes; 304 when it has not, 401 when the session has ended."""
    return shell.part("models_overview.html", view=_view())


@blueprint.get("/<name:profile>/<int(min=1, max=2147483647):version>")
@requires("viewer", page=True)
def show_version(profile: str, version: int) -> Any:
    """One version: its report, and a form to push it."""
    return _version_page(profile, version)


@blueprint.get("/<name:profile>/<int(min=1, max=2147483647):version>/plots/<name:name>.svg")
@requires("viewer")
def show_plot(profile: str, version: int, name: str) -> Any:
    """One plot of a version's report."""
    return plot_answer(profile, version, name)


@blueprint.get("/<name:profile>/train")
@requires("approver", "train", page=True)
def show_train(profile: str) -> Any:
    """A form to train the next version."""
    return _train_page(profile)


@blueprint.post("/<name:profile>/train")
@requires("approver", "train")
def train(profile: str) -> Any:
    """Queue a training from its form."""
    here = context()
    algorithm = request.form.get("algorithm", "")
    if algorithm not in ALGORITHMS:
        return _train_page(profile, shell.sentence(unknown(algorithm)), 400)
    try:
        with writing(here.engine) as connection:
            wanted = TrainRequest(profile, algorithm)
            job = jobs.enqueue(connection, wanted, who(), here.now(), here.config.learning.queue)
            note(connection, "model.train", profile, detail=f"job {job.number}, {algorithm}")
    except JobError as error:
        return _train_page(profile, shell.sentence(str(error)), 409)
    return redirect(url_for("models_console.page"), 303)


@blueprint.post("/<name:profile>/<int(min=1, max=2147483647):version>/push")
@requires("approver", "push")
def push(profile: str, version: int) -> Any:
    """Push a version from its page."""
    return _order(
        ("model.push", f"{profile} {version}"),
        lambda engine, key, *how: orders.push(engine, key, profile, version, *how),
        lambda problem, status: _version_page(profile, version, problem, status),
    )


@blueprint.get("/<name:profile>/orders")
@requires("approver", "push", page=True)
def show_orders(profile: str) -> Any:
    """Forms to roll back and unload."""
    return _orders_page(profile)


@blueprint.post("/<name:profile>/rollback")
@requires("approver", "push")
def roll_back(profile: str) -> Any:
    """Roll back from the page of orders."""
    return _order(
        ("model.rollback", profile),
        lambda engine, key, *how: orders.roll_back(engine, key, profile, *how),
        lambda problem, status: _orders_page(profile, problem, status),
    )


@blueprint.post("/<name:profile>/unload")
@requires("approver", "push")
def unload(profile: str) -> Any:
    """Unload from the page of orders."""
    return _order(
        ("model.unload", profile),
        lambda engine, key, *how: orders.unload(engine, key, profile, *how),
        lambda problem, status: _orders_page(profile, problem, status),
    )


def _order(what: tuple[str, str], give: Callable[..., Ordered], again: Callable[[str, int], Any]) -> Any:
    """Give an order that a form asks for, and note (action, target); if it cannot be given, the page says why."""
    here = context()
    targets = _targets(request.form.get("target", ""))
    if targets is None:
        return again("Choose whom the order is for.", 400)
    try:
        with writing(here.engine) as connection:
            ordered = give(here.engine, state.signing_key(here.state_dir), targets, who(), here.now())
            note(connection, *what, detail=order_words(targets, ordered))
    except UnknownModelError:
        abort(404)
    except OrderError as error:
        return again(shell.sentence(str(error)), 409)
    except state.StateError as error:
        return again(shell.sentence(str(error)), 503)
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
        drawn = list_plots(connection, profile, version)
    if model is None:
        abort(404)
    text = render_template(
        "model_version.html",
        heading=f"{profile}, version {version}",
        model=model,
        report=version_report(model),
        plots=drawn,
        problem=problem,
        trail=_TRAIL,
        **_choices(),
    )
    return text, status


def _train_page(profile: str, problem: str = "", status: int = 200) -> tuple[str, int]:
    here = context()
    with reading(here.engine) as connection:
        totals = {total.profile: total.readings for total in sample_totals(connection)}
        known = profile in totals or registry.newest(connection, profile) is not None
    if not known or len(profile) > NAME_LENGTH:
        abort(404)
    text = render_template(
        "model_train.html",
        heading=f"{profile}: train",
        profile=profile,
        problem=problem,
        readings=totals.get(profile, 0),
        algorithms=sorted(ALGORITHMS),
        default=here.config.learning.algorithm,
        trail=_TRAIL,
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
        trail=_TRAIL,
        **_choices(),
    )
    return text, status


def _choices() -> dict[str, Any]:
    """What a form offers as targets."""
    with reading(context().engine) as connection:
        found = fleet.list_gateways(connection, limit=GATEWAYS_OFFERED)
        return {
            "gateways": [gateway.gateway for gateway in found],
            "gateways_total": fleet.count_gateways(connection),
            "groups": store.groups(connection),
        }


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
