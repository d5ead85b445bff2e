"""What the store lets go of, so that it stays within its limits."""

from __future__ import annotations

from sqlalchemy import Connection, Engine, Select, Table, delete, func, select

from vedette_hub.config import LimitsSection
from vedette_hub.store.database import writing
from vedette_hub.store.fleet import count_up
from vedette_hub.store.schema import alerts, ledgers, losses, reports, unparsed

LEDGERS_PER_CLASS = 1_000
"""Ledgers kept for each gateway and class; rows of an older epoch that came again would be applied again."""

_STEP = 1_000
_SAMPLE = 400


def prune(engine: Engine, limits: LimitsSection) -> dict[str, int]:
    """Delete what is beyond the limits, at most a thousand rows of each kind; return how many of each.

    Alerts: the oldest cleared ones first, then the oldest of all. Everything else: the oldest first.
    """
    gone: dict[str, int] = {}
    with writing(engine) as connection:
        gone["alerts_pruned"] = _prune_alerts(connection, limits.alerts)
        gone["unparsed_pruned"] = _prune_numbered(connection, unparsed, limits.unparsed)
        gone["reports_pruned"] = _prune_numbered(connection, reports, limits.reports)
        gone["losses_pruned"] = _prune_losses(connection, limits.reports)
        gone["ledgers_pruned"] = _prune_ledgers(connection)
        count_up(connection, gone)
    return {name: number for name, number in gone.items() if number}


def refresh_statistics(engine: Engine) -> None:
    """Let SQLite look at samples of its indices, without which it picks poor ones; PostgreSQL does so by itself."""
    if engine.dialect.name == "sqlite":
        with writing(engine) as connection:
            connection.exec_driver_sql(f"PRAGMA analysis_limit = {_SAMPLE}")
            connection.exec_driver_sql("ANALYZE alerts")


def _excess(connection: Connection, table: Table, limit: int) -> int:
    count = connection.execute(select(func.count()).select_from(table)).scalar_one()
    return min(_STEP, max(0, int(count) - limit))


def _prune_alerts(connection: Connection, limit: int) -> int:
    excess = _excess(connection, alerts, limit)
    gone = 0
    oldest = select(alerts.c.serial).order_by(alerts.c.serial)
    for query in (oldest.where(alerts.c.state == "cleared"), oldest):
        if gone < excess:
            gone += _delete(connection, query.limit(excess - gone))
    return gone


def _delete(connection: Connection, oldest: Select[tuple[int]]) -> int:
    serials = list(connection.execute(oldest).scalars())
    if serials:
        connection.execute(delete(alerts).where(alerts.c.serial.in_(serials)))
    return len(serials)


def _prune_numbered(connection: Connection, table: Table, limit: int) -> int:
    excess = _excess(connection, table, limit)
    if excess:
        last = select(table.c.number).order_by(table.c.number).limit(1).offset(excess - 1).scalar_subquery()
        connection.execute(delete(table).where(table.c.number <= last))
    return excess


def _prune_losses(connection: Connection, limit: int) -> int:
    excess = _excess(connection, losses, limit)
    if not excess:
        return 0
    last = select(losses.c.received).order_by(losses.c.received).limit(1).offset(excess - 1).scalar_subquery()
    return connection.execute(delete(losses).where(losses.c.received <= last)).rowcount


def _prune_ledgers(connection: Connection) -> int:
    gone = 0
    groups = (
        select(ledgers.c.gateway, ledgers.c.priority)
        .group_by(ledgers.c.gateway, ledgers.c.priority)
        .having(func.count() > LEDGERS_PER_CLASS)
        .limit(_STEP)
    )
    for gateway, priority in connection.execute(groups).all():
        same = (ledgers.c.gateway == gateway) & (ledgers.c.priority == priority)
        newest = select(ledgers.c.updated).where(same).order_by(ledgers.c.updated.desc())
        oldest_kept = connection.execute(newest.limit(1).offset(LEDGERS_PER_CLASS - 1)).scalar_one()
        gone += connection.execute(delete(ledgers).where(same, ledgers.c.updated < oldest_kept)).rowcount
    return gone
