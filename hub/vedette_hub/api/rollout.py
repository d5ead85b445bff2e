"""Orders: `/api/v1/models/<profile>/<version>/push`, `/rollback`, `/unload`, and the group of a gateway."""

from __future__ import annotations

from collections.abc import Iterator
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
from vedette_hub.fleet.orders import OrderError, UnknownModelError, UnknownTargetError
from vedette_hub.store.database import writing

blueprint = APIBlueprint("rollout", __name__, url_prefix="/api/v1", tag="Models")


@blueprint.post("/models/<name:profile>/<int(min=1, max=2147483647):version>/push")
@requires("approver", "push")
@idempotent
@blueprint.input(TargetsIn)
@blueprint.output(OrderedOut)
@blueprint.doc(responses=[400, 404, 409, 413, 422, 503])
def push(profile: str, version: int, json_data: TargetsIn) -> dict[str, Any]:
    """Order that gateways run this version; a signed manifest for each of them is published at once."""
    here = context()
    with _answered():
        key, targets = state.signing_key(here.state_dir), json_data.chosen()
        with writing(here.engine) as connection:
            ordered = orders.push(here.engine, key, profile, version, targets, who(), here.now())
            note(connection, "model.push", f"{profile} {version}", detail=order_words(targets, ordered))
    return ordered_answer(ordered)


@blueprint.post("/models/<name:profile>/rollback")
@requires("approver", "push")
@idempotent
@blueprint.input(TargetsIn)
@blueprint.output(OrderedOut)
@blueprint.doc(responses=[400, 404, 409, 413, 422, 503])
def roll_back(profile: str, json_data: TargetsIn) -> dict[str, Any]:
    """Order that gateways run what was ordered before."""
    here = context()
    with _answered():
        key, targets = state.signing_key(here.state_dir), json_data.chosen()
        with writing(here.engine) as connection:
            ordered = orders.roll_back(here.engine, key, profile, targets, who(), here.now())
            note(connection, "model.rollback", profile, detail=order_words(targets, ordered))
    return ordered_answer(ordered)


@blueprint.post("/models/<name:profile>/unload")
@requires("approver", "push")
@idempotent
@blueprint.input(TargetsIn)
@blueprint.output(OrderedOut)
@blueprint.doc(responses=[400, 404, 409, 413, 422, 503])
def unload(profile: str, json_data: TargetsIn) -> dict[str, Any]:
    """Order that gateways run no model of this profile; a roll back brings it back."""
    here = context()
    with _answered():
        key, targets = state.signing_key(here.state_dir), json_data.chosen()
        with writing(here.engine) as connection:
            ordered = orders.unload(here.engine, key, profile, targets, who(), here.now())
            note(connection, "model.unload", profile, detail=order_words(targets, ordered))
    return ordered_answer(ordered)


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
