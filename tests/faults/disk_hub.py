"""A hub with the real parsing, ledger and store, without a broker between it and an outbox."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import select

from vedette_agent.delivery.outbox import Outbox
from vedette_agent.delivery.rows import PendingRow
from vedette_agent.delivery.uplink import deliveries
from vedette_hub.config import Config
from vedette_hub.fleet import arrivals
from vedette_hub.fleet.commit import commit
from vedette_hub.hub import open_database
from vedette_hub.store import fleet
from vedette_hub.store.database import reading
from vedette_hub.store.schema import alerts, gateways, ledgers, losses
from vedette_models import messages, topics
from vedette_models.messages import Alert, Receipt


class Hub:
    """Takes rows and answers with receipts."""

    def __init__(self, folder: Path, gateway: str = "gw") -> None:
        self.gateway = gateway
        self._config = Config.model_validate({"hub": {"state_dir": str(folder)}})
        self.engine = open_database(self._config)

    def take(self, rows: list[PendingRow], now: float = 1.0) -> list[Receipt]:
        """What it receipts of these rows, after the way over the wire."""
        sent = [(topics.gateway_up(self.gateway, name), messages.to_bytes(one)) for name, one in deliveries(rows)]
        found = [arrival for topic, payload in sent for arrival in arrivals.parse(topic, payload)]
        receipts = commit(self.engine, found, now, self._config.limits).receipts.get(self.gateway, [])
        return [messages.from_bytes(Receipt, messages.to_bytes(receipt)) for receipt in receipts]

    def drain(self, box: Outbox) -> None:
        """Everything that waits, until nothing does."""
        while True:
            box.local_done([row.id for row in box.pending_local(1_000)])
            box.declare_losses(1.0)
            if not (rows := box.pending_hub(1_000)):
                return
            for receipt in self.take(rows):
                box.apply(receipt)

    def events(self) -> dict[str, Alert]:
        """The newest event of every alert, by id."""
        with reading(self.engine) as connection:
            found = connection.execute(select(alerts.c.event)).scalars()
            return {event.id: event for event in (messages.from_bytes(Alert, text.encode()) for text in found)}

    def counted(self) -> int:
        """Alerts that it knows of, with those that one stands for."""
        return sum(event.coalesced.alerts if event.coalesced else 1 for event in self.events().values())

    def gaps(self) -> list[tuple[str, str, tuple[tuple[int, int], ...]]]:
        """Ledgers with an unexplained gap: class, epoch, what lies above the gap."""
        with reading(self.engine) as connection:
            keys = {(row.gateway, row.priority, row.epoch) for row in connection.execute(select(ledgers))}
            found = fleet.load_ledgers(connection, keys)
        return [(key[1], key[2], ledger.ranges) for key, ledger in found.items() if ledger.ranges]

    def lost(self) -> int:
        """Rows that were declared lost."""
        with reading(self.engine) as connection:
            return int(connection.execute(select(gateways.c.lost_rows)).scalar() or 0)

    def unknown_losses(self) -> list[tuple[str, str]]:
        """Classes and epochs with a loss of unknown extent, and the reason."""
        with reading(self.engine) as connection:
            rows = connection.execute(select(losses).where(losses.c.reason.like("unknown extent%")))
            return [(row.priority, row.epoch) for row in rows]

    def close(self) -> None:
        """Close its store."""
        self.engine.dispose()
