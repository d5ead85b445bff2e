"""The page of the API: every route, without a sign-in and without anything from elsewhere."""

from __future__ import annotations

import re
from typing import Any

from vedette_hub.web.reference import operations


def test_the_page_shows_every_route_of_the_specification(client: Any) -> None:
    page = client.get("/docs")
    text = page.get_data(as_text=True)
    spec = client.get("/openapi.json").get_json()
    shown = set(re.findall(r"<strong>([A-Z]+)</strong> ([^<]+)</code>", text))
    assert page.status_code == 200
    assert shown == {(method.upper(), path) for path, methods in spec["paths"].items() for method in methods}
    assert "isAnomaly" in text
    assert "Role: operator. Scope: detect." in text


def test_the_page_takes_nothing_from_elsewhere_and_no_inline_code(client: Any) -> None:
    text = client.get("/docs").get_data(as_text=True)
    links = re.findall(r'(?:href|src)="([^"]+)"', text)
    assert all(link.startswith(("/", "#")) for link in links)
    assert not re.search(r"<script>|<style>| style=| on[a-z]+=", text)
    for link in {link for link in links if link.startswith("/") and link != "/openapi.json"}:
        assert client.get(link).status_code == 200


def test_fields_inside_lists_and_choices_are_shown_with_their_path() -> None:
    item = {"type": "object", "properties": {"id": {"type": "integer", "minimum": 1}}, "required": ["id"]}
    body = {
        "properties": {"items": {"anyOf": [{"type": "array", "items": {"$ref": "#/parts/item"}}, {"type": "null"}]}}
    }
    route = {"requestBody": {"content": {"application/json": {"schema": body}}}, "responses": {}}
    spec = {"paths": {"/a/{b}": {"post": route}}, "parts": {"item": item}}
    (operation,) = operations(spec)["Other"]
    assert [(one.name, one.kind, one.required) for one in operation.body] == [
        ("items", "list of object or null", False),
        ("items[].id", "integer from 1", True),
    ]
