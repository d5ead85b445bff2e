"""`/api/v1/gateways`."""

from __future__ import annotations

from typing import Any

from apiflask import APIBlueprint, abort

from vedette_hub.api.access import requires
from vedette_hub.api.answers import gateway_answer
from vedette_hub.api.context import context
from vedette_hub.api.rollout_shapes import standing_answer
from vedette_hub.api.shapes import GatewayOut, GatewayPage, GatewaysOut
from vedette_hub.fleet.standing import Standing, standings
from vedette_hub.store import fleet
from vedette_hub.store.database import reading
from vedette_hub.store.summary import count_true_anomalies

blueprint = APIBlueprint("gateways", __name__, url_prefix="/api/v1/gateways", tag="Gateways")


@blueprint.get("")
@requires("viewer")
@blueprint.input(GatewayPage, location="query")
@blueprint.output(GatewaysOut)
def list_gateways(query_data: GatewayPage) -> dict[str, Any]:
    """Gateways by name."""
    here = context()
    with reading(here.engine) as connection:
        found = fleet.list_gateways(connection, limit=query_data.limit + 1, after=query_data.after)
        total = fleet.count_gateways(connection)
        page = found[: query_data.limit]
        models = standings(connection, page, here.now(), here.config.hub.silent_after)
        true = count_true_anomalies(connection, [gateway.gateway for gateway in page])
    return {
        "gateways": [_answer(gateway, models, true) for gateway in page],
        "total": total,
        "next": page[-1].gateway if len(found) > len(page) else None,
    }


@blueprint.get("/<name:gateway>")
@requires("viewer")
@blueprint.output(GatewayOut)
@blueprint.doc(responses=[404])
def show_gateway(gateway: str) -> dict[str, Any]:
    """One gateway."""
    here = context()
    with reading(here.engine) as connection:
        found = fleet.find_gateway(connection, gateway)
        if found is None:
            abort(404, f"There is no gateway {gateway!r}; GET /api/v1/gateways lists those that have been seen.")
        models = standings(connection, [found], here.now(), here.config.hub.silent_after)
        true = count_true_anomalies(connection, [gateway])
    return _answer(found, models, true)


def _answer(
    gateway: fleet.StoredGateway, models: dict[str, list[Standing]], true: dict[str, dict[str, int]]
) -> dict[str, Any]:
    here = context()
    answer = gateway_answer(gateway, here.now(), here.config.hub.silent_after, true.get(gateway.gateway, {}))
    return {**answer, "models": [standing_answer(standing) for standing in models[gateway.gateway]]}
