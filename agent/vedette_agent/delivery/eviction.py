"""Eviction: what a full box gives up, and in which order.

Samples go first, the oldest before the others. Then storms of alerts are put together (`coalesce`), which loses nothing
but detail. Only then go what the hub has and the devices' broker has not, reports, and at last the oldest alerts. What
the hub did not have becomes a declared loss.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from vedette_agent.delivery import losses
from vedette_agent.delivery.coalesce import Waiting, coalesce
from vedette_models import messages
from vedette_models.messages import Alert, MessageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vedette_agent.config import OutboxLimits
    from vedette_agent.delivery.database import Database

SHARE = 0.02
"""How much of a full box is emptied at once, so that a storm does not evict at every row."""
MOST_NAMED = 8_000
"""Ranges of numbers that all coalesced rows of an epoch name together: each may be a gap in the hub's ledger until its
row is there, and the hub remembers 10,000. What would need more is given up and declared.
"""
_ALERTS, _REPORTS, _SAMPLES = range(3)
_ORDER: tuple[tuple[str, tuple[int, ...]], ...] = (
    ("hub_done = 0 AND priority = ? ORDER BY id", (_SAMPLES,)),
    ("", ()),
    ("local_done = 0 AND hub_done = 1 ORDER BY id", ()),
    ("hub_done = 0 AND priority = ? ORDER BY id", (_REPORTS,)),
    ("hub_done = 0 AND priority = ? ORDER BY id", (_ALERTS,)),
)
"""Conditions that an index serves, and their parameters; the empty one stands for coalescing."""


@dataclass
class Fill:
    """How full the box is, and what came of storms."""

    rows: int = 0
    bytes: int = 0
    coalesced: int = 0
    """Rows that were put together with others, since the agent started."""
    unpublished: set[str] = field(default_factory=set)
    """Topics on which the devices' broker has missed an alert event, because it was given up."""


class Eviction:
    """Makes room, within the transaction of whoever needs it."""

    def __init__(self, database: Database, limits: OutboxLimits, fill: Fill) -> None:
        self._database, self._limits, self._fill = database, limits, fill

    def make_room(self, body_bytes: int, epoch: str, sent: int) -> bool:
        """Before a row of so many bytes is added. Rows of another epoch, or up to the id `sent`, may have been sent.

        Returns whether the box was at its limit.
        """
        fill, limits = self._fill, self._limits
        if fill.rows + 1 <= limits.max_rows and fill.bytes + body_bytes <= limits.max_bytes:
            return False
        rows = min(fill.rows - max(1, int(fill.rows * SHARE)), limits.max_rows - 1)
        self.shrink(rows, limits.max_bytes - body_bytes, epoch, sent)
        return True

    def shrink(self, rows: int, size: int, epoch: str, sent: int) -> None:
        """Bring the box down to so many rows and bytes."""
        for condition, parameters in _ORDER:
            if self._fill.rows <= rows and self._fill.bytes <= size:
                return
            if condition:
                self._evict(condition, parameters, rows, size)
            else:
                self._coalesce(epoch, sent)

    def _evict(self, condition: str, parameters: tuple[int, ...], rows: int, size: int) -> None:
        fill, connection = self._fill, self._database.connection
        columns = "id, priority, epoch, sequence, hub_done, local_done, topic, body"
        query = f"SELECT {columns} FROM outbox WHERE {condition} LIMIT 100"
        while fill.rows > rows or fill.bytes > size:
            victims = connection.execute(query, parameters).fetchall()
            if not victims:
                return
            for row_id, rank, epoch, sequence, hub_done, local_done, topic, body in victims:
                if fill.rows <= rows and fill.bytes <= size:
                    return
                connection.execute("DELETE FROM outbox WHERE id = ?", (row_id,))
                if rank == _REPORTS:
                    losses.given_up(connection, row_id)
                if not hub_done:
                    losses.declare(connection, rank, epoch, sequence, reason="outbox full")
                    for first, last in _stood_for(rank, body):
                        losses.declare_range(connection, rank, epoch, first, last, reason="outbox full, coalesced")
                fill.rows, fill.bytes = fill.rows - 1, fill.bytes - len(body)
                if not local_done:
                    fill.unpublished.add(topic)

    def _coalesce(self, epoch: str, sent: int) -> None:
        """Put storms together, one topic after the other: each is one kind of alert on one device."""
        connection = self._database.connection
        unsent = "priority = 0 AND hub_done = 0"
        coalesced = connection.execute(
            f"SELECT id, body FROM outbox WHERE {unsent} AND epoch = ? AND instr(body, '\"coalesced\"')", (epoch,)
        )
        named = {row_id: len(_stood_for(_ALERTS, body)) for row_id, body in coalesced.fetchall()}
        left = MOST_NAMED - sum(named.values())
        storms = connection.execute(f"SELECT topic FROM outbox WHERE {unsent} GROUP BY topic HAVING count(*) > 1")
        for (topic,) in storms.fetchall():
            rows = connection.execute(
                f"SELECT id, sequence, body FROM outbox INDEXED BY outbox_topic "
                f"WHERE topic = ? AND {unsent} AND epoch = ? AND id > ? ORDER BY id",
                (topic, epoch, sent),
            ).fetchall()
            bodies = {row_id: body for row_id, _, body in rows}
            for merged in coalesce(_waiting(rows)):
                names = 0 if merged.alert.coalesced is None else len(merged.alert.coalesced.rows)
                more = names - sum(named.get(row_id, 0) for row_id in (merged.id, *merged.gone))
                if more > left:
                    continue
                left -= more
                body = messages.to_bytes(merged.alert)
                connection.execute("UPDATE outbox SET body = ? WHERE id = ?", (body, merged.id))
                connection.executemany("DELETE FROM outbox WHERE id = ?", [(row_id,) for row_id in merged.gone])
                freed = sum(len(bodies[row_id]) for row_id in (merged.id, *merged.gone)) - len(body)
                self._fill.rows -= len(merged.gone)
                self._fill.bytes -= freed
                self._fill.coalesced += len(merged.gone)


def _waiting(rows: list[tuple[int, int, bytes]]) -> Iterator[Waiting]:
    for row_id, sequence, body in rows:
        try:
            yield Waiting(row_id, sequence, messages.from_bytes(Alert, body))
        except MessageError:
            continue  # the hub will see what it makes of it


def _stood_for(rank: int, body: bytes) -> tuple[tuple[int, int], ...]:
    if rank != _ALERTS or b'"coalesced"' not in body:
        return ()
    try:
        alert = messages.from_bytes(Alert, body)
    except MessageError:
        return ()
    return alert.coalesced.rows if alert.coalesced is not None else ()
