"""What the frame of every page of the console shows, and how pages send the part of them that changes."""

from __future__ import annotations

from typing import Any

from flask import make_response, render_template, request
from werkzeug import Response

from vedette_hub.api.caller import maybe_caller
from vedette_hub.api.context import context
from vedette_hub.identity.roles import Role, covers
from vedette_hub.store.alert_search import AlertFilter, count_alerts
from vedette_hub.store.database import reading
from vedette_hub.version import VERSION

PAGES = (
    ("overview", "Overview", "console.page", ("console",)),
    ("alerts", "Alerts", "alerts_console.page", ("alerts_console",)),
    ("gateways", "Gateways", "gateways_console.page", ("gateways_console",)),
    ("devices", "Devices", "devices_console.page", ("devices_console", "forecast_console")),
    ("models", "Models", "models_console.page", ("models_console", "compare_console")),
    (
        "settings",
        "Settings",
        "settings.page",
        (
            "settings",
            "access",
            "account",
            "audit_console",
            "channels_console",
            "quiet_console",
            "retention_console",
            "routes_console",
            "rules_console",
        ),
    ),
)
"""(name, words, endpoint, blueprints whose pages belong to it), in the order of the rail."""


def for_templates() -> dict[str, Any]:
    """What every template knows."""
    return {"version": VERSION, "caller": maybe_caller(), "may": may, "pages": PAGES, "attention": attention}


def may(role: Role) -> bool:
    """Whether whoever looks at the page has this role, or a higher one."""
    found = maybe_caller()
    return found is not None and covers(found.role, role)


def attention() -> int:
    """How many alerts are active that nobody has acknowledged."""
    with reading(context().engine) as connection:
        return count_alerts(connection, AlertFilter(attention=True)).number


def part(template: str, **values: Any) -> Response:
    """The part of a page that changes; 304 when it has not. It says how many alerts wait, for the rail."""
    response = make_response(render_template(template, **values))
    response.add_etag()
    response.headers["X-Attention"] = str(attention())
    return response.make_conditional(request)


def sentence(text: str) -> str:
    """An error as a page says it."""
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "?", "!")) else ".")
