"""The console's settings of severity: rules that give alerts another one than their gateways did."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from apiflask import APIBlueprint
from flask import redirect, render_template, request, url_for

from vedette_hub.alerts.severity import SeverityRule
from vedette_hub.api.access import requires
from vedette_hub.api.auditing import note
from vedette_hub.api.caller import who
from vedette_hub.api.context import context
from vedette_hub.api.lifecycle_shapes import RuleIn
from vedette_hub.errors import HubError
from vedette_hub.store import severity_rules
from vedette_hub.store.database import reading, writing
from vedette_hub.store.severity_rules import MAX_RULES
from vedette_hub.web import forms, shell
from vedette_hub.web.forms import FormError

blueprint = APIBlueprint("rules_console", __name__, url_prefix="/settings/severity", enable_openapi=False)


@blueprint.get("")
@requires("viewer", page=True)
def page() -> Any:
    """The rules in their order, and a form to add one."""
    return _page()


@blueprint.post("")
@requires("admin")
def change() -> Any:
    """Add a rule at the end; or move one up, switch it on or off, or remove it."""
    here = context()
    try:
        with writing(here.engine) as connection:
            rules = _changed([stored.rule for stored in severity_rules.list_rules(connection)])
            severity_rules.replace_rules(connection, rules, by=who(), now=here.now())
            words = ", ".join(f"{rule.name}: {rule.severity}" for rule in rules)
            note(connection, "severity_rules.replace", detail=words)
    except HubError as error:
        return _page(shell.sentence(str(error)), 422)
    return redirect(url_for("rules_console.page"), 303)


def _changed(rules: list[SeverityRule]) -> list[SeverityRule]:
    what, form = request.form.get("do", ""), request.form
    if what == "add":
        return [*rules, _new(rules)]
    place = next((i for i, rule in enumerate(rules) if rule.name == form.get("name", "")), None)
    if place is None:
        raise FormError(f"there is no rule {form.get('name', '')[:64]!r} any more")
    rule = rules[place]
    match what:
        case "up":
            above = max(0, place - 1)
            rules[above], rules[place] = rule, rules[above]
            return rules
        case "switch":
            return [*rules[:place], replace(rule, enabled=not rule.enabled), *rules[place + 1 :]]
        case "remove":
            return [*rules[:place], *rules[place + 1 :]]
    raise FormError("say what is to be done")


def _new(rules: list[SeverityRule]) -> SeverityRule:
    form = request.form
    values = {
        "name": form.get("name", "").strip(),
        "severity": form.get("to", ""),
        "matchers": forms.patterns(form, form.getlist("severity")),
        "score_at_least": forms.number(form.get("score", ""), "score"),
        "comment": form.get("comment", ""),
    }
    made = forms.read(RuleIn, values).rule()
    if any(rule.name == made.name for rule in rules):
        raise FormError(f"there is a rule {made.name!r} already")
    if len(rules) >= MAX_RULES:
        raise FormError(f"there are {MAX_RULES} rules already, which is as many as there can be")
    return made


def _page(problem: str = "", status: int = 200) -> tuple[str, int]:
    with reading(context().engine) as connection:
        found = severity_rules.list_rules(connection)
    return render_template("settings_severity.html", problem=problem, rules=found, typed=request.form), status
