"""`/api/v1/alerts`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NoReturn

from apiflask import APIBlueprint, abort
from sqlalchemy import Connection

from vedette_hub.alerts.actions import act, act_on_all
from vedette_hub.alerts.lifecycle import LabelValue
from vedette_hub.api.access import requires
from vedette_hub.api.answers import alert_answer, history_answer
from vedette_hub.api.auditing import note
from vedette_hub.api.caller import who
from vedette_hub.api.context import context
from vedette_hub.api.idempotency import idempotent
from vedette_hub.api.lifecycle_shapes import AssignIn, BulkIn, BulkOut
from vedette_hub.api.shapes import AlertDetailOut, AlertOut, AlertQuery, AlertsOut, CommentIn, LabelIn
from vedette_hub.store import alert_search, alerts
from vedette_hub.store.alert_rows import StoredAlert
from vedette_hub.store.alerts import Action, ActionName
from vedette_hub.store.database import reading, writing
from vedette_hub.store.maintenance import list_windows
from vedette_hub.store.silences import list_silences
from vedette_hub.store.users import UnknownUserError, get_user

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
        search = alert_search.Search(connection, chosen)
        page = search.page(limit=query_data.limit, before=query_data.before, offset=query_data.offset)
        total = search.count()
        answers = alert_answers(connection, page.alerts)
    return {"alerts": answers, "total": total.number, "total_exact": total.exact, "next": page.next}


@blueprint.get("/<name:gateway>/<name:alert>")
@requires("viewer")
@blueprint.output(AlertDetailOut)
@blueprint.doc(responses=[404])
def show_alert(gateway: str, alert: str) -> dict[str, Any]:
    """One alert with its history."""
    with reading(context().engine) as connection:
        found = alerts.find_alert(connection, (gateway, alert))
        if found is None:
            _no_such_alert(gateway, alert)
        events, actions = alerts.history(connection, (gateway, alert))
        (answer,) = alert_answers(connection, [found])
    return {**answer, "history": history_answer(events, actions)}


@blueprint.post("/<name:gateway>/<name:alert>/acknowledge")
@_action(CommentIn)
def acknowledge(gateway: str, alert: str, json_data: CommentIn) -> dict[str, Any]:
    """Say that somebody has seen it; the first one at this severity stays on record."""
    return _act(gateway, alert, "acknowledge", json_data.comment)


@blueprint.post("/<name:gateway>/<name:alert>/unacknowledge")
@_action(CommentIn)
def unacknowledge(gateway: str, alert: str, json_data: CommentIn) -> dict[str, Any]:
    """Take an acknowledgement back: it asks for attention again."""
    return _act(gateway, alert, "unacknowledge", json_data.comment)


@blueprint.post("/<name:gateway>/<name:alert>/resolve")
@_action(CommentIn)
def resolve(gateway: str, alert: str, json_data: CommentIn) -> dict[str, Any]:
    """End it at the hub, and acknowledge it; news from the gateway opens it again."""
    return _act(gateway, alert, "resolve", json_data.comment)


@blueprint.post("/<name:gateway>/<name:alert>/label")
@_action(LabelIn)
def label(gateway: str, alert: str, json_data: LabelIn) -> dict[str, Any]:
    """Say what it turned out to be; the newest label counts."""
    return _act(gateway, alert, "label", json_data.comment, label=json_data.label)


@blueprint.post("/<name:gateway>/<name:alert>/assign")
@_action(AssignIn)
def assign(gateway: str, alert: str, json_data: AssignIn) -> dict[str, Any]:
    """Say who is to look after it: a user of this hub, or nobody."""
    return _act(gateway, alert, "assign", json_data.comment, assignee=json_data.assignee)


@blueprint.post("/<name:gateway>/<name:alert>/comment")
@_action(CommentIn)
def comment(gateway: str, alert: str, json_data: CommentIn) -> dict[str, Any]:
    """Write something into its history."""
    if not json_data.comment.strip():
        _refuse("comment", "write something")
    return _act(gateway, alert, "comment", json_data.comment)


@blueprint.post("/bulk")
@requires("operator")
@idempotent
@blueprint.input(BulkIn)
@blueprint.output(BulkOut)
@blueprint.doc(responses=[400, 413])
def act_on_several(json_data: BulkIn) -> dict[str, Any]:
    """Do the same about several alerts, in one step: all of those that there are, or none."""
    here, action = context(), json_data.action
    if (field := json_data.missing()) is not None or (action == "comment" and not json_data.comment.strip()):
        _refuse(field or "comment", f"is what the action {action} needs")
    keys = list(dict.fromkeys((one.gateway, one.id) for one in json_data.alerts))
    done = Action(action, here.now(), who(), json_data.comment, json_data.label, json_data.assignee)
    with writing(here.engine) as connection:
        _check_assignee(connection, done)
        changed = act_on_all(here.engine, keys, done)
        names = [f"{gateway}/{alert}" for gateway, alert in keys if (gateway, alert) in changed]
        if names:
            note(connection, f"alert.{action}", f"{len(names)} alerts", detail=_in_words(done, names))
        answers = alert_answers(connection, [changed[key] for key in keys if key in changed])
    missing = [{"gateway": gateway, "id": alert} for gateway, alert in keys if (gateway, alert) not in changed]
    return {"alerts": answers, "missing": missing}


def alert_answers(connection: Connection, found: Iterable[StoredAlert]) -> list[dict[str, Any]]:
    """Fields of `AlertOut` of each, with what suppresses it now."""
    now = context().now()
    silences, windows = list_silences(connection, now), list_windows(connection)
    return [alert_answer(stored, now, silences, windows) for stored in found]


def _act(
    gateway: str,
    alert: str,
    action: ActionName,
    comment: str,
    *,
    label: LabelValue | None = None,
    assignee: str | None = None,
) -> dict[str, Any]:
    here = context()
    done = Action(action, here.now(), who(), comment, label, assignee)
    with writing(here.engine) as connection:
        _check_assignee(connection, done)
        changed = act(here.engine, (gateway, alert), done)
        if changed is None:
            _no_such_alert(gateway, alert)
        note(connection, f"alert.{action}", f"{gateway}/{alert}", detail=_in_words(done))
        (answer,) = alert_answers(connection, [changed])
    return answer


def _in_words(done: Action, names: Iterable[str] = ()) -> str:
    """What the audit log says beside the action's name."""
    said = done.label or done.assignee or ("" if done.action not in {"label", "assign"} else "taken back")
    return ": ".join(part for part in (said, ", ".join(names)) if part)


def _check_assignee(connection: Connection, done: Action) -> None:
    if done.assignee is None:
        return
    try:
        user = get_user(connection, done.assignee)
    except UnknownUserError:
        user = None
    if user is None or user.disabled is not None:
        _refuse("assignee", f"there is no user {done.assignee!r} who can sign in")


def _refuse(field: str, problem: str) -> NoReturn:
    abort(422, "The request is not as it should be.", detail={"json": {field: [problem]}})


def _no_such_alert(gateway: str, alert: str) -> NoReturn:
    abort(404, f"Gateway {gateway!r} has no alert {alert!r}; GET /api/v1/alerts lists those there are.")
