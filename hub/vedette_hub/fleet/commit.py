"""Arrivals become durable: their effects and the ledger in one transaction, then what may be receipted."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from vedette_hub.alerts.intake import take_events
from vedette_hub.config import LimitsSection
from vedette_hub.errors import StoreError
from vedette_hub.fleet.arrivals import MAX_NUMBER, Arrival, RowArrival, StatusArrival, UnparsedArrival, as_unparsed
from vedette_hub.fleet.ledger import Ledger, LedgerFullError
from vedette_hub.fleet.rollout import due_after_status
from vedette_hub.store import fleet as fleet_store
from vedette_hub.store import rollout as rollout_store
from vedette_hub.store import samples as sample_store
from vedette_hub.store.database import describe, writing
from vedette_hub.store.fleet import GatewayNews, LedgerKey
from vedette_models.messages import (
    PRIORITIES,
    Alert,
    Committed,
    Damage,
    DeclaredLoss,
    Receipt,
    Report,
    SampleBatch,
    Status,
)

logger = logging.getLogger(__name__)

ALSO_LIMIT = 10_000
"""Sequence numbers one receipt names, so that it stays below the largest message; the others are sent again."""


UNKNOWN_EPOCH = "unknown"
"""Stands in a declared loss for epochs that the gateway itself no longer knows."""


class StoreUnavailableError(StoreError):
    """Nothing was committed, and trying later may help: the database is locked, full, read-only or away."""


@dataclass
class Outcome:
    """What a commit brought: receipts by gateway, and counts for the log."""

    receipts: dict[str, list[Receipt]] = field(default_factory=lambda: defaultdict(list))
    rows: int = 0
    duplicates: int = 0
    unparsed: int = 0
    held_back: int = 0

    def add(self, other: Outcome) -> None:
        """Take over what another commit brought."""
        for gateway, receipts in other.receipts.items():
            self.receipts[gateway] += receipts
        self.rows += other.rows
        self.duplicates += other.duplicates
        self.unparsed += other.unparsed
        self.held_back += other.held_back


def commit(engine: Engine, arrivals: Sequence[Arrival], now: float, limits: LimitsSection) -> Outcome:
    """Commit arrivals at time `now`, and say what may be receipted.

    One transaction for all of them. When one of them cannot be stored, halves are tried until it is alone; it then
    ends as unparsed, and the others are stored.

    Raises:
        StoreUnavailableError: the database cannot take anything now; nothing of the last transaction is committed.
    """
    if not arrivals:
        return Outcome()
    try:
        with writing(engine) as connection:
            return _Batch(connection, now, limits).apply(arrivals)
    except (IntegrityError, DataError, ProgrammingError, ValueError, TypeError, ArithmeticError, LookupError) as error:
        failure: Exception = error
    except (DBAPIError, PoolTimeoutError, OSError) as error:
        raise StoreUnavailableError(describe(error)) from error
    if len(arrivals) == 1:
        reason = f"{type(failure).__name__}: {describe(failure)}"
        logger.error("a message on %s cannot be stored, it is kept as unparsed: %s", arrivals[0].topic, reason)
        if _is_unparsed(arrivals[0]):
            raise StoreUnavailableError(reason) from failure
        return commit(engine, [as_unparsed(arrivals[0], reason)], now, limits)
    middle = len(arrivals) // 2
    outcome = commit(engine, arrivals[:middle], now, limits)
    outcome.add(commit(engine, arrivals[middle:], now, limits))
    return outcome


def standing_receipts(ledgers: dict[LedgerKey, Ledger]) -> dict[str, list[Receipt]]:
    """Receipts for everything these ledgers hold: what a hub says when it comes back."""
    return _receipts(ledgers, {})


def _is_unparsed(arrival: Arrival) -> bool:
    return isinstance(arrival, UnparsedArrival) or (isinstance(arrival, RowArrival) and arrival.content is None)


class _Batch:
    """One transaction's worth of arrivals."""

    def __init__(self, connection: Connection, now: float, limits: LimitsSection) -> None:
        self._connection = connection
        self._now = now
        self._limits = limits
        self._news: dict[str, GatewayNews] = defaultdict(GatewayNews)
        self._unparsed: list[dict[str, Any]] = []
        self._events: list[tuple[Alert, str]] = []
        self._samples: list[tuple[str, SampleBatch]] = []
        self._statuses: dict[str, Status] = {}
        self._touched: dict[LedgerKey, set[int]] = defaultdict(set)
        self._outcome = Outcome()

    def apply(self, arrivals: Sequence[Arrival]) -> Outcome:
        """Write all effects; the caller commits."""
        accepted = self._within_gateway_limit(arrivals)
        keys: set[LedgerKey] = set()
        for arrival in accepted:
            if isinstance(arrival, RowArrival):
                keys.add((arrival.gateway, arrival.priority, arrival.epoch))
                if isinstance(arrival.content, Report):
                    keys.update((arrival.gateway, loss.priority, loss.epoch) for loss in arrival.content.losses)
        ledgers = fleet_store.load_ledgers(self._connection, keys)
        for arrival in accepted:
            match arrival:
                case StatusArrival():
                    self._status(arrival)
                case RowArrival():
                    self._row(arrival, ledgers)
                case UnparsedArrival():
                    self._keep_unparsed(arrival)
        take_events(self._connection, self._events, self._now, self._limits.events_per_alert)
        self._manifests()
        sampled = sample_store.add_samples(self._connection, self._samples, self._now)
        fleet_store.add_unparsed(self._connection, self._unparsed)
        changed = {key: ledgers[key] for key in self._touched}
        fleet_store.save_ledgers(self._connection, changed, self._now)
        if self._news:
            fleet_store.save_news(self._connection, self._news, self._now)
        counted = {"unparsed": self._outcome.unparsed, "events": len(self._events), "samples": sampled}
        fleet_store.count_up(self._connection, counted)
        self._outcome.receipts.update(_receipts(changed, self._touched))
        return self._outcome

    def _within_gateway_limit(self, arrivals: Sequence[Arrival]) -> list[Arrival]:
        names = {arrival.gateway for arrival in arrivals if arrival.gateway is not None}
        new = sorted(names - fleet_store.known_gateways(self._connection, names))
        room = self._limits.gateways - fleet_store.count_gateways(self._connection) if new else 0
        refused = set(new[max(0, room) :])
        if not refused:
            return list(arrivals)
        logger.error("%d new gateways refused: limits.gateways = %d is reached", len(refused), self._limits.gateways)
        reason = f"a new gateway beyond limits.gateways = {self._limits.gateways}"
        return [
            UnparsedArrival(arrival.topic, None, arrival.raw, reason) if arrival.gateway in refused else arrival
            for arrival in arrivals
        ]

    def _status(self, arrival: StatusArrival) -> None:
        news = self._news[arrival.gateway]
        status = arrival.status
        # The broker speaks a last will, and repeats a retained status: neither says that the gateway lives now.
        alive = not arrival.retained and status.reason != "lost"
        news.seen = max(news.seen, self._now if alive else min(status.time, self._now))
        news.online = status.online
        news.status = arrival.raw.decode()
        self._statuses[arrival.gateway] = status

    def _row(self, arrival: RowArrival, ledgers: dict[LedgerKey, Ledger]) -> None:
        key: LedgerKey = (arrival.gateway, arrival.priority, arrival.epoch)
        news = self._news[arrival.gateway]
        news.seen = self._now
        if arrival.sequence in ledgers[key]:
            news.duplicates += 1
            self._outcome.duplicates += 1
            self._touched[key].add(arrival.sequence)
            return
        try:
            new = _count(arrival, ledgers)
        except LedgerFullError as error:
            news.held_back += 1
            self._outcome.held_back += 1
            logger.warning("gateway %r: a row is left to be sent again: %s", arrival.gateway, error)
            return
        self._touched[key].add(arrival.sequence)
        news.rows += 1
        self._outcome.rows += 1
        if arrival.content is None:
            self._keep_unparsed(arrival)
        elif isinstance(arrival.content, Report):
            self._report(arrival, arrival.content, new)
        elif isinstance(arrival.content, Alert):
            self._events.append((arrival.content, arrival.raw.decode()))
        elif isinstance(arrival.content, SampleBatch):
            self._samples.append((arrival.gateway, arrival.content))

    def _report(self, arrival: RowArrival, report: Report, new: Sequence[int]) -> None:
        """`new`: of each loss, how many rows are lost by it."""
        gateway = arrival.gateway
        for loss, lost in zip(report.losses, new, strict=True):
            self._touched.setdefault((gateway, loss.priority, loss.epoch), set())
            self._news[gateway].lost_rows += lost
            if lost:
                logger.warning("gateway %r declares %d %s lost: %s", gateway, lost, loss.priority, loss.reason)
        losses = list(zip(report.losses, new, strict=True))
        fleet_store.add_losses(self._connection, gateway, losses, report.time, self._now)
        for damage in report.damages:
            self._damage(gateway, damage)
        rollout_store.add_activations(self._connection, gateway, report.activations, report.time, self._now)
        missing = {item.sha256 for item in report.activations if item.outcome == "missing"}
        rollout_store.publish_again(self._connection, missing, self._now)
        fleet_store.add_report(self._connection, gateway, report, arrival.raw.decode(), self._now)

    def _damage(self, gateway: str, damage: Damage) -> None:
        """A loss of unknown extent: on record for every class, while the ledgers go on as they are.

        What is on its way from the time before may still come, and counts.
        """
        logger.warning("gateway %r has lost what its database held: %s", gateway, damage.reason)
        losses = [
            (DeclaredLoss(priority, epoch, 1, MAX_NUMBER, f"unknown extent: {damage.reason}"), 0)
            for epoch in damage.epochs or (UNKNOWN_EPOCH,)
            for priority in PRIORITIES
        ]
        fleet_store.add_losses(self._connection, gateway, losses, damage.time, self._now)

    def _keep_unparsed(self, arrival: RowArrival | UnparsedArrival) -> None:
        if arrival.gateway is not None:
            news = self._news[arrival.gateway]
            news.seen = self._now
            news.unparsed += 1
        self._outcome.unparsed += 1
        self._unparsed.append(
            {
                "received": self._now,
                "topic": arrival.topic,
                "gateway": arrival.gateway,
                "error": arrival.error,
                "size": len(arrival.raw),
                "payload": arrival.raw[: self._limits.unparsed_bytes],
            }
        )

    def _manifests(self) -> None:
        issued = rollout_store.load_manifests(self._connection, self._statuses)
        due = {name: due_after_status(manifest, self._statuses[name], self._now) for name, manifest in issued.items()}
        changed = {name: what for name, what in due.items() if what != issued[name].due}
        rollout_store.mark_manifests(self._connection, changed)


def _count(arrival: RowArrival, ledgers: dict[LedgerKey, Ledger]) -> list[int]:
    """Count a row, and those it speaks for, as dealt with; how many each range of these had that were new.

    Raises:
        LedgerFullError: a ledger cannot hold them; all ledgers are as they were, so that the row may come again.
    """
    key: LedgerKey = (arrival.gateway, arrival.priority, arrival.epoch)
    speaks_for: list[tuple[LedgerKey, int, int]] = []
    if isinstance(arrival.content, Report):
        losses = arrival.content.losses
        speaks_for = [((arrival.gateway, loss.priority, loss.epoch), loss.first, loss.last) for loss in losses]
    elif isinstance(arrival.content, Alert) and arrival.content.coalesced is not None:
        # One effect for all of them: the rows that are gone will not come, and this one says what they were.
        speaks_for = [(key, first, last) for first, last in arrival.content.coalesced.rows]
    before = {of: ledgers[of].copy() for of in {key, *(of for of, _, _ in speaks_for)}} if speaks_for else {}
    try:
        new = [ledgers[of].add(first, last) for of, first, last in speaks_for]
        ledgers[key].add(arrival.sequence)
    except LedgerFullError:
        ledgers.update(before)
        raise
    return new


def _receipts(ledgers: dict[LedgerKey, Ledger], wanted: dict[LedgerKey, set[int]]) -> dict[str, list[Receipt]]:
    parts: dict[str, list[list[Committed]]] = defaultdict(list)
    sizes: dict[str, int] = {}
    for (gateway, priority, epoch), ledger in ledgers.items():
        also = ledger.above(ALSO_LIMIT, wanted.get((gateway, priority, epoch), ()))
        if not parts[gateway] or sizes[gateway] + len(also) > ALSO_LIMIT or len(parts[gateway][-1]) >= 100:
            parts[gateway].append([])
            sizes[gateway] = 0
        parts[gateway][-1].append(Committed(priority, epoch, ledger.through, also))
        sizes[gateway] += len(also)
    return {gateway: [Receipt(tuple(part)) for part in each] for gateway, each in parts.items()}
