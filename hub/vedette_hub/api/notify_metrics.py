"""How telling people goes, for Prometheus."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from sqlalchemy import Connection

from vedette_hub.api.context import Context
from vedette_hub.store.channels import list_channels
from vedette_hub.store.deliveries import count_queued
from vedette_hub.store.told import count_held

MOST = 10_000
"""As far as what waits is counted."""


def collect(connection: Connection, here: Context, now: float) -> Iterator[GaugeMetricFamily | CounterMetricFamily]:
    """Metrics of every channel."""
    labels = ["channel", "kind"]
    sent = CounterMetricFamily("vedette_hub_messages_sent", "Messages delivered.", labels=labels)
    failed = CounterMetricFamily("vedette_hub_messages_failed", "Messages given up.", labels=labels)
    queued = GaugeMetricFamily("vedette_hub_messages_queued", "Messages that wait, up to 10,000.", labels=labels)
    held = GaugeMetricFamily(
        "vedette_hub_alerts_held_back", "Alerts that a channel is told of later, up to 10,000.", labels=labels
    )
    resting = GaugeMetricFamily(
        "vedette_hub_channel_resting", "Whether the channel failed too often and is left alone.", labels=labels
    )
    for channel in list_channels(connection):
        names = [channel.name, channel.kind]
        sent.add_metric(names, channel.sent)
        failed.add_metric(names, channel.failed)
        queued.add_metric(names, count_queued(connection, channel.number, most=MOST))
        held.add_metric(names, count_held(connection, channel.number, most=MOST))
        resting.add_metric(names, int(channel.open_until > now))
    yield from (sent, failed, queued, held, resting)
