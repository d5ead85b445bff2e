"""Orders: `/api/v1/models/<profile>/<version>/push`, `/rollback`, `/unload`, and the group of a gateway."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from apiflask import APIBlueprint, abort

from vedette_hub import state
from vedette_hub.api.access import requires
from vedette_hub.api.auditing import note
from vedette_hub.api.caller import who
from vedette_hub.api.context import context
from vedette_hub.api.idempotency import idempotent
from vedette_hub.api.rollout_shapes import GroupIn, GroupOut, OrderedOut, TargetsIn, ordered_answer
from vedette_hub.fleet import groups, orders
from vedette_hub.fleet.order_words import order_words
from vedette_hub.fleet.orders import Ordered, OrderError, UnknownModelError, UnknownTargetError
from vedette_hub.store.database import writing

blueprint = APIBlueprint("rollout", __name__, url_prefix="/api/v1", tag="Models")


def _order(view: Callable[..., dict[str, Any]]) -> Any:
    """What all orders take and answer."""
    described = blueprint.doc(responses=[400, 404, 409, 413, 422, 503])(view)
    return requires("approver", "push")(idempotent(blueprint.input(TargetsIn)(blueprint.output(OrderedOut)(described))))


@blueprint.post("/models/<name:profile>/<int(min=1, max=2147483647):version>/push")
@_order
def push(profile: str, version: int, json_data: TargetsIn) -> dict[str, Any]:
    """Order that gateways run this version; a signed manifest for each of them is published at once."""
    return _ordered(orders.push, "model.push", json_data, profile, version)


@blueprint.post("/models/<name:profile>/rollback")
@_order
def roll_back(profile: str, json_data: TargetsIn) -> dict[str, Any]:
    """Order that gateways run what was ordered before."""
    return _ordered(orders.roll_back, "model.rollback", json_data, profile)


@blueprint.post("/models/<name:profile>/unload")
@_order
def unload(profile: str, json_data: TargetsIn) -> dict[str, Any]:
    """Order that gateways run no model of this profile; a roll back brings it back."""
    return _ordered(orders.unload, "model.unload", json_data, profile)


@blueprint.put("/gateways/<name:gateway>/group")
@requires("approver", "push")
@idempotent
@blueprint.input(GroupIn)
@blueprint.output(GroupOut)
@blueprint.doc(responses=[400, 404, 409, 413])
def set_group(gateway: str, json_data: GroupIn) -> dict[str, Any]:
    """Put a gateway into a group, which orders can be given to; what it was ordered stays as it is."""
    engine = context().engine
    try:
        with writing(engine) as connection:
            groups.assign(engine, gateway, json_data.group)
            note(connection, "gateway.group", gateway, detail=f"group {json_data.group!r}")
    except UnknownTargetError as error:
        abort(404, str(error))
    except OrderError as error:
        abort(422, "The request is not as it should be.", detail={"json": {"group": [str(error)]}})
    return {"gateway": gateway, "group": json_data.group}


def _ordered(order: Callable[..., Ordered], action: str, asked: TargetsIn, *what: str | int) -> dict[str, Any]:
    """Give an order, of which `what` says more than for whom it is, and audit it as `action`."""
    here = context()
    with _answered():
        key, targets = state.signing_key(here.state_dir), asked.chosen()
        with writing(here.engine) as connection:
            ordered = order(here.engine, key, *what, targets, who(), here.now())
            note(connection, action, " ".join(map(str, what)), detail=order_words(targets, ordered))
    return ordered_answer(ordered)


@contextmanager
def _answered() -> Iterator[None]:
    """Why an order cannot be given, as a status with a sentence."""
    try:
        yield
    except UnknownModelError as error:
        abort(404, str(error))
    except UnknownTargetError as error:
        abort(422, "The request is not as it should be.", detail={"json": {error.field: [str(error)]}})
    except OrderError as error:
        abort(409, str(error))
    except state.StateError as error:
        abort(503, str(error))
