"""The console's pages about devices: all of them, and one with the charts of its channels."""

from __future__ import annotations

import math
from typing import Any

from apiflask import APIBlueprint
from flask import abort, jsonify, render_template, request

from vedette_hub.api.access import requires
from vedette_hub.api.answers import alert_answer
from vedette_hub.api.context import context
from vedette_hub.learning import registry
from vedette_hub.store import fleet
from vedette_hub.store.alert_search import AlertFilter, list_alerts
from vedette_hub.store.database import reading
from vedette_hub.store.devices import extent, find_device, list_devices, sampled_profiles
from vedette_hub.web import shell
from vedette_hub.web.device_history import device_history
from vedette_hub.web.device_rows import device_rows

PAGE = 100
ALERTS_SHOWN = 10
SPANS = {"1 h": 3_600, "6 h": 21_600, "1 day": 86_400, "7 days": 604_800, "28 days": 2_419_200}
_USUAL = 86_400.0
_LATEST = 253_402_300_799.0
"""The end of the year 9999."""

blueprint = APIBlueprint("devices_console", __name__, enable_openapi=False)


@blueprint.get("/devices")
@requires("viewer", page=True)
def page() -> Any:
    """All devices."""
    return render_template("devices_page.html", live_page=True, **_list())


@blueprint.get("/part/devices")
@requires("viewer")
def overview() -> Any:
    """The part of the list that changes."""
    return shell.part("devices.html", **_list())


@blueprint.get("/devices/<name:gateway>/<name:device>")
@requires("viewer", page=True)
def show(gateway: str, device: str) -> Any:
    """One device."""
    return render_template("device_page.html", live_page=True, **_one(gateway, device))


@blueprint.get("/part/devices/<name:gateway>/<name:device>")
@requires("viewer")
def show_part(gateway: str, device: str) -> Any:
    """The part of a device's page that changes; the charts are not in it."""
    return shell.part("device.html", **_one(gateway, device))


@blueprint.get("/devices/<name:gateway>/<name:device>/history.json")
@requires("viewer")
def history(gateway: str, device: str) -> Any:
    """Readings, band, scores and alerts from `start` to `end`, seconds since 1970, for the charts."""
    start, end = _time("start"), _time("end")
    if not start < end:
        abort(422, "start must lie before end.")
    with reading(context().engine) as connection:
        found = find_device(connection, (gateway, device))
        if found is None:
            abort(404)
        profile = request.args.get("profile", "") or found.profile
        known = fleet.find_gateway(connection, gateway)
        answer = device_history(connection, known, (gateway, device), profile, (start, end))
    return jsonify(answer)


def _time(name: str) -> float:
    try:
        value = float(request.args.get(name, ""))
    except ValueError:
        value = math.nan
    if not 0.0 <= value <= _LATEST:
        abort(422, f"{name} must be a number of seconds since 1970.")
    return value


def _list() -> dict[str, Any]:
    gateway = request.args.get("gateway", "").strip() or None
    after = (request.args["after_gateway"], request.args.get("after", "")) if "after_gateway" in request.args else None
    with reading(context().engine) as connection:
        devices = list_devices(connection, limit=PAGE + 1, after=after, gateway=gateway)
        names = {device.gateway for device in devices}
        known = {name: found for name in names if (found := fleet.find_gateway(connection, name)) is not None}
        rows = device_rows(connection, devices[:PAGE], known)
        gateways = [found.gateway for found in fleet.list_gateways(connection, limit=500)]
    return {
        "devices": rows,
        "more": len(devices) > PAGE,
        "gateways": gateways,
        "gateway": gateway or "",
        "after": after,
    }


def _one(gateway: str, device: str) -> dict[str, Any]:
    here = context()
    with reading(here.engine) as connection:
        found = find_device(connection, (gateway, device))
        if found is None:
            abort(404)
        profiles = sampled_profiles(connection, (gateway, device)) or [found.profile]
        asked = request.args.get("profile", "")
        profile = asked if asked in profiles else found.profile
        known = fleet.find_gateway(connection, gateway)
        row = device_rows(connection, [found], {gateway: known} if known is not None else {})[0]
        recent = list_alerts(connection, AlertFilter(gateway=(gateway,), device=(device,)), limit=ALERTS_SHOWN)
        span = extent(connection, (gateway, device), profile)
        model = row["model"]
        drift = next(
            (
                version.drift
                for version in registry.list_versions(connection, profile, limit=200)
                if model is not None and version.sha256 == model.sha256
            ),
            None,
        )
    end = min(span[1] if span else here.now(), _LATEST)
    return {
        "device": row,
        "drift": drift,
        "profile": profile,
        "profiles": profiles,
        "online": known is not None and known.online,
        "alerts": [alert_answer(one) for one in recent],
        "spans": SPANS,
        "start": max(0.0, end - _USUAL),
        "end": max(1.0, end),
        "samples": span,
        "trail": [("Devices", "/devices")],
    }
