"""Outbox: what must not be lost, in SQLite, until every sink has it.

One transaction commits what a batch of readings caused: alert events, the state of the alerts behind them, dead
letters, and what a redelivery of its messages would look like. A row's id is gateway / epoch / class / sequence: the
epoch is new and random at every start, so that a restored or cloned database cannot reuse ids, and the sequence is
one per class and has no gaps but declared ones.

The box is bounded. At the limit the oldest rows of the least important class make room, and what was still
undelivered among them becomes a declared loss, which the hub is told.
"""

from __future__ import annotations

import logging
import secrets
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from vedette_agent.delivery import dead_letters
from vedette_agent.delivery.database import Database
from vedette_agent.mqtt.message import SettledKey
from vedette_agent.reading.effects import AlertStateRow, DeadLetterRow, Effects
from vedette_models import messages, topics
from vedette_models.messages import PRIORITIES, Alert, DeclaredLoss, Priority, Receipt, Report

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from vedette_agent.config import OutboxLimits

logger = logging.getLogger(__name__)

EVICT_SHARE = 0.02
"""How much of a full box is emptied at once, so that a storm does not evict at every row."""
LOSSES_PER_REPORT = 100
REPORT_BYTES = 16_384
"""What a report of so many losses takes at most."""
LOSSES_KEPT = 1_000
_LARGEST_SEQUENCE = 2**63 - 1
"""SQLite's largest integer; a receipt may say anything."""
_RANK: dict[Priority, int] = {name: rank for rank, name in enumerate(PRIORITIES)}


class PendingRow(NamedTuple):
    """A row on its way to a sink."""

    id: int
    priority: Priority
    epoch: str
    sequence: int
    topic: str | None
    body: bytes


class Stats(NamedTuple):
    """How full the box is."""

    rows: int
    bytes: int
    oldest: float | None
    """When the oldest row was written, seconds since 1970."""
    lost: int
    """Rows given up before the hub had them, as far back as this database remembers."""
    dead_letters: int


class Outbox:
    """What waits, and what is remembered, in the agent's database."""

    def __init__(
        self,
        path: Path,
        gateway: str,
        limits: OutboxLimits,
        *,
        to_hub: bool,
        dead_letters: int = 1_000,
        settled_keys: int = 1_024,
    ) -> None:
        self.gateway, self.limits = gateway, limits
        self._settled_keys = settled_keys
        self.epoch = secrets.token_hex(6)
        self._to_hub, self._dead_letters = to_hub, dead_letters
        self.database = Database(path, limits.max_bytes)
        self._conn = self.database.connection
        self._next: dict[Priority, int] = dict.fromkeys(PRIORITIES, 1)
        self._number = self.database.number("SELECT coalesce(max(number), 0) FROM settled")
        self._rows = self._bytes = 0
        self.refresh()

    def close(self) -> None:
        """Close the database; everything committed is on disk."""
        self.database.close()

    def refresh(self) -> None:
        """Count rows again, since other processes write too."""
        self._rows, self._bytes = self.database.select("SELECT count(*), coalesce(sum(length(body)), 0) FROM outbox")[0]

    # ---------------------------------------------------------------- commit

    def commit(self, effects: Effects, now: float) -> None:
        """Make everything a batch caused durable, in one transaction.

        Raises:
            OutboxError: nothing was committed.
        """
        with self._transaction("commit a batch"):
            for alert in effects.alerts:
                body = messages.to_bytes(alert)
                topic = topics.device_alert(self.gateway, alert.device, alert.kind)
                self._append("alerts", body, now, topic=topic)
                self._conn.execute("INSERT INTO history (body) VALUES (?)", (body,))
            if effects.alerts:
                self._trim("history", self.limits.history_rows)
            self._conn.executemany(
                "INSERT OR REPLACE INTO alert_state (profile, device, kind, body) VALUES (?, ?, ?, ?)",
                [row for row in effects.states if row.body],
            )
            self._conn.executemany(
                "DELETE FROM alert_state WHERE profile = ? AND device = ? AND kind = ?",
                [row[:3] for row in effects.states if not row.body],
            )
            if effects.dead_letters:
                dead_letters.keep(self._conn, effects.dead_letters, self._dead_letters)
            for report in effects.reports:
                self._append("reports", messages.to_bytes(report), now)
            for samples in effects.samples:
                self._append("samples", messages.to_bytes(samples), now)
            self._remember(effects.settled)

    def _append(self, priority: Priority, body: bytes, now: float, *, topic: str | None = None) -> int:
        self._make_room(len(body))
        return self._insert(priority, body, now, topic=topic)

    def _insert(self, priority: Priority, body: bytes, now: float, *, topic: str | None = None) -> int:
        sequence = self._next[priority]
        cursor = self._conn.execute(
            "INSERT INTO outbox (priority, epoch, sequence, written, topic, body, local_done, hub_done) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (_RANK[priority], self.epoch, sequence, now, topic, body, topic is None, not self._to_hub),
        )
        self._next[priority] = sequence + 1
        self._rows += 1
        self._bytes += len(body)
        return int(cursor.lastrowid or 0)

    def _remember(self, keys: Sequence[SettledKey]) -> None:
        """Keep the newest keys: a broker sends again no more than it may have in flight."""
        if not keys:
            return
        first = self._number + 1
        self._number += len(keys)
        self._conn.executemany(
            "INSERT OR REPLACE INTO settled (packet_id, digest, number) VALUES (?, ?, ?)",
            [(*key, number) for number, key in enumerate(keys, first)],
        )
        self._conn.execute("DELETE FROM settled WHERE number <= ?", (self._number - self._settled_keys,))

    def _trim(self, table: str, keep: int) -> None:
        self._conn.execute(f"DELETE FROM {table} WHERE id <= (SELECT max(id) FROM {table}) - ?", (keep,))

    def _make_room(self, body_bytes: int) -> bool:
        """At the limit, give up the oldest rows of the least important class and declare what was undelivered.

        Returns whether it was at the limit.
        """
        if self._rows + 1 <= self.limits.max_rows and self._bytes + body_bytes <= self.limits.max_bytes:
            return False
        rows_to_go = max(1, int(self._rows * EVICT_SHARE))
        bytes_to_go = self._bytes + body_bytes - self.limits.max_bytes
        victims = self._conn.execute(
            "SELECT id, priority, epoch, sequence, hub_done, length(body) FROM outbox "
            "ORDER BY priority DESC, id LIMIT ?",
            (max(rows_to_go, 1_000 if bytes_to_go > 0 else rows_to_go),),
        ).fetchall()
        for row_id, rank, epoch, sequence, hub_done, size in victims:
            if rows_to_go <= 0 and bytes_to_go <= 0:
                break
            self._conn.execute("DELETE FROM outbox WHERE id = ?", (row_id,))
            # what this row itself declared must be declared by another
            self._conn.execute("UPDATE loss SET reported_by = NULL WHERE reported_by = ?", (row_id,))
            if not hub_done:
                self._declare(rank, epoch, sequence, reason="outbox full")
            rows_to_go, bytes_to_go = rows_to_go - 1, bytes_to_go - size
            self._rows, self._bytes = self._rows - 1, self._bytes - size
        return True

    def _declare(self, rank: int, epoch: str, sequence: int, *, reason: str) -> None:
        grown = self._conn.execute(
            "UPDATE loss SET last = last + 1 "
            "WHERE priority = ? AND epoch = ? AND last = ? AND reason = ? AND reported_by IS NULL",
            (rank, epoch, sequence - 1, reason),
        )
        if grown.rowcount == 0:
            self._conn.execute(
                "INSERT INTO loss (priority, epoch, first, last, reason) VALUES (?, ?, ?, ?, ?)",
                (rank, epoch, sequence, sequence, reason),
            )

    # -------------------------------------------------------------- delivery

    def pending_local(self, limit: int) -> list[PendingRow]:
        """The oldest alert events that the devices' broker does not have yet."""
        return self._pending("local_done = 0 ORDER BY id", limit)

    def pending_hub(self, limit: int) -> list[PendingRow]:
        """The oldest rows that the hub has not receipted, alerts first."""
        return self._pending("hub_done = 0 ORDER BY priority, id", limit)

    def _pending(self, where: str, limit: int) -> list[PendingRow]:
        rows = self.database.select(
            f"SELECT id, priority, epoch, sequence, topic, body FROM outbox WHERE {where} LIMIT ?", (limit,)
        )
        return [PendingRow(r[0], PRIORITIES[r[1]], *r[2:]) for r in rows]

    def local_done(self, ids: Sequence[int]) -> None:
        """The devices' broker has these rows."""
        with self._transaction("note what the devices' broker has"):
            self._conn.executemany("UPDATE outbox SET local_done = 1 WHERE id = ?", [(i,) for i in ids])
            self._delete_done()

    def apply(self, receipt: Receipt) -> int:
        """Delete what the hub has committed and no other sink waits for; return how many rows the hub newly has."""
        receipted = 0
        with self._transaction("apply a receipt"):
            for done in receipt.committed:
                key = (_RANK[done.priority], done.epoch)
                receipted += self._conn.execute(
                    "UPDATE outbox SET hub_done = 1 "
                    "WHERE priority = ? AND epoch = ? AND sequence <= ? AND hub_done = 0",
                    (*key, min(max(done.through, 0), _LARGEST_SEQUENCE)),
                ).rowcount
                receipted += self._conn.executemany(
                    "UPDATE outbox SET hub_done = 1 WHERE priority = ? AND epoch = ? AND sequence = ? AND hub_done = 0",
                    [(*key, sequence) for sequence in done.also if 0 < sequence <= _LARGEST_SEQUENCE],
                ).rowcount
            self._delete_done()
        return receipted

    def _delete_done(self) -> None:
        done = "FROM outbox WHERE local_done = 1 AND hub_done = 1"
        rows, size = self._conn.execute(f"SELECT count(*), coalesce(sum(length(body)), 0) {done}").fetchone()
        if rows:
            # a declared loss has reached the hub with the report that carried it; the newest are kept for the operator
            self._conn.execute(f"UPDATE loss SET reported_by = 0 WHERE reported_by IN (SELECT id {done})")
            self._conn.execute(
                "DELETE FROM loss WHERE reported_by = 0 AND rowid <= (SELECT max(rowid) FROM loss) - ?", (LOSSES_KEPT,)
            )
            self._conn.execute(f"DELETE {done}")
            self._rows, self._bytes = self._rows - rows, self._bytes - size

    def declare_losses(self, now: float) -> None:
        """Put losses that no report carries yet into reports; a box too full for all of them takes the rest later."""
        while self.database.select("SELECT 1 FROM loss WHERE reported_by IS NULL LIMIT 1"):
            with self._transaction("declare losses"):
                # First make room: that may add to what this report must declare.
                full = self._make_room(REPORT_BYTES)
                unreported = self.database.select(
                    "SELECT rowid, priority, epoch, first, last, reason FROM loss WHERE reported_by IS NULL LIMIT ?",
                    (LOSSES_PER_REPORT,),
                )
                losses = tuple(DeclaredLoss(PRIORITIES[row[1]], *row[2:]) for row in unreported)
                report = self._insert("reports", messages.to_bytes(Report(now, losses)), now)
                self._conn.executemany(
                    "UPDATE loss SET reported_by = ? WHERE rowid = ?", [(report, row[0]) for row in unreported]
                )
            if full:
                return

    # ------------------------------------------------------ what is remembered

    def settled_keys(self) -> list[SettledKey]:
        """What redeliveries of the newest committed batches would look like."""
        return [
            SettledKey(*row) for row in self.database.select("SELECT packet_id, digest FROM settled ORDER BY number")
        ]

    def alert_states(self) -> list[AlertStateRow]:
        """The state of every device's alerts."""
        return [
            AlertStateRow(*row) for row in self.database.select("SELECT profile, device, kind, body FROM alert_state")
        ]

    def filters(self) -> list[str]:
        """The topic filters last subscribed."""
        return [row[0] for row in self.database.select("SELECT filter FROM subscription")]

    def set_filters(self, filters: Sequence[str]) -> None:
        """Remember the topic filters subscribed now."""
        if sorted(filters) == sorted(self.filters()):
            return
        with self._transaction("remember the subscription"):
            self._conn.execute("DELETE FROM subscription")
            self._conn.executemany("INSERT INTO subscription (filter) VALUES (?)", [(f,) for f in filters])

    def history(self, limit: int) -> list[Alert]:
        """The newest alert events, newest first."""
        rows = self.database.select("SELECT body FROM history ORDER BY id DESC LIMIT ?", (limit,))
        return [messages.from_bytes(Alert, row[0]) for row in rows]

    def dead_letters(self, limit: int) -> list[DeadLetterRow]:
        """The newest dead letters, newest first."""
        return dead_letters.newest(self.database, limit)

    def stats(self) -> Stats:
        """How full the box is."""
        self.refresh()
        oldest = self.database.select("SELECT min(written) FROM outbox")[0][0]
        lost = self.database.number("SELECT coalesce(sum(last - first + 1), 0) FROM loss")
        return Stats(self._rows, self._bytes, oldest, lost, self.database.number("SELECT count(*) FROM dead_letter"))

    def has_rows_of(self, epoch: str) -> tuple[int, int]:
        """(rows the devices' broker lacks, rows the hub has not receipted) of one epoch."""
        rows = self.database.select(
            "SELECT coalesce(sum(local_done = 0), 0), coalesce(sum(hub_done = 0), 0) FROM outbox WHERE epoch = ?",
            (epoch,),
        )
        return int(rows[0][0]), int(rows[0][1])

    @contextmanager
    def _transaction(self, what: str) -> Iterator[None]:
        """All or nothing, in memory too: a failed transaction leaves counters and sequences as they were."""
        before = dict(self._next), self._rows, self._bytes, self._number
        try:
            with self.database.transaction(what):
                yield
        except BaseException:
            self._next, self._rows, self._bytes, self._number = before
            raise
