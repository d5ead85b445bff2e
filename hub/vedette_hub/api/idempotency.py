"""Writes that may be sent twice: with a header `Idempotency-Key`, the second request gets the first one's answer.

    @blueprint.post("/models/train")
    @requires("approver", "train")
    @idempotent
    @blueprint.input(TrainIn)
    def train(json_data: TrainIn) -> …:

The view, its audit entries and the kept answer share one write transaction. So a view under this decorator must not
wait for the network, a job or another process: everybody else's writes would wait with it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from functools import wraps
from typing import Any

from apiflask import HTTPError
from flask import Response, current_app, request

from vedette_hub.api.caller import caller
from vedette_hub.api.context import context
from vedette_hub.store import idempotency
from vedette_hub.store.database import writing
from vedette_hub.store.idempotency import KeptAnswer

HEADER = "Idempotency-Key"
REPLAYED = "Idempotent-Replayed"
LONGEST_KEY = 255
MARK = "vedette_idempotent"

_KEY = re.compile(r"^[\x21-\x7e]{1,255}$")
_KEPT_HEADERS = ("Content-Type", "Location")


def idempotent(view: Callable[..., Any]) -> Callable[..., Any]:
    """Let a write be sent twice: same key and same body, same answer; another body, 422.

    Keys belong to their caller, and are kept for `web.idempotency_hours`, at most `limits.idempotency_keys` of them.
    Only what was done is kept: a request that was refused may be sent again with the same key.
    """

    @wraps(view)
    def once(*arguments: Any, **names: Any) -> Any:
        key = request.headers.get(HEADER)
        if key is None:
            return view(*arguments, **names)
        if not _KEY.match(key):
            problem = f"write 1 to {LONGEST_KEY} visible ASCII characters, without spaces"
            raise HTTPError(422, "The request is not as it should be.", detail={"headers": {HEADER: [problem]}})
        here, owner = context(), _owner()
        now, seconds = here.now(), 3600.0 * here.config.web.idempotency_hours
        with writing(here.engine) as connection:
            before = idempotency.claim(connection, owner, key, _fingerprint(), now, seconds=seconds)
            if before is not None:
                return _again(before)
            answer = current_app.make_response(view(*arguments, **names))
            if answer.status_code >= 400:
                idempotency.release(connection, owner, key)
                return answer
            headers = {name: answer.headers[name] for name in _KEPT_HEADERS if name in answer.headers}
            idempotency.keep(connection, owner, key, answer.status_code, headers, answer.get_data())
            return answer

    setattr(once, MARK, True)
    return once


def _owner() -> str:
    found = caller()
    return f"{found.kind} {found.number}"


def _fingerprint() -> str:
    parts = (request.method, request.full_path, request.content_type or "", request.get_data(cache=True))
    joined = b"\0".join(part if isinstance(part, bytes) else part.encode() for part in parts)
    return hashlib.sha256(joined).hexdigest()


def _again(before: KeptAnswer) -> Response:
    if before.fingerprint != _fingerprint():
        problem = "it came before with another request; use a new key for a new request"
        raise HTTPError(422, "The request is not as it should be.", detail={"headers": {HEADER: [problem]}})
    if before.body is None:
        raise HTTPError(409, f"This was done before, with the answer {before.status}, which was too large to be kept.")
    return Response(before.body, before.status, {**before.headers, REPLAYED: "true"})
