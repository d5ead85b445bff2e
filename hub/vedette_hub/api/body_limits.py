"""How large a request's body may be: 64 KiB, and more where a route takes many numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from flask import current_app, request

View = TypeVar("View", bound=Callable[..., Any])

MAX_BODY_BYTES = 64 * 1024
_MARK = "vedette_body_bytes"


def takes(most: int) -> Callable[[View], View]:
    """Let a route's body have so many bytes."""

    def declare(view: View) -> View:
        setattr(view, _MARK, most)
        return view

    return declare


def set_limit() -> None:
    """Before a request is read: give it the limit of its route."""
    if request.endpoint is not None:
        view = current_app.view_functions[request.endpoint]
        request.max_content_length = getattr(view, _MARK, MAX_BODY_BYTES)
