"""Before every request: who is it, may they, and did a page of ours send it."""

from __future__ import annotations

import re
from typing import Any

from apiflask import HTTPError
from flask import Flask, current_app, g, redirect, request, url_for
from flask_wtf.csrf import CSRFError, CSRFProtect  # type: ignore[import-untyped]  # it has no types

from vedette_hub.api.access import access_of
from vedette_hub.api.auditing import note_alone
from vedette_hub.api.caller import Caller, authenticate, problem, unauthorized
from vedette_hub.api.context import context

csrf = CSRFProtect()

_PORT = re.compile(r":\d+$")
_SAFE = {"GET", "HEAD", "OPTIONS"}


def configure(app: Flask) -> None:
    """Set up what `check_request` needs."""
    app.config.update(
        # Asked for by `check_request`, where a browser's cookie speaks.
        WTF_CSRF_CHECK_DEFAULT=False,
        # As long as the session.
        WTF_CSRF_TIME_LIMIT=None,
        # It wants a Referer, which some people's browsers never send; `own_origin` looks at what all of them send.
        WTF_CSRF_SSL_STRICT=False,
    )
    csrf.init_app(app)


def check_request() -> Any:
    """Refuse a request, or let it pass with its caller known; an answer, where it is led elsewhere.

    Raises:
        HTTPError: 401, 403; 400: no CSRF token of this session.
    """
    if request.routing_exception is not None or request.endpoint is None:
        return None  # there is no such route, or not with this method, which the router says
    if request.method == "OPTIONS":
        return None  # Flask answers it by itself: which methods there are
    access = access_of(current_app, request.endpoint)
    anybody = access.role is None or (access.unless is not None and access.unless(context().config))
    found = authenticate() if access.greets or not anybody else None
    g.caller = found
    if found is None and not anybody:
        if access.page and request.method in _SAFE:
            return redirect(url_for("console.sign_in"))
        raise unauthorized()
    if request.method not in _SAFE and (found is None or found.kind == "user"):
        _refuse_other_sites()
    if anybody or found is None:
        return None
    if access.page and found.password_due and not access.password_due:
        return redirect(url_for("account.page"))
    if message := problem(access, found):
        _note_refusal(found, message)
        raise HTTPError(403, message)
    return None


def own_origin() -> bool:
    """Whether a browser sent this request from a page of ours; a program, which says nothing of it, passes."""
    origin = request.headers.get("Origin")
    if origin is None:
        return request.headers.get("Sec-Fetch-Site", "same-origin") in {"same-origin", "none"}
    # Where a proxy that we are not told of ends HTTPS, the page is https and we see http; never the other way round.
    ours = [f"https://{request.host}"] if request.is_secure else [f"https://{request.host}", f"http://{request.host}"]
    return _with_port(origin) in {_with_port(one) for one in (*ours, *context().config.web.origins)}


def _refuse_other_sites() -> None:
    if not own_origin():
        raise HTTPError(
            403,
            f"This was sent from a page of {request.headers.get('Origin') or 'another site'}, and this hub is "
            f"{request.host_url.rstrip('/')}. Behind a proxy, set web.proxy_hops, or name the address in web.origins.",
        )
    try:
        csrf.protect()
    except CSRFError as error:
        raise HTTPError(
            400,
            "This form has expired, or no page of this hub sent it: load the page anew and try again. "
            "A program sends the header X-CSRFToken with a session, or a token instead of one.",
        ) from error


def _note_refusal(found: Caller, message: str) -> None:
    if request.method not in _SAFE:
        detail = f"{request.method}: {message}"
        note_alone("request.refuse", request.path, outcome="refused", detail=detail, by=str(found))


def _with_port(origin: str) -> str:
    """An origin with its port written out; compared only, so that nonsense may stay nonsense."""
    scheme, _, host = origin.lower().partition("://")
    return f"{scheme}://{host}" if _PORT.search(host) else f"{scheme}://{host}:{443 if scheme == 'https' else 80}"
