"""`/metrics` for Prometheus: what the store says, asked at every scrape, and what this web server has counted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from apiflask import APIBlueprint
from flask import Response
from prometheus_client import CollectorRegistry, exposition
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from sqlalchemy import Connection

from vedette_hub.api import fleet_metrics, notify_metrics, scoring_metrics, store_metrics
from vedette_hub.api.access import requires
from vedette_hub.api.context import Context, context
from vedette_hub.api.instruments import instruments
from vedette_hub.store.database import reading
from vedette_hub.version import VERSION

METRICS_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"description": "Metrics.", "content": {"text/plain": {"schema": {"type": "string"}}}}
}

blueprint = APIBlueprint("metrics", __name__, tag="Health")

SOURCES: tuple[Callable[[Connection, Context, float], Iterator[Metric]], ...] = (
    fleet_metrics.collect,
    store_metrics.collect,
    scoring_metrics.collect,
    notify_metrics.collect,
)
"""Who says what of the store at a scrape; another part of the hub adds its own here."""


@blueprint.get("/metrics")
@requires("viewer", "metrics", "read", unless=lambda config: config.web.public_metrics)
@blueprint.doc(summary="Metrics in Prometheus' text format", responses=METRICS_ANSWERS)
def metrics() -> Response:
    """Metrics; with a token, unless `web.public_metrics` says otherwise."""
    here = context()
    registry = CollectorRegistry()
    registry.register(_HubCollector(here))
    text = exposition.generate_latest(registry) + exposition.generate_latest(instruments().registry)
    return Response(text, content_type=exposition.CONTENT_TYPE_PLAIN_0_0_4)


class _HubCollector(Collector):
    def __init__(self, here: Context) -> None:
        self._here = here

    def describe(self) -> list[Any]:
        return []  # nothing is known before the store is asked

    def collect(self) -> Iterator[Any]:
        here, now = self._here, self._here.now()
        yield _build()
        with reading(here.engine) as connection:
            for source in SOURCES:
                yield from source(connection, here, now)


def _build() -> GaugeMetricFamily:
    family = GaugeMetricFamily("vedette_hub_build_info", "Version of the hub.", labels=["version"])
    family.add_metric([VERSION], 1)
    return family
