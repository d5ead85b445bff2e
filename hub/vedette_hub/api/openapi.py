"""What the specification says of every route beyond its view: who may call it, and what it may answer."""

from __future__ import annotations

from typing import Any

from flask import Flask

from vedette_hub.api.access import Access, access_of
from vedette_hub.api.idempotency import HEADER, LONGEST_KEY, MARK
from vedette_hub.api.paths import template

SESSION_COOKIE = "vedette_hub"
CSRF_HEADER = "X-CSRFToken"

_ANSWERS = {
    "401": "No valid token, and no session",
    "403": "The caller's role, or the token's scopes, do not reach; the message says which is needed",
    "429": "Too many requests; `Retry-After` says in how many seconds there is room again",
}
_SCHEMES = {
    "token": {"type": "http", "scheme": "bearer", "description": "A token made by `vedette-hub token create`."},
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": SESSION_COOKIE,
        "description": f"The console's session. What changes something needs the header `{CSRF_HEADER}` too.",
    },
}
_KEY_PARAMETER = {
    "in": "header",
    "name": HEADER,
    "required": False,
    "schema": {"type": "string", "minLength": 1, "maxLength": LONGEST_KEY, "pattern": "^[\\x21-\\x7e]{1,255}$"},
    "description": "Sent again with the same key and body, the request is done once, and answered alike.",
}

_KEY_ANSWERS = {
    "409": "It was done before with this key, with an answer that was too large to be kept",
    "422": "The key is none, or came before with another request",
}


def describe(app: Flask, spec: dict[str, Any]) -> dict[str, Any]:
    """Add to a specification what routes declare."""
    paths = spec.get("paths", {})
    for rule in app.url_map.iter_rules():
        operations = paths.get(template(rule.rule), {})
        for method in (rule.methods or set()) & {name.upper() for name in operations}:
            _describe(operations[method.lower()], access_of(app, rule.endpoint), app.view_functions[rule.endpoint])
    spec.setdefault("components", {})["securitySchemes"] = _SCHEMES
    return spec


def _describe(operation: dict[str, Any], access: Access, view: Any) -> None:
    answers = operation.setdefault("responses", {})
    error = {"application/json": {"schema": {"$ref": "#/components/schemas/HTTPError"}}}
    wanted = ["429"] if access.role is None else ["401", "403", "429"]
    for status in wanted:
        answers[status] = {"description": _ANSWERS[status], "content": error}
    if access.role is not None:
        operation["security"] = [{"token": []}] if not access.person else []
        operation["security"].append({"session": []})
        scopes = f" Scope: {' or '.join(access.scopes)}." if access.scopes else ""
        may = f"Role: {access.role}.{scopes}"
        operation["description"] = "\n\n".join(part for part in (operation.get("description", ""), may) if part)
    if getattr(view, MARK, False):
        operation.setdefault("parameters", []).append(_KEY_PARAMETER)
        for status, said in _KEY_ANSWERS.items():
            answers.setdefault(status, {"description": said, "content": error})
