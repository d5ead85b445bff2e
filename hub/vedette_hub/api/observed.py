"""Around every request: its id, its line in the log, its place in the metrics, and its span."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote

from flask import Flask, Response, g, request
from werkzeug.wsgi import ClosingIterator

from vedette_hub import request_id, tracing
from vedette_hub.api import instruments
from vedette_hub.api.instruments import Instruments
from vedette_hub.api.paths import template

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

logger = logging.getLogger(__name__)

_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
_CHANGES = _METHODS - {"GET", "HEAD", "OPTIONS"}
_KEY = "vedette.request"
LONGEST_PATH = 300

Logged = Literal["none", "changes", "all"]


class _Known:
    """What the application has learnt of a request, for what is outside of it."""

    def __init__(self) -> None:
        self.route = "unmatched"
        self.by = ""
        self.address = ""


def configure(app: Flask, logged: Logged) -> None:
    """Observe every request of an application; called last, so that nothing is outside of it."""
    app.wsgi_app = Observed(app.wsgi_app, instruments.configure(app), logged)  # type: ignore[method-assign]  # the documented way to add middleware
    app.after_request(_tell)


def _tell(response: Response) -> Response:
    known = request.environ.get(_KEY)
    if isinstance(known, _Known):
        if request.url_rule is not None:
            known.route = template(request.url_rule.rule)
        known.by = str(g.get("caller") or "")
        known.address = request.remote_addr or ""
    return response


class Observed:
    """WSGI middleware; a route that never was one, and an answer that breaks off, are seen here too."""

    def __init__(self, application: Callable[..., Iterable[bytes]], counted: Instruments, logged: Logged) -> None:
        self._application = application
        self._counted = counted
        self._logged = logged

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request."""
        seen = _Request(environ, self._counted, self._logged)

        def start(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
            seen.status = int(status.split(" ", 1)[0])
            return start_response(status, [*headers, (request_id.HEADER, seen.id)], *more)

        try:
            with tracing.inside(seen.span):
                answer = self._application(environ, start)
        except StopIteration:  # the connection has become a WebSocket, and this server lets go of it
            seen.end()
            raise
        except BaseException:
            seen.end(failed=True)
            raise
        return ClosingIterator(answer, seen.end)


class _Request:
    """One request, from its arrival to the end of its answer."""

    def __init__(self, environ: WSGIEnvironment, counted: Instruments, logged: Logged) -> None:
        self.id = request_id.begin(environ.get("HTTP_X_REQUEST_ID"))
        self.status = 0
        self._counted, self._logged = counted, logged
        self._began = time.perf_counter()
        self._ended = False
        self._known = environ[_KEY] = _Known()
        method = environ.get("REQUEST_METHOD", "")
        self._method = method if method in _METHODS else "other"
        # As it came, with what does not belong into a line of text written as %0a and the like; without its query.
        self._path = quote(environ.get("PATH_INFO", "").encode("latin-1", "replace"))[:LONGEST_PATH]
        # A socket lasts as long as somebody looks at a page: no request that is slow.
        self._is_socket = environ.get("HTTP_UPGRADE", "").lower() == "websocket"
        headers = {"traceparent": environ.get("HTTP_TRACEPARENT", ""), "tracestate": environ.get("HTTP_TRACESTATE", "")}
        self.span = tracing.begin_request(
            self._method,
            headers,
            {"http.request.method": self._method, "url.path": self._path, "vedette.request_id": self.id},
        )
        if not self._is_socket:
            counted.in_flight.inc()

    def end(self, *, failed: bool = False) -> None:
        """The answer is complete, or its reader has gone."""
        if self._ended:
            return
        self._ended = True
        seconds = time.perf_counter() - self._began
        status = 500 if failed else self.status or 101
        route = self._known.route
        if not self._is_socket:
            self._counted.in_flight.dec()
            self._counted.seconds.labels(self._method, route).observe(seconds)
        self._counted.requests.labels(self._method, route, status).inc()
        with tracing.inside(self.span):
            self._log(status, seconds)
        attributes: dict[str, tracing.Value] = {"http.route": route, "http.response.status_code": status}
        tracing.end_request(self.span, f"{self._method} {route}", attributes, failed=status >= 500)
        request_id.end()

    def _log(self, status: int, seconds: float) -> None:
        # Who sends too much gets no line for each: they are counted.
        of_interest = self._method in _CHANGES or status >= 400
        if self._logged == "none" or (self._logged == "changes" and (not of_interest or status == 429)):
            return
        who = f" by {self._known.by}" if self._known.by else ""
        logger.info(
            "%s %s: %d in %.1f ms%s, from %s",
            self._method,
            self._path,
            status,
            1000 * seconds,
            who,
            self._known.address or "-",
            extra={
                "method": self._method,
                "path": self._path,
                "route": self._known.route,
                "status": status,
                "milliseconds": round(1000 * seconds, 3),
                "by": self._known.by,
                "address": self._known.address,
            },
        )
