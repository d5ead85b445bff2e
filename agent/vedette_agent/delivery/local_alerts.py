"""LocalAlerts: outbox → retained alert topics on the devices' broker.

A topic holds the newest revision while an alert is open and is empty otherwise. What the broker retains is reconciled
at every connect: alerts that are open are published again, topics of alerts that are not are cleared.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from vedette_agent.delivery.database import OutboxError
from vedette_agent.mqtt.connection import Connection
from vedette_agent.mqtt.transport import NotConnected
from vedette_models import messages, topics
from vedette_models.messages import Alert

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from vedette_agent.delivery.database_thread import DatabaseThread
    from vedette_agent.delivery.outbox import Outbox
    from vedette_agent.delivery.rows import PendingRow

logger = logging.getLogger(__name__)

AT_ONCE = 100
RETRY = 2.0


class LocalAlerts:
    """Publishes alert events where devices and local displays can see them."""

    def __init__(
        self,
        gateway: str,
        outbox: Outbox,
        database: DatabaseThread,
        connection: Connection,
        open_alerts: Callable[[], Sequence[Alert]],
    ) -> None:
        self.gateway, self._connection = gateway, connection
        self._outbox, self._database = outbox, database
        self._open_alerts = open_alerts
        self._wake = asyncio.Event()
        self._reconcile = False
        self._foreign: set[str] = set()
        """Retained alert topics the broker has shown us since it was connected."""
        self._missed: set[str] = set()
        """Alert topics on which it has missed an event, because that was given up."""

    def wake(self) -> None:
        """There may be something to publish."""
        self._wake.set()

    def connected(self) -> None:
        """Reconcile what the broker retains."""
        self._reconcile = True
        self._wake.set()

    def retained(self, topic: str) -> None:
        """The broker retains an alert on this topic."""
        self._foreign.add(topic)
        self._wake.set()

    async def run(self) -> None:
        """Publish until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            if not self._connection.up:
                continue
            try:
                while rows := await self._database(self._outbox.pending_local, AT_ONCE):
                    await self._publish(rows)
                await self._settle()
            except NotConnected as error:
                logger.debug("local alerts: %s", error)
                if self._connection.up:  # refused, not gone: try again later
                    await asyncio.sleep(RETRY)
                    self._wake.set()
            except OutboxError as error:
                # what waits is still there; a disk that is full now may have room later
                logger.error("local alerts: %s", error)
                await asyncio.sleep(RETRY)
                self._wake.set()

    async def _publish(self, rows: Sequence[PendingRow]) -> None:
        """One connection keeps the order, so all may be on their way at once."""
        published = []
        for row in rows:
            payload = row.body if _is_active(row) else b""
            published.append(self._connection.publish(row.topic or "", payload, retain=True))
        await asyncio.gather(*published)
        await self._database(self._outbox.local_done, [row.id for row in rows])

    async def _settle(self) -> None:
        self._missed |= await self._database(self._outbox.take_unpublished)
        open_alerts = {topics.device_alert(self.gateway, a.device, a.kind): a for a in self._open_alerts()}
        foreign, self._foreign = self._foreign, set()
        for topic in sorted((foreign | self._missed) - open_alerts.keys()):
            logger.info("clearing %s: no such alert is open", topic)
            await self._connection.publish(topic, b"", retain=True)
        everything, self._reconcile = self._reconcile, False
        for topic, alert in open_alerts.items():
            if everything or topic in self._missed:
                await self._connection.publish(topic, messages.to_bytes(alert), retain=True)
        self._missed = set()


def _is_active(row: PendingRow) -> bool:
    try:
        return messages.from_bytes(Alert, row.body).state == "active"
    except messages.MessageError as error:  # written by a newer agent; it must not hold up the others
        logger.warning("local alerts: %s/%d is left out: %s", row.epoch, row.sequence, error)
        return False
