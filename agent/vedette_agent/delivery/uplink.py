"""Uplink: outbox → hub over MQTT; receipts back.

Rows go up until the hub says that it has committed them; a PUBACK means nothing, since a broker is not the system of
record. After a silence they are sent again, less and less often while the hub does not answer.
"""

from __future__ import annotations

import asyncio
import logging
from itertools import groupby
from typing import TYPE_CHECKING, Protocol

import msgspec

from vedette_agent.clock import SYSTEM, Clock
from vedette_agent.delivery.database import OutboxError
from vedette_agent.mqtt.connection import Connection
from vedette_agent.mqtt.transport import NotConnected, Will
from vedette_models import messages, topics
from vedette_models.messages import Delivery, MessageError, Receipt, Row

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from vedette_agent.config import Broker
    from vedette_agent.delivery.database_thread import DatabaseThread
    from vedette_agent.delivery.outbox import Outbox
    from vedette_agent.delivery.rows import PendingRow, RowKey
    from vedette_agent.mqtt.message import Message

logger = logging.getLogger(__name__)

WINDOW = 1_000
"""Rows on their way at once."""
ROWS_PER_DELIVERY = 100
BYTES_PER_DELIVERY = messages.MAX_BYTES // 2
RESEND_FIRST, RESEND_LONGEST = 15.0, 600.0
DATABASE_RETRY = 5.0
RECEIPTS_WAITING = 1_000
"""Receipts kept until they are applied; what is dropped comes again after a resend."""


class Updates(Protocol):
    """Who else listens on the hub's connection."""

    def topics(self) -> list[str]:
        """What to subscribe to at every connect."""

    def connected(self) -> None:
        """The hub's broker has granted that."""

    def received(self, topic: str, payload: bytes) -> bool:
        """A message: True if it was for them."""


def deliveries(rows: Sequence[PendingRow]) -> Iterator[tuple[str, Delivery]]:
    """(class, message) pairs that carry these rows in their order, each within the limits of a message."""
    for priority, group in groupby(rows, key=lambda row: row.priority):
        part: list[Row] = []
        size = 0
        for row in group:
            if part and (len(part) >= ROWS_PER_DELIVERY or size + len(row.body) > BYTES_PER_DELIVERY):
                yield priority, Delivery(tuple(part))
                part, size = [], 0
            part.append(Row(row.epoch, row.sequence, msgspec.Raw(row.body)))
            size += len(row.body)
        if part:
            yield priority, Delivery(tuple(part))


class Uplink:
    """The hub's broker."""

    def __init__(
        self,
        broker: Broker,
        gateway: str,
        outbox: Outbox,
        database: DatabaseThread,
        *,
        will: Will,
        on_connected: Callable[[], None],
        updates: Updates | None = None,
        live: Updates | None = None,
        clock: Clock = SYSTEM,
    ) -> None:
        self.gateway, self._clock = gateway, clock
        self.connection = Connection("hub", broker, self, will, clock=clock)
        self._outbox, self._database = outbox, database
        self._on_connected, self._updates, self._live = on_connected, updates, live
        self._wake = asyncio.Event()
        self._sent: dict[RowKey, float] = {}
        """When each row on its way was sent last; a database that replaces a damaged one begins its ids anew."""
        self._receipts: list[Receipt] = []
        self._resend = RESEND_FIRST
        self.last_receipt: float | None = None
        """When the hub last receipted something, seconds since 1970."""

    def wake(self) -> None:
        """There may be something to send."""
        self._wake.set()

    async def run(self) -> None:
        """Deliver until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.connection.run(), name="hub connection")
            group.create_task(self._deliver(), name="uplink")

    async def _deliver(self) -> None:
        while True:
            try:
                async with asyncio.timeout(RESEND_FIRST / 3):
                    await self._wake.wait()
            except TimeoutError:
                pass
            self._wake.clear()
            try:
                await self._apply_receipts()
                if self.connection.up:
                    await self._send_due()
            except NotConnected as error:
                logger.debug("uplink: %s", error)
            except OutboxError as error:
                # what waits is still there; a disk that is full now may have room later
                logger.error("uplink: %s", error)
                await asyncio.sleep(DATABASE_RETRY)

    async def _apply_receipts(self) -> None:
        taken = self._receipts[:]
        if not taken:
            return
        merged = Receipt(tuple(done for receipt in taken for done in receipt.committed))
        newly = await self._database(self._outbox.apply, merged)
        del self._receipts[: len(taken)]
        if newly:
            self.last_receipt = self._clock.now()
            self._resend = RESEND_FIRST
            self._wake.set()

    async def _send_due(self) -> None:
        now = self._clock.uptime()
        try:
            await self._database(self._outbox.declare_losses, self._clock.now())
        except OutboxError as error:
            # Delivery must go on: what is receipted makes the room that the report needs.
            logger.error("uplink: %s", error)
        rows = await self._database(self._outbox.pending_hub, WINDOW)
        self._sent = {row.key: self._sent[row.key] for row in rows if row.key in self._sent}
        due = [row for row in rows if now - self._sent.get(row.key, float("-inf")) > self._resend]
        if any(row.key in self._sent for row in due):
            self._resend = min(2 * self._resend, RESEND_LONGEST)
            logger.warning(
                "hub: %d rows without a receipt are sent again; is the hub running? (next try after %.0f s)",
                len(due),
                self._resend,
            )
        for priority, delivery in deliveries(due):
            topic = topics.gateway_up(self.gateway, priority)
            await self.connection.publish(topic, messages.to_bytes(delivery))
        sent = self._clock.uptime()
        self._sent.update((row.key, sent) for row in due)

    # ---------------------------------------------------------- connection's listener

    def connected(self, session_present: bool) -> None:
        """Listen for receipts, and send again what has none."""
        self._sent.clear()
        self._resend = RESEND_FIRST
        self._subscribing = asyncio.get_running_loop().create_task(self._subscribe(), name="subscribe to receipts")

    async def _subscribe(self) -> None:
        try:
            await self.connection.subscribe([topics.gateway_down(self.gateway, "receipts")])
            if self._updates is not None:
                await self.connection.subscribe(self._updates.topics(), retained_always=True)
        except NotConnected as error:
            if self.connection.up:  # refused; when it is gone, it knows better why
                logger.error("%s", error)
                self.connection.problem = str(error)
            return
        self._on_connected()
        if self._updates is not None:
            self._updates.connected()
        self._wake.set()
        if self._live is not None:
            try:
                await self.connection.subscribe(self._live.topics())
            except NotConnected as error:
                logger.info("hub: nobody can look at readings as they come: %s", error)

    def disconnected(self) -> None:
        """What was on its way may be lost: it is sent again."""

    def received(self, message: Message) -> None:
        """A receipt."""
        if message.packet_id:
            self.connection.acknowledge([message.packet_id], self.connection.generation)
        for other in (self._updates, self._live):
            if other is not None and other.received(message.topic, message.payload):
                return
        try:
            receipt = messages.from_bytes(Receipt, message.payload)
        except MessageError as error:
            logger.warning("hub: unusable message on %s: %s", message.topic, error)
            return
        if len(self._receipts) < RECEIPTS_WAITING:
            self._receipts.append(receipt)
        self._wake.set()

    def drained(self) -> None:
        """Nothing to do: receipts are applied as they come."""
