"""Numbers over the whole store, for metrics and the console."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from vedette_hub.store.fleet import read_counters
from vedette_hub.store.schema import alerts, gateways, losses


@dataclass(frozen=True)
class Summary:
    """The store in numbers."""

    alerts: dict[tuple[str, str, bool], int]
    """By (severity, state, acknowledged)."""
    gateway_rows: dict[str, int]
    """Sums over all gateways: `rows`, `duplicates`, `unparsed`, `lost_rows`, `held_back`."""
    declared_losses: int
    counters: dict[str, int]


def summarize(connection: Connection) -> Summary:
    """Count everything once."""
    by = (alerts.c.severity, alerts.c.state, alerts.c.acknowledged)
    counted = {
        (row.severity, row.state, bool(row.acknowledged)): int(row.number)
        for row in connection.execute(select(*by, func.count().label("number")).group_by(*by))
    }
    names = ("rows", "duplicates", "unparsed", "lost_rows", "held_back")
    sums = connection.execute(select(*(func.coalesce(func.sum(gateways.c[name]), 0) for name in names))).one()
    declared = connection.execute(select(func.count()).select_from(losses)).scalar_one()
    rows = dict(zip(names, (int(value) for value in sums), strict=True))
    return Summary(counted, rows, int(declared), read_counters(connection))


def count_active(connection: Connection) -> dict[str, int]:
    """Active alerts by gateway."""
    query = select(alerts.c.gateway, func.count().label("number")).where(alerts.c.state == "active")
    return {row.gateway: int(row.number) for row in connection.execute(query.group_by(alerts.c.gateway))}


def count_true_anomalies(connection: Connection, names: Collection[str]) -> dict[str, dict[str, int]]:
    """Alerts of kind `anomaly` labelled true, by gateway and profile, of these gateways."""
    columns = (alerts.c.gateway, alerts.c.profile)
    query = select(*columns, func.count().label("number")).where(
        alerts.c.label == "true", alerts.c.kind == "anomaly", alerts.c.gateway.in_(names)
    )
    found: dict[str, dict[str, int]] = {}
    for row in connection.execute(query.group_by(*columns)):
        found.setdefault(row.gateway, {})[row.profile] = int(row.number)
    return found
