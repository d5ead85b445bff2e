"""`/api/v1/alerts`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from apiflask import APIBlueprint, abort

from vedette_hub.alerts.actions import act
from vedette_hub.alerts.lifecycle import LabelValue
from vedette_hub.api.access import requires
from vedette_hub.api.answers import alert_answer, history_answer
from vedette_hub.api.auditing import note
from vedette_hub.api.caller import who
from vedette_hub.api.context import context
from vedette_hub.api.idempotency import idempotent
from vedette_hub.api.shapes import AlertDetailOut, AlertOut, AlertQuery, AlertsOut, CommentIn, LabelIn
from vedette_hub.store import alerts
from vedette_hub.store.alerts import Action, ActionName
from vedette_hub.store.database import reading, writing

blueprint = APIBlueprint("alerts", __name__, url_prefix="/api/v1/alerts", tag="Alerts")


def _action(shape: type[CommentIn]) -> Callable[[Callable[..., dict[str, Any]]], Any]:
    """What all actions answer; they take a body of this shape."""

    def decorate(view: Callable[..., dict[str, Any]]) -> Any:
        described = blueprint.doc(responses=[400, 404, 413])(view)
        return requires("operator")(idempotent(blueprint.input(shape)(blueprint.output(AlertOut)(described))))

    return decorate


@blueprint.get("")
@requires("viewer")
@blueprint.input(AlertQuery, location="query")
@blueprint.output(AlertsOut)
def list_alerts(query_data: AlertQuery) -> dict[str, Any]:
    """Alerts, those that reached the hub last first."""
    chosen = query_data.chosen()
    with reading(context().engine) as connection:
        found = alerts.list_alerts(
            connection, chosen, limit=query_data.limit + 1, before=query_data.before, offset=query_data.offset
        )
        total = alerts.count_alerts(connection, chosen)
    page = found[: query_data.limit]
    return {
        "alerts": [alert_answer(alert) for alert in page],
        "total": total,
        "next": page[-1].serial if len(found) > len(page) else None,
    }


@blueprint.get("/<name:gateway>/<name:alert>")
@requires("viewer")
@blueprint.output(AlertDetailOut)
@blueprint.doc(responses=[404])
def show_alert(gateway: str, alert: str) -> dict[str, Any]:
    """One alert with its history."""
    with reading(context().engine) as connection:
        found = alerts.find_alert(connection, (gateway, alert))
        events, actions = alerts.history(connection, (gateway, alert))
    if found is None:
        _no_such_alert(gateway, alert)
    return {**alert_answer(found), "history": history_answer(events, actions)}


@blueprint.post("/<name:gateway>/<name:alert>/acknowledge")
@_action(CommentIn)
def acknowledge(gateway: str, alert: str, json_data: CommentIn) -> dict[str, Any]:
    """Say that somebody has seen it; the first one at this severity stays on record."""
    return _act(gateway, alert, "acknowledge", json_data.comment)


@blueprint.post("/<name:gateway>/<name:alert>/resolve")
@_action(CommentIn)
def resolve(gateway: str, alert: str, json_data: CommentIn) -> dict[str, Any]:
    """End it at the hub, and acknowledge it; news from the gateway opens it again."""
    return _act(gateway, alert, "resolve", json_data.comment)


@blueprint.post("/<name:gateway>/<name:alert>/label")
@_action(LabelIn)
def label(gateway: str, alert: str, json_data: LabelIn) -> dict[str, Any]:
    """Say what it turned out to be; the newest label counts."""
    return _act(gateway, alert, "label", json_data.comment, json_data.label)


def _act(gateway: str, alert: str, action: ActionName, comment: str, value: LabelValue | None = None) -> dict[str, Any]:
    here = context()
    with writing(here.engine) as connection:
        changed = act(here.engine, (gateway, alert), Action(action, here.now(), who(), comment, value))
        if changed is None:
            _no_such_alert(gateway, alert)
        note(connection, f"alert.{action}", f"{gateway}/{alert}", detail=value or "")
    return alert_answer(changed)


def _no_such_alert(gateway: str, alert: str) -> NoReturn:
    abort(404, f"Gateway {gateway!r} has no alert {alert!r}; GET /api/v1/alerts lists those there are.")
