"""Orders: `/api/v1/models/<profile>/<version>/push`, `/rollback`, `/unload`, and the group of a gateway."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from apiflask import APIBlueprint, abort

from vedette_hub import state
from vedette_hub.api.context import bearer, context, who
from vedette_hub.api.rollout_shapes import GroupIn, GroupOut, OrderedOut, TargetsIn, ordered_answer
from vedette_hub.fleet import groups, orders
from vedette_hub.fleet.orders import Ordered, OrderError, UnknownModelError, UnknownTargetError

blueprint = APIBlueprint("rollout", __name__, url_prefix="/api/v1", tag="Models")


def _order(view: Callable[..., dict[str, Any]]) -> Any:
    """What all orders take and answer."""
    described = blueprint.doc(responses=[400, 404, 409, 413, 422, 503])(view)
    return blueprint.auth_required(bearer)(blueprint.input(TargetsIn)(blueprint.output(OrderedOut)(described)))


@blueprint.post("/models/<name:profile>/<int(min=1, max=2147483647):version>/push")
@_order
def push(profile: str, version: int, json_data: TargetsIn) -> dict[str, Any]:
    """Order that gateways run this version; a signed manifest for each of them is published at once."""
    return _ordered(orders.push, json_data, profile, version)


@blueprint.post("/models/<name:profile>/rollback")
@_order
def roll_back(profile: str, json_data: TargetsIn) -> dict[str, Any]:
    """Order that gateways run what was ordered before."""
    return _ordered(orders.roll_back, json_data, profile)


@blueprint.post("/models/<name:profile>/unload")
@_order
def unload(profile: str, json_data: TargetsIn) -> dict[str, Any]:
    """Order that gateways run no model of this profile; a roll back brings it back."""
    return _ordered(orders.unload, json_data, profile)


@blueprint.put("/gateways/<name:gateway>/group")
@blueprint.auth_required(bearer)
@blueprint.input(GroupIn)
@blueprint.output(GroupOut)
@blueprint.doc(responses=[400, 404, 409, 413])
def set_group(gateway: str, json_data: GroupIn) -> dict[str, Any]:
    """Put a gateway into a group, which orders can be given to; what it was ordered stays as it is."""
    try:
        groups.assign(context().engine, gateway, json_data.group)
    except UnknownTargetError as error:
        abort(404, str(error))
    except OrderError as error:
        abort(422, "The request is not as it should be.", detail={"json": {"group": [str(error)]}})
    return {"gateway": gateway, "group": json_data.group}


def _ordered(order: Callable[..., Ordered], targets: TargetsIn, *what: str | int) -> dict[str, Any]:
    """Give an order, of which `what` says more than for whom it is."""
    here = context()
    with _answered():
        key = state.signing_key(here.state_dir)
        return ordered_answer(order(here.engine, key, *what, targets.chosen(), who(), here.now()))


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
