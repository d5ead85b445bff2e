"""The console's pages about alerts: the table with its keys and bulk actions, and what is done about an alert."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

from apiflask import APIBlueprint
from flask import abort, redirect, render_template, request, url_for

from vedette_hub.alerts.actions import act_on_all
from vedette_hub.alerts.lifecycle import LABELS
from vedette_hub.api.access import requires
from vedette_hub.api.auditing import note
from vedette_hub.api.caller import who
from vedette_hub.api.context import context
from vedette_hub.store import users
from vedette_hub.store.alerts import Action, ActionName, Key
from vedette_hub.store.database import reading, writing
from vedette_hub.web import alert_table, shell
from vedette_hub.web.alert_detail import read_alert_detail
from vedette_hub.web.alert_table import AlertTable, read_alert_table

MOST_AT_ONCE = 500
COMMENT_LENGTH = 4_000
_PLAIN: tuple[ActionName, ...] = ("acknowledge", "unacknowledge", "resolve", "comment")
_DONE = {"acknowledge": "acknowledged", "unacknowledge": "unacknowledged", "resolve": "resolved",
         "label": "labelled", "assign": "assigned", "comment": "commented on"}  # fmt: skip

blueprint = APIBlueprint("alerts_console", __name__, enable_openapi=False)


@blueprint.get("/alerts")
@requires("viewer", page=True)
def page() -> Any:
    """The table."""
    return render_template("alerts_page.html", table=_table(), words=alert_table, live_page=True)


@blueprint.get("/part/alerts")
@requires("viewer")
def overview() -> Any:
    """The part of the table that changes."""
    return shell.part("alerts.html", table=_table(), words=alert_table)


@blueprint.get("/alerts/<name:gateway>/<name:alert>")
@requires("viewer", page=True)
def show(gateway: str, alert: str) -> Any:
    """One alert: why, what led to it, and what was done about it."""
    return render_template("alert_page.html", live_page=True, whole_page=True, **_one(gateway, alert))


@blueprint.get("/part/alerts/<name:gateway>/<name:alert>")
@requires("viewer")
def show_part(gateway: str, alert: str) -> Any:
    """The part of an alert's page that changes."""
    return shell.part("alert.html", **_one(gateway, alert))


@blueprint.post("/alerts/<name:gateway>/<name:alert>/acknowledge")
@requires("operator")
def acknowledge(gateway: str, alert: str) -> Any:
    """Acknowledge an alert from a list."""
    if not _do([(gateway, alert)], _action("acknowledge")):
        abort(404)
    return redirect(url_for("console.page"), 303)


@blueprint.post("/alerts/<name:gateway>/<name:alert>/act")
@requires("operator")
def act(gateway: str, alert: str) -> Any:
    """Do something about an alert from its page."""
    if not _do([(gateway, alert)], _asked()):
        abort(404)
    return redirect(url_for("alerts_console.show", gateway=gateway, alert=alert), 303)


@blueprint.post("/alerts/bulk")
@requires("operator")
def bulk() -> Any:
    """Do the same about all alerts that are picked; without a page, for the script: how many, as JSON."""
    keys = [key for text in request.form.getlist("alert")[:MOST_AT_ONCE] if (key := _key(text)) is not None]
    action = _asked()
    done = _do(keys, action) if keys else 0
    if request.accept_mimetypes.best_match(["application/json", "text/html"]) == "application/json":
        return {"done": done, "words": f"{done} alert{'' if done == 1 else 's'} {_DONE[action.action]}"}
    address: dict[str, Any] = {**alert_table.chosen(request.args.to_dict()).address}
    return redirect(url_for("alerts_console.page", **address), 303)


def _table() -> AlertTable:
    here = context()
    return read_alert_table(here.engine, alert_table.chosen(request.args.to_dict()), here.now())


def _one(gateway: str, alert: str) -> dict[str, Any]:
    here = context()
    found = read_alert_detail(here.engine, (gateway, alert), here.now())
    if found is None:
        abort(404)
    with reading(here.engine) as connection:
        names = [user.name for user in users.list_users(connection) if user.disabled is None]
    return {"view": found, "people": names, "words": alert_table.LABEL_WORDS, "trail": [("Alerts", "/alerts")]}


def _asked() -> Action:
    """What a form or one of its buttons asks for in `do`."""
    name, _, value = request.form.get("do", "").partition(":")
    comment = request.form.get("comment", "").strip()
    if len(comment) > COMMENT_LENGTH:
        abort(422, f"A comment has at most {COMMENT_LENGTH} characters.")
    if name == "label":
        value = value or request.form.get("label", "")
        if value not in (*LABELS, "none"):
            abort(422, f"A label is one of {', '.join(LABELS)}, or none.")
        return _action("label", comment, label=None if value == "none" else value)
    if name == "assign":
        assignee = value or request.form.get("assignee", "")
        with reading(context().engine) as connection:
            if assignee and assignee not in {user.name for user in users.list_users(connection)}:
                abort(422, f"There is no user {assignee!r}.")
        return _action("assign", comment, assignee=assignee or None)
    plain = next((one for one in _PLAIN if one == name), None)
    if plain is None:
        abort(422, "Say what is to be done about it.")
    if plain == "comment" and not comment:
        abort(422, "Write something to be kept as a comment.")
    return _action(plain, comment)


def _action(name: ActionName, comment: str = "", **more: Any) -> Action:
    return Action(name, context().now(), who(), comment, **more)


def _do(keys: list[Key], action: Action) -> int:
    here = context()
    with writing(here.engine) as connection:
        changed = act_on_all(here.engine, keys, action)
        for gateway, alert in changed:
            note(
                connection, f"alert.{action.action}", f"{gateway}/{alert}", detail=action.label or action.assignee or ""
            )
    return len(changed)


def _key(text: str) -> Key | None:
    """`<gateway>/<alert>`, each percent-encoded."""
    gateway, _, alert = text.partition("/")
    return (unquote(gateway), unquote(alert)) if gateway and alert else None
