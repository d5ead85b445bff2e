"""The console's settings: their line of pages, and the first of them, profiles with their budgets."""

from __future__ import annotations

from typing import Any

from apiflask import APIBlueprint
from flask import render_template

from vedette_hub.api.access import requires
from vedette_hub.api.context import context
from vedette_hub.web.profile_budgets import read_profiles

SECTIONS = (
    ("settings.page", "Profiles and budgets", "viewer"),
    ("rules_console.page", "Severity", "viewer"),
    ("quiet_console.page", "Silences and maintenance", "viewer"),
    ("channels_console.page", "Channels", "admin"),
    ("routes_console.page", "Routes", "admin"),
    ("retention_console.page", "Retention", "viewer"),
    ("access.page", "Users and tokens", "admin"),
    ("audit_console.page", "Audit log", "admin"),
    ("account.page", "Your account", "viewer"),
)
"""(endpoint, words, least role), in the order of the line of pages."""

blueprint = APIBlueprint("settings", __name__, url_prefix="/settings", enable_openapi=False)


@blueprint.app_context_processor
def _for_templates() -> dict[str, Any]:
    return {"sections": SECTIONS}


@blueprint.get("")
@requires("viewer", page=True)
def page() -> Any:
    """Profiles: their budgets, and what came of them."""
    here = context()
    return render_template("settings_profiles.html", profiles=read_profiles(here.engine), learning=here.config.learning)
