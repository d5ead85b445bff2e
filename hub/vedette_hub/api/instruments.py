"""What the web server counts while it answers: kept in its memory, beside what `/metrics` reads from the store.

The hub runs one web process; its counters begin at 0 with it, which Prometheus expects of counters.
"""

from __future__ import annotations

from typing import cast

from flask import Flask, current_app
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

_EXTENSION = "vedette.instruments"
SECONDS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Instruments:
    """One registry for each application; parts of the web server add their own counters to it."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.requests = Counter(
            "vedette_hub_http_requests",
            "Requests answered, by the route as it stands in /openapi.json.",
            ["method", "route", "status"],
            registry=self.registry,
        )
        self.seconds = Histogram(
            "vedette_hub_http_request_seconds",
            "From a request's arrival at the application to the end of its answer.",
            ["method", "route"],
            buckets=SECONDS,
            registry=self.registry,
        )
        self.in_flight = Gauge(
            "vedette_hub_http_requests_in_flight", "Requests being answered now.", registry=self.registry
        )


def configure(app: Flask) -> Instruments:
    """Give an application its instruments."""
    made = Instruments()
    app.extensions[_EXTENSION] = made
    return made


def instruments() -> Instruments:
    """Those of the application that handles this request."""
    return cast(Instruments, current_app.extensions[_EXTENSION])
