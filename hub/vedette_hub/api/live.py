"""`/ws`, and `/api/v1/devices/<gateway>/<device>/live`: what is told without being asked again."""

from __future__ import annotations

import queue
from functools import partial
from typing import Annotated, Any, cast

from apiflask import APIBlueprint, HTTPError, abort
from flask import Response, request, session
from pydantic import BaseModel, ConfigDict, Field
from websockets.datastructures import Headers
from websockets.http11 import Request
from websockets.server import ServerProtocol
from werkzeug.datastructures import Authorization

from vedette_hub.api import problems
from vedette_hub.api.access import open_to_all, requires
from vedette_hub.api.caller import maybe_caller, problem
from vedette_hub.api.context import context
from vedette_hub.api.guard import own_origin
from vedette_hub.api.session import SECRET
from vedette_hub.live.client import Credential
from vedette_hub.live.exchange import ACCESS, exchange
from vedette_hub.store import fleet
from vedette_hub.store.database import reading
from vedette_hub.web.handover_worker import SOCKET, HandOver

blueprint = APIBlueprint("live", __name__, tag="Live")

RETRY_AFTER_SECONDS = 5
ANSWER_SECONDS = 5.0


class LookIn(BaseModel):
    """For how long somebody wants to look at a device."""

    model_config = ConfigDict(extra="forbid", strict=True)

    seconds: Annotated[float, Field(ge=1, le=300)] = 60.0


class LookOut(BaseModel):
    """What the gateway was asked for."""

    gateway: str
    device: str
    seconds: float
    state: str


@blueprint.get("/ws")  # so that a request that is no upgrade is told what is wrong
@blueprint.get("/ws", websocket=True)
@open_to_all("a socket is signed in by its session, its token, or its first message", greets=True)
@blueprint.doc(hide=True)
def sockets() -> Response:
    """Begin a WebSocket; see docs/live.md for what is said there."""
    if not own_origin():
        raise HTTPError(403, f"This was sent from a page of {request.headers.get('Origin')}, which is not of this hub.")
    handshake = _handshake()
    refused = ServerProtocol().accept(handshake)
    if refused.status_code != 101:
        message = "This address speaks WebSocket, version 13."
        return cast(Response, problems.answer(refused.status_code, message, [], {"Upgrade": "websocket"}))
    credential = _credential()
    if credential is not None and (why := problem(ACCESS, credential.caller)):
        raise HTTPError(403, why)
    here = exchange()
    if SOCKET not in request.environ:
        raise HTTPError(501, "This server cannot hand over a connection; `vedette-hub serve` does.")
    if not here.has_room(credential.caller if credential else None):
        raise HTTPError(503, "Too many sockets are open; try again.", headers={"Retry-After": str(RETRY_AFTER_SECONDS)})
    return HandOver(partial(here.adopt, handshake=handshake, credential=credential))


@blueprint.post("/api/v1/devices/<name:gateway>/<name:device>/live")
@requires("viewer")
@blueprint.input(LookIn)
@blueprint.output(LookOut, status_code=202)
@blueprint.doc(responses=[400, 404, 409, 413, 503])
def look(gateway: str, device: str, json_data: LookIn) -> dict[str, Any]:
    """Ask a gateway for the readings of a device; they come to /ws, and end by themselves."""
    with reading(context().engine) as connection:
        if fleet.find_gateway(connection, gateway) is None:
            abort(404, f"There is no gateway {gateway!r}; GET /api/v1/gateways lists those that have been seen.")
    answer: queue.SimpleQueue[str] = queue.SimpleQueue()
    exchange().look((gateway, device), json_data.seconds, answer.put)
    try:
        state = answer.get(timeout=ANSWER_SECONDS)
    except queue.Empty:
        abort(503, "The hub is too busy now; try again.")
    if state == "refused":
        abort(409, "Too many devices are looked at; try again when others have finished, or raise live.devices.")
    return {"gateway": gateway, "device": device, "seconds": json_data.seconds, "state": state}


def _handshake() -> Request:
    """The request for the upgrade, as the protocol wants it."""
    headers = Headers()
    for name, value in request.headers.items():
        if name.lower().startswith(("sec-websocket-", "upgrade", "connection")):
            headers[name] = value
    headers["Host"] = request.host
    return Request(request.path, headers)


def _credential() -> Credential | None:
    found = maybe_caller()
    if found is None:
        return None
    if found.kind == "token":
        sent = Authorization.from_header(request.headers.get("Authorization"))
        return Credential(found, (sent.token if sent is not None else None) or "")
    return Credential(found, str(session.get(SECRET, "")))
