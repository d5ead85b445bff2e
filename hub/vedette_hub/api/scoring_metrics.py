"""Metrics of scoring by request, which this web server has done since it started."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily
from prometheus_client.metrics_core import Metric
from sqlalchemy import Connection

from vedette_hub.api.context import Context
from vedette_hub.scoring.service import scoring


def collect(_connection: Connection, _here: Context, _now: float) -> Iterator[Metric]:
    """Every metric of scoring."""
    figures = scoring().scorer.figures
    for name, said, value in (
        ("vedette_hub_scored_vectors", "Vectors scored.", figures.scored),
        ("vedette_hub_scored_anomalies", "Those of them that were anomalous.", figures.anomalies),
        ("vedette_hub_scoring_timeouts", "Requests whose scoring took too long.", figures.timeouts),
        ("vedette_hub_scoring_refused", "Requests beyond the bound on those at the same time.", figures.refused),
        ("vedette_hub_scoring_seconds", "What scoring took, for all vectors together.", figures.seconds),
    ):
        yield CounterMetricFamily(name, said, value=value)
