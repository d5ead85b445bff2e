"""Names in addresses: a gateway or alert may be called anything, a slash included."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote_to_bytes, urlsplit

from werkzeug.routing import BaseConverter

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

# WSGI decodes a path before anything routes it, which turns an encoded slash into a separator. It travels as a
# control character instead, which no name of a gateway or alert contains.
_SLASH = "\x1f"
_ENCODED_SLASH = re.compile(rb"%2[fF]")
_PARAMETER = re.compile(r"<(?:[^:<>]*:)?([^<>]+)>")


def template(rule: str) -> str:
    """A route as specifications write it: `/gateways/{gateway}`."""
    return _PARAMETER.sub(r"{\1}", rule)


class EncodedSlashes:
    """WSGI middleware that keeps `%2F` in a path apart from `/`."""

    def __init__(self, application: WSGIApplication) -> None:
        self._application = application

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request."""
        raw = str(environ.get("RAW_URI") or environ.get("REQUEST_URI") or "")
        if "%2f" in raw.lower():
            path = urlsplit(raw).path.encode("latin-1", "replace")
            environ["PATH_INFO"] = unquote_to_bytes(_ENCODED_SLASH.sub(b"%1F", path)).decode("latin-1")
        return self._application(environ, start_response)


class NameConverter(BaseConverter):
    """`<name:gateway>` in a route: one path segment for any name."""

    regex = "[^/]+"

    def to_python(self, value: str) -> str:
        """The name behind a segment."""
        return value.replace(_SLASH, "/")

    def to_url(self, value: str) -> str:
        """The segment for a name."""
        return quote(value, safe="")
