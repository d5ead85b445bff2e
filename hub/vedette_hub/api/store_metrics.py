"""Metrics of what the hub keeps: jobs, models, samples, notifications, the database's size, and its last backup."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from sqlalchemy import Connection, func, select

from vedette_hub.api.context import Context
from vedette_hub.store.deliveries import count_by_channel
from vedette_hub.store.fleet import read_counters
from vedette_hub.store.retained import KEPT, effective
from vedette_hub.store.samples import sample_totals
from vedette_hub.store.schema import audit, jobs, models

_GONE = ("_pruned", "_expired")


def collect(connection: Connection, here: Context, now: float) -> Iterator[Metric]:
    """Every metric of what is kept."""
    yield from _learning(connection)
    told = GaugeMetricFamily("vedette_hub_deliveries", "Notifications kept.", labels=["channel", "status"])
    for channel, statuses in sorted(count_by_channel(connection).items()):
        for status, number in sorted(statuses.items()):
            told.add_metric([channel, status], number)
    yield told
    yield from _retention(connection, here)
    yield GaugeMetricFamily("vedette_hub_database_bytes", "Size of the database.", _size(connection))
    free = shutil.disk_usage(here.state_dir).free
    yield GaugeMetricFamily("vedette_hub_disk_free_bytes", "Room where the state directory is.", free)
    backup = select(func.max(audit.c.time)).where(audit.c.action == "hub.backup", audit.c.outcome == "done")
    if (last := connection.execute(backup).scalar()) is not None:
        yield GaugeMetricFamily("vedette_hub_last_backup_timestamp_seconds", "When a backup was last made.", last)


def _learning(connection: Connection) -> Iterator[Metric]:
    by_state = GaugeMetricFamily("vedette_hub_jobs", "Jobs kept.", labels=["state"])
    for state, number in connection.execute(select(jobs.c.state, func.count()).group_by(jobs.c.state)):
        by_state.add_metric([state], number)
    yield by_state
    newest = GaugeMetricFamily("vedette_hub_model_version", "Newest version of a profile's model.", labels=["profile"])
    query = select(models.c.profile, func.max(models.c.version)).group_by(models.c.profile)
    for profile, version in connection.execute(query.order_by(models.c.profile)):
        newest.add_metric([profile], version)
    yield newest
    size = GaugeMetricFamily("vedette_hub_sample_bytes", "Samples kept to train with.", labels=["profile"])
    readings = GaugeMetricFamily("vedette_hub_sample_readings", "Readings in them.", labels=["profile"])
    for total in sample_totals(connection):
        size.add_metric([total.profile], total.bytes)
        readings.add_metric([total.profile], total.readings)
    yield size
    yield readings


def _retention(connection: Connection, here: Context) -> Iterator[Metric]:
    limits = effective(connection, here.config.limits)
    family = GaugeMetricFamily("vedette_hub_retention_limit", "What is kept at most, as in [limits].", labels=["name"])
    for name in KEPT:
        family.add_metric([name], getattr(limits, name))
    yield family
    gone = CounterMetricFamily("vedette_hub_deleted_rows", "Rows let go of by retention.", labels=["what"])
    for name, number in sorted(read_counters(connection).items()):
        if name.endswith(_GONE):
            gone.add_metric([name], number)
    yield gone


def _size(connection: Connection) -> int:
    if connection.dialect.name == "postgresql":
        return int(connection.exec_driver_sql("SELECT pg_database_size(current_database())").scalar_one())
    pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
    return int(pages) * int(connection.exec_driver_sql("PRAGMA page_size").scalar_one())
