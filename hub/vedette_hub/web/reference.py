"""An OpenAPI specification → what a page shows of it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

METHODS = ("get", "post", "put", "patch", "delete")
DEEPEST = 4
"""Levels of fields that are shown."""


@dataclass(frozen=True)
class Field:
    """A parameter, or a field of a body."""

    name: str
    """With dots between levels, and [] behind a list."""
    kind: str
    required: bool
    text: str = ""
    place: str = ""
    """`path`, `query` or `header`; empty in a body."""


@dataclass(frozen=True)
class Answer:
    """What a route may answer."""

    status: str
    text: str
    fields: list[Field] = field(default_factory=list)


@dataclass(frozen=True)
class Operation:
    """A route."""

    anchor: str
    method: str
    path: str
    summary: str
    text: str
    parameters: list[Field]
    body: list[Field]
    answers: list[Answer]


def operations(spec: Mapping[str, Any]) -> dict[str, list[Operation]]:
    """All routes by tag, in the order of the specification."""
    found: dict[str, list[Operation]] = {}
    for path, methods in spec.get("paths", {}).items():
        shared = methods.get("parameters", [])
        for method in METHODS:
            if method in methods:
                operation = methods[method]
                tag = (operation.get("tags") or ["Other"])[0]
                found.setdefault(tag, []).append(_operation(spec, path, method, operation, shared))
    return found


def _operation(
    spec: Mapping[str, Any], path: str, method: str, operation: Mapping[str, Any], shared: list[dict[str, Any]]
) -> Operation:
    parameters = [_parameter(spec, _resolved(spec, one)) for one in [*shared, *operation.get("parameters", [])]]
    answers = [
        # Errors all have one shape, which the page says once.
        Answer(status, one.get("description", ""), _content(spec, one) if status.startswith("2") else [])
        for status, one in sorted(operation.get("responses", {}).items())
    ]
    return Operation(
        anchor=f"{method}-{path.strip('/').replace('/', '-').replace('{', '').replace('}', '')}",
        method=method.upper(),
        path=path,
        summary=operation.get("summary", ""),
        text=operation.get("description", ""),
        parameters=parameters,
        body=_content(spec, operation.get("requestBody", {})),
        answers=answers,
    )


def _parameter(spec: Mapping[str, Any], one: Mapping[str, Any]) -> Field:
    schema = _resolved(spec, one.get("schema", {}))
    text = one.get("description") or schema.get("description", "")
    return Field(one["name"], _kind(spec, schema), bool(one.get("required")), text, one["in"])


def _content(spec: Mapping[str, Any], thing: Mapping[str, Any]) -> list[Field]:
    for media, one in thing.get("content", {}).items():
        if media == "application/json":
            return list(_fields(spec, one.get("schema", {}), "", DEEPEST))
        return [Field("", media, required=True)]
    return []


def _fields(spec: Mapping[str, Any], schema: Mapping[str, Any], above: str, deep: int) -> Iterator[Field]:
    schema = _resolved(spec, schema)
    required = set(schema.get("required", []))
    for name, one in schema.get("properties", {}).items():
        inner = _resolved(spec, one)
        full = f"{above}{name}"
        yield Field(full, _kind(spec, one), name in required, one.get("description") or inner.get("description", ""))
        part, mark = _part(spec, one)
        if deep > 1 and part is not None:
            yield from _fields(spec, part, f"{full}{mark}.", deep - 1)


def _part(spec: Mapping[str, Any], schema: Mapping[str, Any]) -> tuple[Mapping[str, Any] | None, str]:
    """What fields there are inside, and how that is written; None where there are none."""
    for one in _choices(schema):
        found = _resolved(spec, one)
        if found.get("type") == "array":
            inner, mark = _part(spec, found.get("items", {}))
            return inner, f"[]{mark}"
        if "properties" in found:
            return found, ""
    return None, ""


def _kind(spec: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    kinds = list(dict.fromkeys(_kind_of(spec, _resolved(spec, one)) for one in _choices(schema)))
    return " or ".join(kinds)


def _kind_of(spec: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return ", ".join(str(value) for value in schema["enum"])
    if "const" in schema:
        return str(schema["const"])
    if schema.get("type") == "array":
        return f"list of {_kind(spec, schema.get('items', {}))}"
    kind = str(schema.get("type", "anything"))
    bounds = [f"{word} {schema[key]}" for key, word in _BOUNDS.items() if key in schema]
    return f"{kind} {', '.join(bounds)}" if bounds else kind


_BOUNDS = {
    "minimum": "from",
    "exclusiveMinimum": "above",
    "maximum": "to",
    "exclusiveMaximum": "below",
    "maxLength": "up to characters:",
}


def _choices(schema: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return list(schema.get("anyOf") or schema.get("oneOf") or [schema])


def _resolved(spec: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a reference stands for."""
    found: Any = schema
    while "$ref" in found:
        name = found["$ref"]
        found = spec
        for part in name.removeprefix("#/").split("/"):
            found = found[part]
    return dict(found)
