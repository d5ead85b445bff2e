"""The Flask application under API and console: error shape, limits, security headers, OpenAPI."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from apiflask import APIFlask, abort
from flask import Request, Response, request
from werkzeug.exceptions import BadRequest
from werkzeug.middleware.proxy_fix import ProxyFix

from vedette_hub.api import access, body_limits, guard, observed, openapi, problems, rate_limits
from vedette_hub.api.body_limits import MAX_BODY_BYTES
from vedette_hub.api.context import Context
from vedette_hub.api.paths import EncodedSlashes, NameConverter
from vedette_hub.version import VERSION

_SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Not "no-referrer": browsers would then send "Origin: null" with our own forms.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


class JsonRequest(Request):
    """A request whose JSON body may be missing (then it is `{}`), and never breaks the reader."""

    def get_json(self, force: bool = False, silent: bool = False, cache: bool = True) -> Any:
        """The body as JSON; a body that is none is a 400 that says so."""
        if not self.get_data(cache=True).strip():
            return {}
        try:
            return super().get_json(force, silent, cache)
        except RecursionError:
            raise BadRequest("nested too deeply") from None


class HubApplication(APIFlask):
    """An application on which every route says who may call it."""

    def add_url_rule(
        self,
        rule: str,
        endpoint: str | None = None,
        view_func: Callable[..., Any] | None = None,
        provide_automatic_options: bool | None = None,
        **options: Any,
    ) -> None:
        """Add a route.

        Raises:
            UndeclaredRouteError: it does not say who may call it.
        """
        access.check_declared(endpoint, view_func)
        super().add_url_rule(rule, endpoint, view_func, provide_automatic_options, **options)


def new_application(context: Context) -> APIFlask:
    """An application that answers every failure in one shape; the composer registers blueprints on it."""
    app = HubApplication(__name__, title="Vedette hub", version=VERSION, docs_path=None)
    app.request_class = JsonRequest
    app.url_map.converters["name"] = NameConverter
    app.wsgi_app = EncodedSlashes(app.wsgi_app)  # type: ignore[method-assign]  # the documented way to add middleware
    app.config.update(
        OPENAPI_VERSION="3.1.0",
        MAX_CONTENT_LENGTH=MAX_BODY_BYTES,
        MAX_FORM_MEMORY_SIZE=MAX_BODY_BYTES,
        AUTO_SERVERS=False,
        JSON_SORT_KEYS=False,
        VALIDATION_ERROR_DESCRIPTION="The request is not as it should be.",
        AUTH_ERROR_DESCRIPTION="No valid token",
        NOT_FOUND_DESCRIPTION="There is no such thing",
        DESCRIPTION="Gateways and alerts of a Vedette fleet. Send a token as `Authorization: Bearer …`.",
    )
    context.attach(app.extensions)
    problems.register(app)
    if hops := context.config.web.proxy_hops:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=hops, x_proto=hops, x_host=hops)  # type: ignore[method-assign]
    guard.configure(app)
    rate_limits.configure(app, context.config.web)
    app.spec_processor(lambda spec: openapi.describe(app, spec) if isinstance(spec, dict) else spec)
    app.before_request(body_limits.set_limit)
    app.before_request(guard.check_request)
    app.before_request(_refuse_repeated_parameters)
    app.after_request(_add_security_headers)
    observed.configure(app, context.config.web.log_requests)
    return app


def _refuse_repeated_parameters() -> None:
    if not request.path.startswith("/api/"):
        return
    repeated = [name for name, values in request.args.lists() if len(values) > 1]
    if repeated:
        fields = {name: ["given more than once"] for name in repeated}
        abort(422, "The request is not as it should be.", detail={"query": fields})


def _add_security_headers(response: Response) -> Response:
    for name, value in _SECURITY_HEADERS.items():
        response.headers.setdefault(name, value)
    if not request.path.startswith("/static/"):
        response.headers.setdefault("Cache-Control", "no-store")
    return response
