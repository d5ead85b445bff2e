"""Metrics of the fleet: alerts, gateways, and how ingest is doing."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from sqlalchemy import Connection

from vedette_hub.api.context import Context
from vedette_hub.fleet import ingest_state
from vedette_hub.fleet.presence import presence
from vedette_hub.store import fleet
from vedette_hub.store.summary import Summary, summarize
from vedette_models.readings import Quality

MOST_REASONS, REASON_LENGTH = 32, 64
"""Of dead letters: a gateway may say anything."""
_ROWS = {
    "rows": ("vedette_hub_rows", "Outbox rows committed."),
    "duplicates": ("vedette_hub_duplicate_rows", "Outbox rows that had been committed before."),
    "lost_rows": ("vedette_hub_lost_rows", "Outbox rows that gateways declared lost."),
    "held_back": ("vedette_hub_held_back_rows", "Outbox rows left to be sent again: their ledger has too many gaps."),
}
_COUNTERS = {
    "unparsed": ("vedette_hub_unparsed", "Messages and rows that could not be parsed."),
    "events": ("vedette_hub_alert_events", "Alert events committed."),
    "alerts_pruned": ("vedette_hub_pruned_alerts", "Alerts deleted because limits.alerts was reached."),
}


def collect(connection: Connection, here: Context, now: float) -> Iterator[Metric]:
    """Every metric of the fleet."""
    summary = summarize(connection)
    gateways = fleet.list_gateways(connection, limit=here.config.limits.gateways)
    yield from _alerts(summary)
    yield from _totals(summary)
    yield from _gateways(gateways, now, here.config.hub.silent_after)
    yield from _ingest(ingest_state.read(here.state_dir, now))


def _alerts(summary: Summary) -> Iterator[GaugeMetricFamily]:
    labels = ["severity", "state", "acknowledged"]
    family = GaugeMetricFamily("vedette_hub_alerts", "Alerts in the store.", labels=labels)
    for (severity, state, acknowledged), number in sorted(summary.alerts.items()):
        family.add_metric([severity, state, str(acknowledged).lower()], number)
    yield family


def _totals(summary: Summary) -> Iterator[CounterMetricFamily]:
    for key, (name, text) in _ROWS.items():
        yield CounterMetricFamily(name, text, value=summary.gateway_rows[key])
    for key, (name, text) in _COUNTERS.items():
        yield CounterMetricFamily(name, text, value=summary.counters.get(key, 0))


def _gateways(
    found: list[fleet.StoredGateway], now: float, silent_after: float
) -> Iterator[GaugeMetricFamily | CounterMetricFamily]:
    by_state = GaugeMetricFamily("vedette_hub_gateways", "Gateways by state.", labels=["state"])
    states = [presence(gateway, now, silent_after) for gateway in found]
    for state in ("online", "silent", "offline", "unknown"):
        by_state.add_metric([state], states.count(state))
    yield by_state
    seen = GaugeMetricFamily(
        "vedette_hub_gateway_last_seen_timestamp_seconds", "Last sign of life.", labels=["gateway"]
    )
    waiting = GaugeMetricFamily("vedette_hub_gateway_outbox_rows", "Rows waiting on the gateway.", labels=["gateway"])
    hours = GaugeMetricFamily(
        "vedette_hub_gateway_outbox_hours",
        "Hours until the gateway's outbox is full if the hub stays away, at the rate at which it is being filled.",
        labels=["gateway"],
    )
    silent = GaugeMetricFamily("vedette_hub_silent_devices", "Devices that have stopped reporting.", labels=["gateway"])
    restricted = GaugeMetricFamily(
        "vedette_hub_restricted_devices",
        "Devices whose readings are not all taken: beyond their rate, or in quarantine.",
        labels=["gateway", "state"],
    )
    unset = GaugeMetricFamily("vedette_hub_gateway_clock_unset", "Whether its clock is not set.", labels=["gateway"])
    dead = CounterMetricFamily(
        "vedette_hub_dead_letters",
        "Messages and readings since the agent started that could not be used.",
        labels=["gateway", "reason"],
    )
    for gateway in found:
        seen.add_metric([gateway.gateway], gateway.last_seen)
        if gateway.status is not None:
            waiting.add_metric([gateway.gateway], gateway.status.outbox_rows)
            silent.add_metric([gateway.gateway], gateway.status.silent)
            restricted.add_metric([gateway.gateway, "rate_limited"], gateway.status.rate_limited)
            restricted.add_metric([gateway.gateway, "quarantined"], gateway.status.quarantined)
            is_unset = bool(gateway.status.time_quality & Quality.GATEWAY_UNSET)
            unset.add_metric([gateway.gateway], int(is_unset))
            for reason, count in sorted(gateway.status.counters.dead_by_reason.items())[:MOST_REASONS]:
                dead.add_metric([gateway.gateway, reason[:REASON_LENGTH]], count)
            if gateway.status.outbox_hours is not None:
                hours.add_metric([gateway.gateway], gateway.status.outbox_hours)
    yield seen
    yield waiting
    yield hours
    yield silent
    yield restricted
    yield unset
    yield dead
    yield from _alert_rates(found)


def _alert_rates(found: list[fleet.StoredGateway]) -> Iterator[GaugeMetricFamily]:
    by = ["gateway", "profile"]
    wanted = GaugeMetricFamily(
        "vedette_hub_alert_budget", "False alerts per device and week that are wanted at most.", labels=by
    )
    raised = GaugeMetricFamily(
        "vedette_hub_anomaly_alerts",
        "Anomaly alerts that the gateway raised while its devices were watched.",
        labels=by,
    )
    watched = GaugeMetricFamily("vedette_hub_watched_device_weeks", "How long devices were watched.", labels=by)
    for gateway in found:
        for profile, rate in sorted(gateway.status.alert_rates.items()) if gateway.status is not None else ():
            if rate.target is not None:
                wanted.add_metric([gateway.gateway, profile], rate.target)
            raised.add_metric([gateway.gateway, profile], rate.alerts)
            watched.add_metric([gateway.gateway, profile], rate.device_weeks)
    yield wanted
    yield raised
    yield watched


def _ingest(state: ingest_state.IngestState) -> Iterator[GaugeMetricFamily | CounterMetricFamily]:
    yield GaugeMetricFamily("vedette_hub_ingest_connected", "Ingest is connected to the broker.", int(state.connected))
    dropped = "Messages dropped since the hub started because they came faster than they could be committed."
    yield CounterMetricFamily("vedette_hub_dropped_messages", dropped, value=state.dropped)
    if state.last_message is not None:
        name = "vedette_hub_ingest_last_message_timestamp_seconds"
        yield GaugeMetricFamily(name, "When a message last arrived.", state.last_message)
    yield GaugeMetricFamily("vedette_hub_ingest_waiting_messages", "Arrived, and not committed yet.", state.waiting)
    yield CounterMetricFamily("vedette_hub_ingest_batches", "Batches committed.", value=state.batches)
    took = "What committing them took, waiting for the database included."
    yield CounterMetricFamily("vedette_hub_ingest_commit_seconds", took, value=state.commit_seconds)
    cpu = "Processor time of the process that takes in what gateways say."
    yield CounterMetricFamily("vedette_hub_ingest_cpu_seconds", cpu, value=state.cpu_seconds)
    yield GaugeMetricFamily("vedette_hub_ingest_memory_bytes", "Memory that it holds.", state.memory_bytes)
