"""The console's pages about gateways: all of them, and one with its devices, models and outbox."""

from __future__ import annotations

from typing import Any

from apiflask import APIBlueprint
from flask import abort, render_template, request
from sqlalchemy import Connection

from vedette_hub.api.access import requires
from vedette_hub.api.answers import alert_answer, gateway_answer
from vedette_hub.api.context import context
from vedette_hub.fleet.standing import standings
from vedette_hub.learning import registry
from vedette_hub.store import fleet
from vedette_hub.store.alert_search import AlertFilter, list_alerts
from vedette_hub.store.database import reading
from vedette_hub.store.devices import list_devices
from vedette_hub.store.fleet import StoredGateway
from vedette_hub.store.summary import count_active, count_true_anomalies
from vedette_hub.web import shell
from vedette_hub.web.device_rows import device_rows
from vedette_hub.web.models_overview import shown_standing
from vedette_hub.web.overview import hears_nothing, trouble

GATEWAYS_READ = 2_000
PAGE = 100
DEVICES_SHOWN = 200
ALERTS_SHOWN = 10
STATES = {"": "all", "online": "online", "trouble": "not well", "offline": "offline", "silent": "silent",
          "no-data": "no data"}  # fmt: skip

blueprint = APIBlueprint("gateways_console", __name__, enable_openapi=False)


@blueprint.get("/gateways")
@requires("viewer", page=True)
def page() -> Any:
    """All gateways, those that are not well first."""
    return render_template("gateways_page.html", live_page=True, **_list())


@blueprint.get("/part/gateways")
@requires("viewer")
def overview() -> Any:
    """The part of the list that changes."""
    return shell.part("gateways.html", **_list())


@blueprint.get("/gateways/<name:gateway>")
@requires("viewer", page=True)
def show(gateway: str) -> Any:
    """One gateway."""
    return render_template("gateway_page.html", live_page=True, whole_page=True, **_one(gateway))


@blueprint.get("/part/gateways/<name:gateway>")
@requires("viewer")
def show_part(gateway: str) -> Any:
    """The part of a gateway's page that changes."""
    return shell.part("gateway.html", **_one(gateway))


def _list() -> dict[str, Any]:
    here = context()
    now = here.now()
    chosen = request.args.get("state", "")
    number = request.args.get("page", "")
    with reading(here.engine) as connection:
        found = fleet.list_gateways(connection, limit=GATEWAYS_READ)
        answers = _answers(connection, found, now)
        total = fleet.count_gateways(connection)
        standing = standings(connection, found, now, here.config.hub.silent_after)
        drift = _drifts(connection)
    wanted = [gateway for gateway in answers if _is(gateway, chosen)]
    wanted.sort(key=lambda gateway: (-trouble(gateway), gateway["gateway"]))
    at = PAGE * int(number) if number.isascii() and number.isdigit() and len(number) < 6 else 0
    shown = wanted[at : at + PAGE]
    for gateway in shown:
        gateway["models"] = [
            {**shown_standing(item, ""), "drift": drift.get(item.running.sha256) if item.running else None}
            for item in standing[gateway["gateway"]]
        ]
    return {
        "gateways": shown,
        "matching": len(wanted),
        "gateways_total": total,
        "read": len(found),
        "states": STATES,
        "chosen": chosen if chosen in STATES else "",
        "number": at // PAGE,
        "more": len(wanted) > at + PAGE,
        "broker": here.config.broker.url,
    }


def _answers(connection: Connection, found: list[StoredGateway], now: float) -> list[dict[str, Any]]:
    silent_after = context().config.hub.silent_after
    active = count_active(connection)
    true = count_true_anomalies(connection, [gateway.gateway for gateway in found])
    return [
        gateway_answer(gateway, now, silent_after, true.get(gateway.gateway, {}))
        | {"active": active.get(gateway.gateway, 0)}
        for gateway in found
    ]


def _is(gateway: dict[str, Any], chosen: str) -> bool:
    match chosen:
        case "trouble":
            return trouble(gateway) > 0
        case "no-data":
            return hears_nothing(gateway)
        case "online" | "offline" | "silent":
            return bool(gateway["state"] == chosen)
    return True


def _drifts(connection: Connection) -> dict[str, str | None]:
    """Drift of each version from the one before it, by SHA-256."""
    return {model.sha256: model.drift for model in registry.list_versions(connection, limit=1_000)}


def _one(name: str) -> dict[str, Any]:
    here = context()
    now = here.now()
    with reading(here.engine) as connection:
        found = fleet.find_gateway(connection, name)
        if found is None:
            abort(404)
        gateway = _answers(connection, [found], now)[0]
        drift = _drifts(connection)
        standing = standings(connection, [found], now, here.config.hub.silent_after)[name]
        devices = list_devices(connection, limit=DEVICES_SHOWN, gateway=name)
        rows = device_rows(connection, devices, {name: found})
        recent = list_alerts(connection, AlertFilter(gateway=(name,)), limit=ALERTS_SHOWN)
    return {
        "gateway": gateway,
        "status": gateway["status"] or {},
        "no_data": hears_nothing(gateway),
        "standings": [
            {**shown_standing(item, ""), "drift": drift.get(item.running.sha256) if item.running else None}
            for item in standing
        ],
        "devices": rows,
        "devices_shown": DEVICES_SHOWN,
        "alerts": [alert_answer(one) for one in recent],
        "trail": [("Gateways", "/gateways")],
    }
