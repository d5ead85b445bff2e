"""The console's page of the audit log."""

from __future__ import annotations

from typing import Any

from apiflask import APIBlueprint
from flask import render_template, request

from vedette_hub.api.access import requires
from vedette_hub.api.context import context
from vedette_hub.store import audit
from vedette_hub.store.audit import AuditFilter, Outcome
from vedette_hub.store.database import reading

PAGE = 100
THINGS = ("", "alert.", "model.", "channel.", "route.", "silence.", "maintenance.", "user.", "token.", "session.",
          "retention.", "request.")  # fmt: skip
OUTCOMES: dict[str, Outcome] = {"done": "done", "refused": "refused", "failed": "failed"}

blueprint = APIBlueprint("audit_console", __name__, url_prefix="/settings/audit", enable_openapi=False)


@blueprint.get("")
@requires("admin", page=True)
def page() -> Any:
    """Who did what, the newest first."""
    asked = request.args
    by, thing = asked.get("by", "").strip()[:256], asked.get("action", "")
    outcome, text = OUTCOMES.get(asked.get("outcome", "")), asked.get("before", "")
    before = int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None
    chosen = AuditFilter(by=by or None, action=thing if thing in THINGS and thing else None, outcome=outcome)
    with reading(context().engine) as connection:
        found = audit.list_entries(connection, chosen, limit=PAGE + 1, before=before)
    return render_template(
        "settings_audit.html",
        entries=found[:PAGE],
        more=found[PAGE - 1].number if len(found) > PAGE else None,
        things=THINGS,
        outcomes=OUTCOMES,
        chosen={"by": by, "action": chosen.action or "", "outcome": outcome or ""},
        before=before,
    )
