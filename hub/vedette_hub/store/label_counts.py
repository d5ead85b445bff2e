"""How many alerts have which label: by profile, by device, by detector."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

from sqlalchemy import Connection, func, select

from vedette_hub.alerts.accuracy import Accuracy
from vedette_hub.store.schema import alerts, gateways
from vedette_hub.store.summary import count_true_anomalies
from vedette_models.messages import AlertRate, MessageError, Status, from_bytes

WEEK = 7 * 86_400.0
By = Literal["profile", "device", "detector"]

_BY: dict[By, tuple[str, ...]] = {"profile": ("profile",), "device": ("gateway", "device"), "detector": ("detector",)}


def accuracies(connection: Connection, by: By, since: float, until: float, *, limit: int) -> list[Accuracy]:
    """Accuracy of alerts opened from `since` until before `until`, those with the most false alarms first.

    At most `limit`. Test alerts do not count.
    """
    columns = [alerts.c[name] for name in _BY[by]]
    numbers = {
        label: func.count().filter(alerts.c.label == label).label(f"of_{label}")
        for label in ("true", "false", "normal")
    }
    all_of_them = func.count().label("of_all")
    false_first = numbers["false"] + numbers["normal"]
    query = (
        select(*columns, *numbers.values(), all_of_them)
        .where(alerts.c.opened >= since, alerts.c.opened < until, alerts.c.kind != "test", alerts.c.serial > 0)
        .group_by(*columns)
        .order_by(false_first.desc(), all_of_them.desc(), *columns)
        .limit(limit)
        # Much narrower than the table; SQLite would look up each alert of the period in that.
        .with_hint(alerts, "INDEXED BY ix_alerts_facets", "sqlite")
    )
    rows = connection.execute(query).all()
    rates = _rates(connection) if by == "profile" else {}
    known = _known_since(connection, {row.gateway for row in rows}) if by == "device" else {}
    found = []
    for row in rows:
        weeks: float | None = None
        false: float | None = None
        if by == "profile" and row.profile in rates:
            weeks, false = rates[row.profile]
        if by == "device" and row.gateway in known:
            weeks = max(0.0, until - max(since, known[row.gateway])) / WEEK
        labelled = row.of_true + row.of_false + row.of_normal
        found.append(
            Accuracy(
                row[-5],
                row.gateway if by == "device" else None,
                row.of_true,
                row.of_false,
                row.of_normal,
                row.of_all - labelled,
                weeks,
                false,
            )
        )
    return found


def _rates(connection: Connection) -> dict[str, tuple[float, float]]:
    """(device-weeks, false alarms) by profile, over all gateways, as they count them."""
    sums: dict[str, tuple[float, float]] = {}
    names: list[str] = []
    reported: list[tuple[str, dict[str, AlertRate]]] = []
    for name, text in connection.execute(select(gateways.c.gateway, gateways.c.status)):
        names.append(name)
        reported.append((name, _alert_rates(text)))
    true = count_true_anomalies(connection, names)
    for name, rates in reported:
        for profile, rate in rates.items():
            weeks, false = sums.get(profile, (0.0, 0.0))
            mistaken = max(rate.alerts - true.get(name, {}).get(profile, 0), 0)
            sums[profile] = weeks + rate.device_weeks, false + mistaken
    return sums


def _alert_rates(text: str | None) -> dict[str, AlertRate]:
    try:
        return {} if text is None else from_bytes(Status, text.encode()).alert_rates
    except MessageError:
        return {}  # written by a newer hub; the next status replaces it


def _known_since(connection: Connection, names: Iterable[Any]) -> dict[str, float]:
    query = select(gateways.c.gateway, gateways.c.first_seen).where(gateways.c.gateway.in_(list(names)))
    return {row.gateway: row.first_seen for row in connection.execute(query)}
