"""`/api/v1/routes`: which alerts go to which channels; `/api/v1/deliveries`: what was told, and how that went."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from apiflask import APIBlueprint, abort

from vedette_hub.api.access import requires
from vedette_hub.api.auditing import note
from vedette_hub.api.caller import who
from vedette_hub.api.context import context
from vedette_hub.api.idempotency import idempotent
from vedette_hub.api.notify_shapes import (
    DeliveriesOut,
    DeliveryOut,
    DeliveryQuery,
    RouteChangeIn,
    RouteIn,
    RouteOut,
    RoutesOut,
    delivery_answer,
    route_answer,
    route_fields,
)
from vedette_hub.notify.routing import Route
from vedette_hub.store import deliveries
from vedette_hub.store import routes as store
from vedette_hub.store.channels import UnknownChannelError
from vedette_hub.store.database import reading, writing
from vedette_hub.store.deliveries import DeliveryStateError
from vedette_hub.store.routes import RouteError, UnknownRouteError

blueprint = APIBlueprint("routes", __name__, url_prefix="/api/v1", tag="Notifications")


@contextmanager
def refusals_answered() -> Iterator[None]:
    """Why it cannot be done, as a status with a sentence."""
    try:
        yield
    except UnknownChannelError as error:
        abort(422, "The request is not as it should be.", detail={"json": {"channels": [str(error)]}})
    except UnknownRouteError as error:
        abort(404, f"{_sentence(error)}; GET /api/v1/routes lists those there are.")
    except (RouteError, DeliveryStateError) as error:
        abort(409, f"{_sentence(error)}.")


@blueprint.get("/routes")
@requires("admin")
@blueprint.output(RoutesOut)
def list_routes() -> dict[str, Any]:
    """Routes by name."""
    with reading(context().engine) as connection:
        return {"routes": [route_answer(route) for route in store.list_routes(connection)]}


@blueprint.post("/routes")
@requires("admin")
@idempotent
@blueprint.input(RouteIn)
@blueprint.output(RouteOut, status_code=201)
@blueprint.doc(responses=[400, 409, 413])
def add_route(json_data: RouteIn) -> dict[str, Any]:
    """Add a route."""
    here = context()
    with refusals_answered(), writing(here.engine) as connection:
        made = store.add_route(connection, Route(**route_fields(json_data), created=here.now(), created_by=who()))
        note(connection, "route.add", made.name, detail=f"to {', '.join(made.channels)}")
    return route_answer(made)


@blueprint.get("/routes/<name:route>")
@requires("admin")
@blueprint.output(RouteOut)
@blueprint.doc(responses=[404])
def show_route(route: str) -> dict[str, Any]:
    """One route."""
    with refusals_answered(), reading(context().engine) as connection:
        return route_answer(store.get_route(connection, route))


@blueprint.patch("/routes/<name:route>")
@requires("admin")
@idempotent
@blueprint.input(RouteChangeIn)
@blueprint.output(RouteOut)
@blueprint.doc(responses=[400, 404, 409, 413])
def change_route(route: str, json_data: RouteChangeIn) -> dict[str, Any]:
    """Change a route; `matchers`, `hours` and `bounds` are replaced as a whole."""
    with refusals_answered(), writing(context().engine) as connection:
        found = store.get_route(connection, route)
        changed = store.change_route(connection, replace(found, **route_fields(json_data)))
        note(connection, "route.change", changed.name, detail=", ".join(sorted(json_data.model_fields_set)))
    return route_answer(changed)


@blueprint.delete("/routes/<name:route>")
@requires("admin")
@idempotent
@blueprint.output({}, status_code=204)
@blueprint.doc(responses=[404])
def remove_route(route: str) -> str:
    """Remove a route; what was told by it stays in the history."""
    with refusals_answered(), writing(context().engine) as connection:
        removed = store.remove_route(connection, route)
        note(connection, "route.remove", removed.name)
    return ""


@blueprint.get("/deliveries")
@requires("operator")
@blueprint.input(DeliveryQuery, location="query")
@blueprint.output(DeliveriesOut)
def list_deliveries(query_data: DeliveryQuery) -> dict[str, Any]:
    """What channels were told, and how it went, the newest first."""
    with reading(context().engine) as connection:
        found = deliveries.list_deliveries(
            connection, query_data.chosen(), limit=query_data.limit + 1, before=query_data.before
        )
    page = found[: query_data.limit]
    return {
        "deliveries": [delivery_answer(one) for one in page],
        "next": page[-1].number if len(found) > len(page) else None,
    }


@blueprint.get("/deliveries/<int(min=1, max=9007199254740992):number>")
@requires("operator")
@blueprint.output(DeliveryOut)
@blueprint.doc(responses=[404])
def show_delivery(number: int) -> dict[str, Any]:
    """One delivery."""
    with reading(context().engine) as connection:
        found = deliveries.find_delivery(connection, number)
    if found is None:
        abort(404, f"There is no delivery {number}; GET /api/v1/deliveries lists those there are.")
    return delivery_answer(found)


@blueprint.post("/deliveries/<int(min=1, max=9007199254740992):number>/retry")
@requires("admin")
@idempotent
@blueprint.output(DeliveryOut)
@blueprint.doc(responses=[404, 409])
def retry_delivery(number: int) -> dict[str, Any]:
    """Put a message that was given up into the queue again."""
    here = context()
    with refusals_answered(), writing(here.engine) as connection:
        found = deliveries.try_again(connection, number, here.now())
        if found is None:
            abort(404, f"There is no delivery {number}; GET /api/v1/deliveries lists those there are.")
        note(connection, "delivery.retry", str(number), detail=found.channel)
    return delivery_answer(found)


def _sentence(error: Exception) -> str:
    return f"{str(error)[:1].upper()}{str(error)[1:]}"
