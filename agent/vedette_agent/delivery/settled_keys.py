"""SettledKeys: what redeliveries of committed messages look like, on disk, for the run after a crash."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from vedette_agent.delivery.database import Database
    from vedette_agent.mqtt.message import SettledKey


class SettledKeys:
    """The newest keys: a broker sends again no more than it may have in flight.

    Messages without a commit count, too. Otherwise a key would outlive a round of packet ids, and then stand for
    another message.
    """

    def __init__(self, keep: int) -> None:
        """`keep`: messages after which a key says nothing any more."""
        self._keep = keep
        self.number = 0
        """Messages so far."""
        self.kept = False
        """Whether any key is kept."""

    def start(self, database: Database) -> None:
        """Go on from what the database holds.

        Raises:
            OutboxError: it cannot be read.
        """
        self.number = database.number("SELECT coalesce(max(number), 0) FROM settled")
        self.kept = self.number > 0
        # As many messages may have passed since the last commit: those who settle them tell at the latest then.
        self.number += self._keep // 2

    def remember(self, connection: sqlite3.Connection, keys: Sequence[SettledKey], passed: int) -> None:
        """Within a transaction: so many messages have passed without a commit, and then these."""
        if not keys and not passed:
            return
        first = self.number + passed + 1
        self.number += passed + len(keys)
        connection.executemany(
            "INSERT OR REPLACE INTO settled (packet_id, digest, number) VALUES (?, ?, ?)",
            [(*key, number) for number, key in enumerate(keys, first)],
        )
        connection.execute("DELETE FROM settled WHERE number <= ?", (self.number - self._keep,))
        self.kept = connection.execute("SELECT 1 FROM settled LIMIT 1").fetchone() is not None
