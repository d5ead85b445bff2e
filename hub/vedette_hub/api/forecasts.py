"""`/api/v1/devices/…/forecast`: what is expected of a device, and when it crosses a limit."""

from __future__ import annotations

import math
from typing import Any

from apiflask import APIBlueprint, abort

from vedette_hub.api.access import requires
from vedette_hub.api.context import context
from vedette_hub.api.forecast_shapes import ForecastOut, ForecastQuery
from vedette_hub.learning import forecasting
from vedette_hub.learning.forecasting import Crossing, NoForecastError, Outlook, UnknownDeviceError
from vedette_hub.store.database import reading
from vedette_hub.times import rfc3339

blueprint = APIBlueprint("forecasts", __name__, url_prefix="/api/v1/devices", tag="Devices")


@blueprint.get("/<name:device>/forecast")
@requires("viewer")
@blueprint.input(ForecastQuery, location="query")
@blueprint.output(ForecastOut)
@blueprint.doc(responses=[404, 409])
def show_forecast(device: str, query_data: ForecastQuery) -> dict[str, Any]:
    """What is expected of a device, from its newest sample on."""
    try:
        limits = query_data.limits()
    except ValueError as error:
        abort(422, "The request is not as it should be.", detail={"query": {"limit": [str(error)]}})
    try:
        with reading(context().engine) as connection:
            known = forecasting.find(connection, device, query_data.gateway, query_data.profile)
            of_profile = [] if limits else forecasting.profile_limits(connection, known)
        found = forecasting.outlook(known, query_data.horizon)
        crossings = [forecasting.crossing(found, channel, limit) for channel, limit in limits]
        crossings += forecasting.crossings(found, of_profile)
    except UnknownDeviceError as error:
        abort(404, _sentence(error))
    except NoForecastError as error:
        abort(409, _sentence(error))
    return forecast_answer(found, query_data.horizon, crossings, "request" if limits else "profile")


def forecast_answer(found: Outlook, horizon: float, crossings: list[Crossing], limits_of: str) -> dict[str, Any]:
    """Fields of `ForecastOut`."""
    known, since = found.known, float(found.known.time[-1])
    return {
        "gateway": known.gateway,
        "device": known.device,
        "profile": known.artifact.profile,
        "version": known.version.version,
        "since": since,
        "since_at": rfc3339(since),
        "horizon": horizon,
        "step": float(found.time[0]) - since,
        "readings": len(known.time),
        "channels": [_channel(found, column) for column in range(len(known.artifact.channels))],
        "limits_of": limits_of,
        "limits": [_limit(one, since) for one in crossings],
    }


def _channel(found: Outlook, column: int) -> dict[str, Any]:
    last = float(found.last[column])
    known = not math.isnan(last)
    parts = {name: getattr(found.ahead, name)[:, column].tolist() if known else [] for name in found.ahead._fields}
    return {
        "channel": found.known.artifact.channels[column],
        "last": last if known else None,
        "times": found.time.tolist() if known else [],
        **parts,
    }


def _limit(one: Crossing, since: float) -> dict[str, Any]:
    return {
        "channel": one.channel,
        "limit": one.limit,
        "side": "above" if one.upwards else "below",
        "expected": one.expected,
        "expected_at": rfc3339(one.expected),
        "expected_in": None if one.expected is None else one.expected - since,
        "band": one.band,
        "band_at": rfc3339(one.band),
        "band_in": None if one.band is None else one.band - since,
    }


def _sentence(error: Exception) -> str:
    text = str(error)
    return text[:1].upper() + text[1:] + "."
