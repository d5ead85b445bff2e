"""How much one address, one token and one session may ask: counted before anything else is done for a request."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable
from typing import Any

from flask import Flask, Response, request, session
from flask_limiter import ApplicationLimit, Limiter, RateLimitExceeded

from vedette_hub.api import problems
from vedette_hub.api.caller import maybe_caller
from vedette_hub.api.session import SECRET
from vedette_hub.config import WebSection
from vedette_hub.identity.attempts import network
from vedette_hub.identity.bounded_memory import BoundedMemory

MINUTE = 60
KNOWN_SECONDS = 3_600
STORAGE = f"{BoundedMemory.STORAGE_SCHEME[0]}://"


def configure(app: Flask, web: WebSection) -> None:
    """Limit an application's requests; what is too much is answered with 429 and `Retry-After`."""
    known = BoundedMemory()

    def nobody() -> bool:
        return not _credential()

    def is_known() -> bool:
        """Whether what this request shows was worth something lately: others at its address do not lock it out."""
        shown = _credential()
        return bool(shown) and known.get(shown) > 0

    @app.after_request
    def _remember(response: Response) -> Response:
        if maybe_caller() is not None and not is_known() and (shown := _credential()):
            known.incr(shown, KNOWN_SECONDS)
        return response

    asked, refused = f"{web.requests_per_minute} per minute", f"{web.failures_per_minute} per minute"
    limiter = Limiter(
        _address,
        app=app,
        application_limits=[
            ApplicationLimit(asked, key_function=_address),
            ApplicationLimit(asked, key_function=_credential, exempt_when=nobody),
            ApplicationLimit(refused, key_function=_stranger, deduct_when=_is(401), exempt_when=is_known),
            ApplicationLimit(refused, key_function=_overreach, deduct_when=_is(403), exempt_when=nobody),
        ],
        storage_uri=STORAGE,
        strategy="fixed-window",
        headers_enabled=False,
    )

    @app.errorhandler(RateLimitExceeded)
    def _too_much(_: RateLimitExceeded) -> Any:
        reached = limiter.current_limit
        ahead = MINUTE if reached is None else math.ceil(reached.reset_at - time.time())
        seconds = min(max(ahead, 1), MINUTE)
        headers = {"Retry-After": str(seconds)}
        return problems.answer(429, f"Too many requests; there is room again in {seconds} s.", [], headers)


def _address() -> str:
    return f"address {network(request.remote_addr or '')}"


def _stranger() -> str:
    return f"stranger {network(request.remote_addr or '')}"


def _overreach() -> str:
    return f"overreach {_credential()}"


def _credential() -> str:
    """The token or session that a request shows, whether it is worth anything or not; empty without one."""
    secret = request.headers.get("Authorization") or session.get(SECRET)
    return f"credential {hashlib.sha256(secret.encode()).hexdigest()[:32]}" if isinstance(secret, str) else ""


def _is(status: int) -> Callable[[Response], bool]:
    return lambda response: response.status_code == status
