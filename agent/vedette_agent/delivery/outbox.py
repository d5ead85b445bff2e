"""Outbox: what must not be lost, in SQLite, until every sink has it.

One transaction commits what a batch of readings caused: alert events, the state of the alerts behind them, dead
letters, and what a redelivery of its messages would look like. A row's id is gateway / epoch / class / sequence: the
epoch is new and random at every start, so that a restored or cloned database cannot reuse ids, and the sequence is
one per class and has no gaps but declared ones.

The box is bounded (`eviction`): at the limit the oldest rows of the least important class make room, storms of alerts
are put together, and what is given up undelivered becomes a declared loss, which the hub is told. A database that turns
out to be damaged is moved aside and replaced by an empty one, which is declared as well.
"""

from __future__ import annotations

import logging
import secrets
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, TypeVar

import msgspec

from vedette_agent.clock import SYSTEM, Clock
from vedette_agent.delivery import dead_letters, losses, quarantine
from vedette_agent.delivery.database import DamagedError, Database, FullError, OutboxError, room, set_aside
from vedette_agent.delivery.disk_room import DiskRoom, Reserve
from vedette_agent.delivery.eviction import SHARE, Eviction, Fill
from vedette_agent.delivery.fill_rate import FillRate
from vedette_agent.delivery.rows import PendingRow, Stats
from vedette_agent.delivery.settled_keys import SettledKeys
from vedette_agent.mqtt.message import SettledKey
from vedette_agent.reading.effects import AlertStateRow, DeadLetterRow, Effects
from vedette_models import messages, topics
from vedette_models.messages import PRIORITIES, Alert, Damage, MessageError, Priority, Receipt

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from vedette_agent.config import OutboxLimits

logger = logging.getLogger(__name__)

_LARGEST_SEQUENCE = 2**63 - 1
"""SQLite's largest integer; a receipt may say anything."""
_RANK: dict[Priority, int] = {name: rank for rank, name in enumerate(PRIORITIES)}


_T = TypeVar("_T")
_Rank = Annotated[int, msgspec.Meta(ge=0, lt=len(PRIORITIES))]
_PENDING = list[tuple[int, _Rank, str, int, str | None, bytes]]


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
        owner: bool = False,
        clock: Clock = SYSTEM,
    ) -> None:
        """Open the box; its `owner` is the one agent that works with it, and replaces it when it is damaged.

        Raises:
            OutboxError: it cannot be opened.
        """
        self.gateway, self.limits = gateway, limits
        self._settled = SettledKeys(settled_keys)
        self.epoch = secrets.token_hex(6)
        self._to_hub, self._dead_letters, self._owner, self._clock = to_hub, dead_letters, owner, clock
        self.replaced = 0
        """How often a damaged database was replaced by an empty one, since the agent started."""
        self._fill, self._rate = Fill(), FillRate(clock.uptime())
        self._next: dict[Priority, int] = dict.fromkeys(PRIORITIES, 1)
        size = room(limits.max_rows, limits.max_bytes)
        damage: str | None = None
        if owner:
            Reserve(path).open_the_way(path)
        try:
            self.database = Database(path, size)
        except DamagedError as error:
            if not owner:
                raise
            damage = str(error)
            set_aside(path, clock.now())
            self.database = Database(path, size)
        self.disk = DiskRoom(self.database)
        try:
            with self._guarded():
                self._start()
        except DamagedError:
            if not owner:
                raise  # else it is replaced by now
        if owner and damage is None and not self.replaced and quarantine.found(path) and not self._knows_damage():
            damage = "a damaged database was set aside, and the agent ended before it could note that"
        if damage is not None:
            self._note_damage(damage, ())

    def _knows_damage(self) -> bool:
        """Whether the database that took the place of a damaged one says so; the newest such notes are kept."""
        return self.database.number("SELECT count(*) FROM damage") > 0

    def _start(self) -> None:
        """Begin with what the database holds."""
        self._eviction = Eviction(self.database, self.limits, self._fill)
        self._next = dict.fromkeys(PRIORITIES, 1)
        self._settled.start(self.database)
        self._handed_out = 0
        """Alerts up to this row may have been sent by this run; those of an earlier one always may."""
        self._seen = -1
        self.refresh()
        if self._owner:  # damage shows now rather than later
            for table in ("alert_state", "settled", "subscription", "loss", "damage", "request"):
                self.database.read_through(f"SELECT * FROM {table}")

    @property
    def keys_kept(self) -> bool:
        """Whether any settled key is kept."""
        return self._settled.kept

    @property
    def _conn(self) -> sqlite3.Connection:
        return self.database.connection

    def close(self) -> None:
        """Close the database; everything committed is on disk."""
        if self._owner and self.limits.preallocate:
            self.disk.before_close()
        self.database.close()

    def refresh(self) -> None:
        """Count rows again where other processes have written too."""
        seen = self.database.changed_elsewhere()
        if seen != self._seen:
            ((rows, size),) = self.database.select("SELECT count(*), coalesce(sum(length(body)), 0) FROM outbox")
            self._fill.rows, self._fill.bytes, self._seen = int(rows), int(size), seen

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
            self._settled.remember(self._conn, effects.settled, effects.passed)

    def _append(self, priority: Priority, body: bytes, now: float, *, topic: str | None = None) -> int:
        self._eviction.make_room(len(body), self.epoch, self._handed_out)
        if self._to_hub:
            self._rate.add(1, len(body), self._clock.uptime())
        return self._insert(priority, body, now, topic=topic)

    def _insert(self, priority: Priority, body: bytes, now: float, *, topic: str | None = None) -> int:
        sequence = self._next[priority]
        cursor = self._conn.execute(
            "INSERT INTO outbox (priority, epoch, sequence, written, topic, body, local_done, hub_done) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (_RANK[priority], self.epoch, sequence, now, topic, body, topic is None, not self._to_hub),
        )
        self._next[priority] = sequence + 1
        self._fill.rows += 1
        self._fill.bytes += len(body)
        return int(cursor.lastrowid or 0)

    def _trim(self, table: str, keep: int) -> None:
        self._conn.execute(f"DELETE FROM {table} WHERE id <= (SELECT max(id) FROM {table}) - ?", (keep,))

    # -------------------------------------------------------------- delivery

    def pending_local(self, limit: int) -> list[PendingRow]:
        """The oldest alert events that the devices' broker does not have yet."""
        return self._pending("local_done = 0 ORDER BY id", limit)

    def pending_hub(self, limit: int) -> list[PendingRow]:
        """The oldest rows that the hub has not receipted, alerts first; they count as sent from now on."""
        rows = self._pending("hub_done = 0 ORDER BY priority, id", limit)
        self._handed_out = max([self._handed_out, *(row.id for row in rows if row.priority == "alerts")])
        return rows

    def _pending(self, where: str, limit: int) -> list[PendingRow]:
        rows = self._checked(
            f"SELECT id, priority, epoch, sequence, topic, body FROM outbox WHERE {where} LIMIT ?", _PENDING, (limit,)
        )
        return [PendingRow(r[0], PRIORITIES[r[1]], *r[2:]) for r in rows]

    def _checked(self, statement: str, kind: type[_T], parameters: Sequence[object] = ()) -> _T:
        """Rows of the types they must have: a bit that has flipped may make another type of what it stands in."""
        with self._guarded():
            rows = self.database.select(statement, parameters)
            try:
                return msgspec.convert(rows, kind)
            except msgspec.ValidationError as error:
                raise self.database.damaged("read", error) from error

    def take_unpublished(self) -> set[str]:
        """Topics on which the devices' broker has missed an alert event since the last call: it was given up."""
        taken, self._fill.unpublished = self._fill.unpublished, set()
        return taken

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
            losses.arrived(self._conn, f"SELECT id {done}")
            self._conn.execute(f"DELETE {done}")
            self._fill.rows, self._fill.bytes = self._fill.rows - rows, self._fill.bytes - size

    def declare_losses(self, now: float) -> None:
        """Put losses that no report carries yet into reports; a box too full for all of them takes the rest later."""
        while self._losses_wait():
            with self._transaction("declare losses"):
                # First make room: that may add to what this report must declare.
                full = self._eviction.make_room(losses.REPORT_BYTES, self.epoch, self._handed_out)
                report, rows = losses.next_report(self.database, now, int(self._clock.quality()))
                losses.reported(self._conn, rows, self._insert("reports", messages.to_bytes(report), now))
            if full:
                return

    def _losses_wait(self) -> bool:
        with self._guarded():
            return losses.waiting(self.database)

    # ------------------------------------------------------ what is remembered

    def settled_keys(self) -> list[SettledKey]:
        """What redeliveries of the newest committed batches would look like."""
        rows = self._checked("SELECT packet_id, digest FROM settled ORDER BY number", list[tuple[int, bytes]])
        return [SettledKey(*row) for row in rows]

    def alert_states(self) -> list[AlertStateRow]:
        """The state of every device's alerts."""
        rows = self._checked("SELECT profile, device, kind, body FROM alert_state", list[tuple[str, str, str, bytes]])
        return [AlertStateRow(*row) for row in rows]

    def filters(self) -> list[str]:
        """The topic filters last subscribed."""
        return [row[0] for row in self._checked("SELECT filter FROM subscription", list[tuple[str]])]

    def set_filters(self, filters: Sequence[str]) -> None:
        """Remember the topic filters subscribed now."""
        if sorted(filters) == sorted(self.filters()):
            return
        with self._transaction("remember the subscription"):
            self._conn.execute("DELETE FROM subscription")
            self._conn.executemany("INSERT INTO subscription (filter) VALUES (?)", [(f,) for f in filters])

    def history(self, limit: int) -> list[Alert]:
        """The newest alert events, newest first."""
        rows = self._checked("SELECT body FROM history ORDER BY id DESC LIMIT ?", list[tuple[bytes]], (limit,))
        return [alert for (body,) in rows if (alert := _alert(body)) is not None]

    def dead_letters(self, limit: int) -> list[DeadLetterRow]:
        """The newest dead letters, newest first."""
        with self._guarded():
            return dead_letters.newest(self.database, limit)

    def stats(self) -> Stats:
        """How full the box is, and how long it will last."""
        with self._guarded():
            self.refresh()
            oldest = self.database.select("SELECT written FROM outbox ORDER BY id LIMIT 1")
            lost = self.database.number("SELECT coalesce(sum(last - first + 1), 0) FROM loss")
            dead = self.database.number("SELECT count(*) FROM dead_letter")
        fill, limits = self._fill, self.limits
        room_left = limits.max_rows - fill.rows, limits.max_bytes - fill.bytes
        seconds = self._rate.seconds_left(*room_left, self._clock.uptime())
        return Stats(
            fill.rows,
            fill.bytes,
            float(oldest[0][0]) if oldest else None,
            lost,
            dead,
            None if seconds is None else seconds / 3600,
            fill.coalesced,
            tuple(path.name for path in quarantine.found(self.database.path)),
        )

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
        before = dict(self._next), self._fill.rows, self._fill.bytes, self._fill.coalesced, self._settled.number
        with self._guarded():
            try:
                with self.database.transaction(what):
                    yield
            except BaseException:
                self._next, self._fill.rows, self._fill.bytes, self._fill.coalesced, self._settled.number = before
                raise

    # ---------------------------------------------------- what is wrong with the disk

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        """Help where we can: what failed is tried again by whoever asked for it."""
        try:
            yield
        except OutboxError as error:
            if self._owner and not error.dealt_with:
                error.dealt_with = True
                if isinstance(error, DamagedError):
                    self._replace(str(error))
                elif isinstance(error, FullError):
                    self._make_way()
            raise
        except (TypeError, ValueError, IndexError) as error:
            # Our mistake; or what was read is not what was written.
            if not self._owner or self.database.whole():
                raise
            self._replace(f"{self.database.path}: {error}")
            damaged = self.database.damaged("use", error)
            damaged.dealt_with = True
            raise damaged from error

    def _replace(self, reason: str) -> None:
        """Go on with an empty database under a new epoch, and declare what was lost with the damaged one."""
        logger.error("%s; it is moved aside, and an empty one takes its place", reason)
        epochs = losses.known_epochs(self._next, self.epoch)
        self.database.replace(self._clock.now())
        self.epoch = secrets.token_hex(6)
        self._start()
        self._note_damage(reason, epochs)
        self.disk.complete = False
        if self.limits.preallocate:
            self.disk.prepare()

    def _note_damage(self, reason: str, epochs: Sequence[str]) -> None:
        self.replaced += 1
        now = self._clock.now()
        with self.database.transaction("declare a damaged database") as connection:
            losses.declare_damage(connection, Damage(now, reason, self.epoch, tuple(epochs)))

    def _make_way(self) -> None:
        """There is no room: on the disk, or, against all expectation, in the file."""
        if self.disk.give_way():
            return
        if self.database.number("PRAGMA freelist_count") == 0 and self._fill.rows:
            logger.error("%s: has no pages left; the least important rows are given up", self.database.path)
            rows = min(int(self._fill.rows * (1 - SHARE)), self._fill.rows - 1)
            before = self._fill.rows, self._fill.bytes, self._fill.coalesced
            try:
                with self.database.transaction("make room"):
                    self._eviction.shrink(rows, self.limits.max_bytes, self.epoch, self._handed_out)
            except BaseException:
                self._fill.rows, self._fill.bytes, self._fill.coalesced = before
                raise


def _alert(body: bytes) -> Alert | None:
    try:
        return messages.from_bytes(Alert, body)
    except MessageError:
        return None
