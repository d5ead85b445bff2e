"""One shape for every error answer: `{"error": {"status", "code", "message", "fields"}}`."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import Any

from apiflask import APIFlask, HTTPError
from flask import Response, jsonify, render_template, request
from pydantic import BaseModel
from sqlalchemy.exc import OperationalError

from vedette_hub.identity.passwords import BusyError
from vedette_hub.request_id import request_id

logger = logging.getLogger(__name__)

RETRY_AFTER_SECONDS = 2

_PHRASES = {status.phrase for status in HTTPStatus} | {"Request Entity Too Large"}
_MESSAGES = {
    400: "The request cannot be read: is its body JSON, and complete?",
    401: "Send a valid token as `Authorization: Bearer …`; `vedette-hub token create` makes one.",
    403: "This is not for you.",
    404: "There is nothing at this address; /openapi.json lists what there is.",
    405: "This address does not take that method; the header Allow says which it takes.",
    413: "The body is larger than this address takes; docs/api.md says how much that is.",
}

_PAGE_MESSAGES = _MESSAGES | {
    401: "You are not signed in, or your session has ended.",
    404: "There is nothing at this address.",
    413: "That is too much for one form.",
}


class FieldProblem(BaseModel):
    """What is wrong with one field of a request."""

    location: str
    """`json` or `query`."""
    field: str
    problems: list[str]


class ErrorBody(BaseModel):
    """What went wrong."""

    status: int
    code: str
    message: str
    fields: list[FieldProblem] = []


class ErrorAnswer(BaseModel):
    """Every answer with a status of 400 and more."""

    error: ErrorBody


def wants_page() -> bool:
    """Whether the answer goes to a person in a browser, not to a program."""
    return not request.path.startswith(("/api/", "/metrics", "/health", "/ready", "/openapi", "/ws"))


def register(app: APIFlask) -> None:
    """Answer every failure of `app` in one shape; a stack trace goes to the log only."""

    @app.error_processor
    def _http_error(error: HTTPError) -> Any:
        headers = {str(name): str(value) for name, value in dict(error.headers or {}).items()}
        known = _PAGE_MESSAGES if wants_page() else _MESSAGES
        message = known.get(error.status_code) if error.message in _PHRASES else None
        return answer(error.status_code, message or error.message or "", _fields(error.detail), headers)

    @app.errorhandler(BusyError)
    def _busy(error: BusyError) -> Any:
        return answer(503, str(error), [], {"Retry-After": str(RETRY_AFTER_SECONDS)})

    @app.errorhandler(OperationalError)
    def _database_error(error: OperationalError) -> Any:
        logger.error("%s %s: the database does not answer: %s", request.method, request.path, error.orig)
        message = "The database does not answer now; nothing was changed. Try again."
        return answer(503, message, [], {"Retry-After": str(RETRY_AFTER_SECONDS)})

    @app.errorhandler(Exception)
    def _unexpected_error(error: Exception) -> Any:
        logger.exception("%s %s: unexpected error", request.method, request.path, exc_info=error)
        message = f"Something went wrong inside the hub; its log says what, at request {request_id()}."
        return answer(500, message, [], {})

    schema = ErrorAnswer.model_json_schema()
    definitions = schema.pop("$defs")
    app.config["HTTP_ERROR_SCHEMA"] = app.config["VALIDATION_ERROR_SCHEMA"] = _inlined(schema, definitions)


def _inlined(schema: Any, definitions: dict[str, Any]) -> Any:
    """A JSON schema with its references replaced: APIFlask registers a schema given as a dict as it is."""
    if isinstance(schema, list):
        return [_inlined(item, definitions) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _inlined(definitions[schema["$ref"].rsplit("/", 1)[-1]], definitions)
    return {key: _inlined(value, definitions) for key, value in schema.items()}


def answer(status: int, message: str, fields: list[dict[str, Any]], headers: dict[str, str]) -> Any:
    """An error in the one shape, or as a page for a person."""
    status = int(status)
    if wants_page():
        page = render_template("error.html", status=status, message=message)
        return Response(page, status, headers, mimetype="text/html")
    phrase = HTTPStatus(status).phrase if status in set(HTTPStatus) else "Error"
    code = phrase.lower().replace(" ", "_").replace("-", "_")
    body = {"error": {"status": status, "code": code, "message": message, "fields": fields}}
    made = jsonify(body)
    made.status_code = status
    made.headers.update(headers)
    return made


def _fields(detail: Any) -> list[dict[str, Any]]:
    if not isinstance(detail, dict):
        return []
    return [
        {
            "location": location,
            "field": "" if field == "_schema" else field,
            "problems": [_plain(problem) for problem in problems],
        }
        for location, fields in detail.items()
        if isinstance(fields, dict)
        for field, problems in fields.items()
    ]


def _plain(problem: str) -> str:
    if problem == "Extra inputs are not permitted":
        return "unknown field"
    if problem.startswith("Input should be a valid dictionary"):
        return "must be a JSON object"
    return problem.removeprefix("Value error, ")
