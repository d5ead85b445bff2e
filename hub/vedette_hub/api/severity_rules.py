"""`/api/v1/severity-rules`: which alerts get another severity than the gateway gave them."""

from __future__ import annotations

from typing import Any

from apiflask import APIBlueprint

from vedette_hub.api.access import requires
from vedette_hub.api.auditing import note
from vedette_hub.api.caller import who
from vedette_hub.api.context import context
from vedette_hub.api.idempotency import idempotent
from vedette_hub.api.lifecycle_shapes import RulesIn, RulesOut, rule_answer
from vedette_hub.store import severity_rules
from vedette_hub.store.database import reading, writing

blueprint = APIBlueprint("severity_rules", __name__, url_prefix="/api/v1/severity-rules", tag="Severity rules")


@blueprint.get("")
@requires("viewer")
@blueprint.output(RulesOut)
def list_rules() -> dict[str, Any]:
    """All rules, in the order in which they are asked."""
    with reading(context().engine) as connection:
        return {"rules": [rule_answer(stored) for stored in severity_rules.list_rules(connection)]}


@blueprint.put("")
@requires("admin")
@idempotent
@blueprint.input(RulesIn)
@blueprint.output(RulesOut)
@blueprint.doc(responses=[400, 413])
def replace_rules(json_data: RulesIn) -> dict[str, Any]:
    """Write all rules anew. An alert is judged by them when an event of it comes: those that are there stay as they
    are until the gateway has news of them."""
    here = context()
    with writing(here.engine) as connection:
        rules = [rule.rule() for rule in json_data.rules]
        kept = severity_rules.replace_rules(connection, rules, by=who(), now=here.now())
        note(connection, "severity_rules.replace", detail=", ".join(f"{rule.name}: {rule.severity}" for rule in rules))
    return {"rules": [rule_answer(stored) for stored in kept]}
