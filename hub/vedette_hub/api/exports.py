"""Gateways, devices, versions and jobs as CSV, in full, a page of the store at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from apiflask import APIBlueprint
from flask import Response
from sqlalchemy import Connection, Engine

from vedette_hub.api.access import requires
from vedette_hub.api.answers import gateway_answer
from vedette_hub.api.context import context
from vedette_hub.api.csv_answers import csv_answer, csv_responses
from vedette_hub.api.device_shapes import DeviceChoice
from vedette_hub.api.devices import device_answer
from vedette_hub.api.jobs import job_answer
from vedette_hub.api.models import model_answer
from vedette_hub.learning import jobs, registry
from vedette_hub.store import fleet
from vedette_hub.store.database import reading
from vedette_hub.store.devices import list_devices

PAGE = 500

_GATEWAYS = ("gateway", "group", "state", "first_seen", "last_seen_at", "rows", "duplicates", "unparsed", "lost_rows")
_DEVICES = ("gateway", "device", "profile", "channels", "last_at", "interval")
_MODELS = ("profile", "version", "stage", "algorithm", "detector", "created_at", "origin", "samples", "drift", "sha256")
_JOBS = ("number", "kind", "profile", "state", "by", "message", "created_at", "started", "finished")

_Item = TypeVar("_Item")

blueprint = APIBlueprint("exports", __name__, url_prefix="/api/v1", tag="Export")


@blueprint.get("/gateways.csv")
@requires("viewer")
@blueprint.doc(responses=csv_responses("All gateways by name."))
def export_gateways() -> Response:
    """Gateways as CSV."""
    here = context()
    now, silent_after = here.now(), here.config.hub.silent_after

    def after(connection: Connection, last: fleet.StoredGateway | None) -> list[fleet.StoredGateway]:
        return fleet.list_gateways(connection, limit=PAGE, after=last.gateway if last else "")

    found = (gateway_answer(gateway, now, silent_after) for gateway in _all(here.engine, after))
    return csv_answer("gateways", _GATEWAYS, _rows(_GATEWAYS, found))


@blueprint.get("/devices.csv")
@requires("viewer")
@blueprint.input(DeviceChoice, location="query")
@blueprint.doc(responses=csv_responses("All devices by gateway and name."))
def export_devices(query_data: DeviceChoice) -> Response:
    """Devices as CSV."""

    def after(connection: Connection, last: Any) -> list[Any]:
        key = (last.gateway, last.device) if last else None
        return list_devices(connection, limit=PAGE, after=key, gateway=query_data.gateway)

    found = map(device_answer, _all(context().engine, after))
    return csv_answer("devices", _DEVICES, _rows(_DEVICES, found))


@blueprint.get("/models.csv")
@requires("viewer")
@blueprint.doc(responses=csv_responses("All versions by profile, of each the newest first."))
def export_models() -> Response:
    """Versions as CSV."""

    def after(connection: Connection, last: registry.ListedVersion | None) -> list[registry.ListedVersion]:
        key = (last.profile, last.version) if last else None
        return registry.list_versions(connection, limit=PAGE, after=key)

    found = map(model_answer, _all(context().engine, after))
    return csv_answer("models", _MODELS, _rows(_MODELS, found))


@blueprint.get("/jobs.csv")
@requires("viewer")
@blueprint.doc(responses=csv_responses("All jobs, the newest first."))
def export_jobs() -> Response:
    """Jobs as CSV."""

    def after(connection: Connection, last: jobs.Job | None) -> list[jobs.Job]:
        return jobs.list_jobs(connection, limit=PAGE, before=last.number if last else None)

    found = map(job_answer, _all(context().engine, after))
    return csv_answer("jobs", _JOBS, _rows(_JOBS, found))


def _all(engine: Engine, after: Callable[[Connection, _Item | None], list[_Item]]) -> Iterator[_Item]:
    """All items, page by page, each in a transaction of its own, however slowly they are read."""
    last: _Item | None = None
    while True:
        with reading(engine) as connection:
            found = after(connection, last)
        yield from found
        if len(found) < PAGE:
            return
        last = found[-1]


def _rows(columns: tuple[str, ...], found: Iterator[dict[str, Any]]) -> Iterator[list[object]]:
    for one in found:
        values = (one[name] for name in columns)
        yield ["; ".join(value) if isinstance(value, list) else value for value in values]
