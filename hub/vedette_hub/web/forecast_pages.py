"""The console's page about what is expected of a device."""

from __future__ import annotations

from typing import Any

from apiflask import APIBlueprint
from flask import render_template, request, url_for

from vedette_hub.api.access import requires
from vedette_hub.api.context import context
from vedette_hub.learning import forecasting
from vedette_hub.learning.forecasting import NoForecastError, UnknownDeviceError
from vedette_hub.store.database import reading
from vedette_hub.web import forecast_chart

HORIZONS = {"6 hours": 6, "1 day": 24, "3 days": 72, "7 days": 168, "14 days": 336}
_USUAL = 24

blueprint = APIBlueprint("forecast_console", __name__, url_prefix="/devices", enable_openapi=False)


@blueprint.get("/<name:gateway>/<name:device>/forecast")
@requires("viewer", page=True)
def page(gateway: str, device: str) -> Any:
    """Charts of a device's channels: readings, what is expected of the time ahead, and the band around it."""
    asked = request.args.get("hours", "")
    hours = int(asked) if asked.isascii() and asked.isdigit() and int(asked) in HORIZONS.values() else _USUAL
    found, crossings, problem = None, [], ""
    try:
        with reading(context().engine) as connection:
            known = forecasting.find(connection, device, gateway, request.args.get("profile", ""))
            limits = forecasting.profile_limits(connection, known)
        found = forecasting.outlook(known, 3_600.0 * hours)
        crossings = forecasting.crossings(found, limits)
    except (UnknownDeviceError, NoForecastError) as error:
        problem = f"There is no forecast yet: {error}."
    return render_template(
        "forecast.html",
        heading=f"{device}: what is expected",
        gateway=gateway,
        device=device,
        hours=hours,
        horizons=HORIZONS,
        missing=problem,
        trail=[("Devices", "/devices"), (device, url_for("devices_console.show", gateway=gateway, device=device))],
        found=found,
        crossings=crossings,
        charts=forecast_chart.charts(found, 3_600.0 * hours) if found is not None else [],
        box=forecast_chart,
    )
