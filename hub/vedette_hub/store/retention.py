"""What the store lets go of, so that it stays within its limits."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import ColumnElement, Connection, Engine, Select, Table, delete, func, select

from vedette_hub.config import LimitsSection
from vedette_hub.store.database import writing
from vedette_hub.store.fleet import count_up
from vedette_hub.store.idempotency import prune_keys
from vedette_hub.store.notify_schema import deliveries
from vedette_hub.store.retained import effective
from vedette_hub.store.samples import sample_totals
from vedette_hub.store.schema import (
    activations,
    alerts,
    audit,
    jobs,
    ledgers,
    losses,
    models,
    reports,
    samples,
    unparsed,
)

LEDGERS_PER_CLASS = 1_000
"""Ledgers kept for each gateway and class; rows of an older epoch that came again would be applied again."""

_STEP = 1_000
_DAY = 86_400.0
_SAMPLE = 400


def prune(engine: Engine, limits: LimitsSection, now: float | None = None) -> dict[str, int]:
    """Delete what is beyond the limits, at most a thousand rows of each kind; return how many of each.

    Alerts: of the gateways that have most, the oldest cleared ones first, then their oldest. Samples: the oldest of the
    profile that has the most. Versions of a model: the oldest of each profile, but never a released one nor the newest.
    Everything else: the oldest first. What is too old goes as well, at the time `now`; without one nothing is too old.

    What people have set counts in place of `limits`.
    """
    with writing(engine) as connection:
        limits = effective(connection, limits)
        gone = _expire(connection, limits, now) if now is not None else {}
        gone["alerts_pruned"] = _prune_alerts(connection, limits.alerts)
        gone["unparsed_pruned"] = _prune_numbered(connection, unparsed, limits.unparsed)
        gone["reports_pruned"] = _prune_numbered(connection, reports, limits.reports)
        gone["activations_pruned"] = _prune_numbered(connection, activations, limits.reports)
        gone["losses_pruned"] = _prune_losses(connection, limits.reports)
        gone["samples_pruned"] = _prune_samples(connection, limits.samples_mb * 1_000_000)
        gone["models_pruned"] = _prune_models(connection, limits.model_versions)
        gone["jobs_pruned"] = _prune_numbered(connection, jobs, limits.jobs, jobs.c.finished.is_not(None))
        finished = deliveries.c.finished.is_not(None)
        gone["deliveries_pruned"] = _prune_numbered(connection, deliveries, limits.deliveries, finished)
        gone["audit_pruned"] = _prune_audit(connection, limits.audit)
        prune_keys(connection, limits.idempotency_keys)
        gone["ledgers_pruned"] = _prune_ledgers(connection)
        count_up(connection, gone)
    return {name: number for name, number in gone.items() if number}


def refresh_statistics(engine: Engine) -> None:
    """Let SQLite look at samples of its indices, without which it picks poor ones; PostgreSQL does so by itself."""
    if engine.dialect.name == "sqlite":
        with writing(engine) as connection:
            connection.exec_driver_sql(f"PRAGMA analysis_limit = {_SAMPLE}")
            connection.exec_driver_sql("ANALYZE alerts")


def _expire(connection: Connection, limits: LimitsSection, now: float) -> dict[str, int]:
    """Delete what is too old. An alert that is still active is not, however long ago it began."""
    gone: dict[str, int] = {}
    if limits.alerts_days:
        old = select(alerts.c.serial).where(
            alerts.c.opened < now - limits.alerts_days * _DAY, alerts.c.state == "cleared"
        )
        gone["alerts_expired"] = _delete(connection, old.order_by(alerts.c.opened).limit(_STEP))
    for name, table, column, days in (
        ("samples_expired", samples, samples.c.received, limits.samples_days),
        ("audit_expired", audit, audit.c.time, limits.audit_days),
    ):
        if days:
            oldest = select(table.c.number, column.label("at")).order_by(table.c.number).limit(_STEP).subquery()
            old_numbers = select(oldest.c.number).where(oldest.c.at < now - days * _DAY)
            gone[name] = connection.execute(delete(table).where(table.c.number.in_(old_numbers))).rowcount
    return gone


def _excess(connection: Connection, table: Table, limit: int) -> int:
    count = connection.execute(select(func.count()).select_from(table)).scalar_one()
    return min(_STEP, max(0, int(count) - limit))


def _prune_alerts(connection: Connection, limit: int) -> int:
    if not _excess(connection, alerts, limit):
        return 0
    counted = select(alerts.c.gateway, func.count().label("number")).group_by(alerts.c.gateway)
    gone = 0
    counts = {row.gateway: int(row.number) for row in connection.execute(counted)}
    for gateway, excess in _beyond_their_share(counts, limit):
        oldest = select(alerts.c.serial).where(alerts.c.gateway == gateway).order_by(alerts.c.serial)
        todo = min(excess, _STEP - gone)
        for query in (oldest.where(alerts.c.state == "cleared"), oldest):
            if todo:
                found = _delete(connection, query.limit(todo))
                todo, gone = todo - found, gone + found
    return gone


def _beyond_their_share(counts: dict[str, int], limit: int) -> Iterator[tuple[str, int]]:
    """How many each gateway has beyond the share that is left to all who have more than it, the greatest first.

    Whoever has less keeps all: one gateway with many alerts takes nothing from the others.
    """
    left, ascending = limit, sorted(counts.items(), key=lambda item: item[1])
    shares: dict[str, int] = {}
    for place, (name, number) in enumerate(ascending):
        shares[name] = min(number, left // (len(ascending) - place))
        left -= shares[name]
    beyond = ((name, number - shares[name]) for name, number in reversed(ascending))
    return ((name, number) for name, number in beyond if number)


def _delete(connection: Connection, oldest: Select[tuple[int]]) -> int:
    serials = list(connection.execute(oldest).scalars())
    if serials:
        connection.execute(delete(alerts).where(alerts.c.serial.in_(serials)))
    return len(serials)


def _prune_numbered(connection: Connection, table: Table, limit: int, *which: ColumnElement[bool]) -> int:
    excess = _excess(connection, table, limit)
    if not excess:
        return 0
    oldest = select(table.c.number).where(*which).order_by(table.c.number).limit(excess)
    last = connection.execute(select(func.max(oldest.subquery().c.number))).scalar()
    return connection.execute(delete(table).where(table.c.number <= last, *which)).rowcount if last else 0


def _prune_audit(connection: Connection, limit: int) -> int:
    """What was refused takes up half at most, so that nobody can push out what was done by being refused."""
    refused = audit.c.outcome == "refused"
    number = connection.execute(select(func.count()).select_from(audit).where(refused)).scalar_one()
    excess = min(_excess(connection, audit, limit), max(0, number - limit // 2))
    gone = 0
    if excess:
        oldest = select(audit.c.number).where(refused).order_by(audit.c.number).limit(excess).subquery()
        last = connection.execute(select(func.max(oldest.c.number))).scalar_one()
        gone = connection.execute(delete(audit).where(refused, audit.c.number <= last)).rowcount
    return gone + _prune_numbered(connection, audit, limit)


def _prune_samples(connection: Connection, limit: int) -> int:
    totals = sample_totals(connection)
    excess = sum(total.bytes for total in totals) - limit
    if excess <= 0:
        return 0
    most = max(totals, key=lambda total: total.bytes)
    same = samples.c.profile == most.profile
    oldest = select(samples.c.number, samples.c.bytes).where(same).order_by(samples.c.number).limit(_STEP)
    last = 0
    for number, size in connection.execute(oldest):
        if excess <= 0:
            break
        last, excess = number, excess - size
    return connection.execute(delete(samples).where(same, samples.c.number <= last)).rowcount


def _prune_models(connection: Connection, limit: int) -> int:
    gone = 0
    groups = select(models.c.profile, func.count(), func.max(models.c.version)).group_by(models.c.profile)
    for profile, count, newest in connection.execute(groups.having(func.count() > limit)).all():
        kept = (models.c.stage == "released") | (models.c.version == newest)
        oldest = select(models.c.version).where(models.c.profile == profile, ~kept).order_by(models.c.version)
        versions = list(connection.execute(oldest.limit(count - limit)).scalars())
        gone += connection.execute(
            delete(models).where(models.c.profile == profile, models.c.version.in_(versions))
        ).rowcount
    return gone


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
