from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.agent.alerts import alert
from tests.agent.hub_simulator import HubSimulator
from tests.agent.mqtt_ends import broker_of, device, until, until_true
from tests.brokers import Mosquitto
from vedette_agent.config.models import OutboxLimits
from vedette_agent.delivery import uplink as uplink_module
from vedette_agent.delivery.database_thread import DatabaseThread
from vedette_agent.delivery.outbox import Outbox
from vedette_agent.delivery.rows import PendingRow
from vedette_agent.delivery.uplink import BYTES_PER_DELIVERY, ROWS_PER_DELIVERY, Uplink, deliveries
from vedette_agent.mqtt.transport import Will
from vedette_agent.reading.effects import Effects
from vedette_models import messages
from vedette_models.messages import Delivery


@pytest.fixture(autouse=True)
def short_silences(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uplink_module, "RESEND_FIRST", 0.3)
    monkeypatch.setattr(uplink_module, "DATABASE_RETRY", 0.05)


class Gateway:
    """An outbox and its uplink."""

    def __init__(self, url: str, folder: Path, gateway: str, **limits: Any) -> None:
        self.gateway = gateway
        self.box = Outbox(folder / "agent.db", gateway, OutboxLimits(**limits), to_hub=True)
        self.database = DatabaseThread()
        self.connects = 0
        self.uplink = Uplink(
            broker_of(url, client_id=gateway), gateway, self.box, self.database, will=Will(f"x/{gateway}", b"lost"),
            on_connected=self._connected,
        )  # fmt: skip
        self._task = asyncio.create_task(self.uplink.run())

    def _connected(self) -> None:
        self.connects += 1

    async def raise_alerts(self, count: int, **changes: Any) -> None:
        """Committed, published locally, and on their way."""
        effects = Effects(alerts=[alert(id=uuid.uuid4().hex, **changes) for _ in range(count)])
        await self.database(self.box.commit, effects, 1.0)
        rows = await self.database(self.box.pending_local, 10_000)
        await self.database(self.box.local_done, [row.id for row in rows])
        self.uplink.wake()

    async def rows(self) -> int:
        return (await self.database(self.box.stats)).rows

    async def emptied(self) -> None:
        """Return when everything is receipted."""

        async def empty() -> bool:
            return await self.rows() == 0

        await until_true(empty)

    async def stop(self) -> None:
        assert not self._task.done(), "the uplink goes on whatever comes"
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self.uplink.connection.close()
        self.database.close()
        self.box.close()


@pytest.fixture
def name() -> str:
    return f"gw-{uuid.uuid4().hex[:8]}"


@contextlib.asynccontextmanager
async def running(url: str, folder: Path, name: str, **limits: Any) -> AsyncIterator[Gateway]:
    gateway = Gateway(url, folder, name, **limits)
    try:
        yield gateway
    finally:
        await gateway.stop()


@pytest.fixture
async def gateway(broker: Mosquitto, tmp_path: Path, name: str) -> AsyncIterator[Gateway]:
    async with running(broker.url, tmp_path, name) as made:
        yield made


@pytest.fixture
def hub(broker: Mosquitto, name: str) -> Iterator[Callable[..., HubSimulator]]:
    """Start hubs."""
    hubs: list[HubSimulator] = []

    def start(**options: Any) -> HubSimulator:
        hubs.append(HubSimulator(broker.port, name, **options))
        return hubs[-1]

    yield start
    for one in hubs:
        one.close()


Start = Callable[..., HubSimulator]


@pytest.mark.parametrize("receipts", [1, 2])
async def test_every_row_is_there_and_leaves_the_box(gateway: Gateway, hub: Start, receipts: int) -> None:
    there = hub(receipts=receipts)
    await until(lambda: there.ready)
    for _ in range(5):
        await gateway.raise_alerts(100)
    await gateway.emptied()
    assert sorted(there.seen) == [("alerts", gateway.box.epoch, n) for n in range(1, 501)]
    assert there.order == sorted(there.order), "in order"
    assert gateway.uplink.last_receipt is not None


async def test_without_receipts_rows_come_again_until_there_is_one(gateway: Gateway, hub: Start) -> None:
    silent = hub(receipts=0)
    await until(lambda: silent.ready)
    await gateway.raise_alerts(3)
    await until(lambda: min(silent.seen.values(), default=0) >= 2, "sent again")
    assert await gateway.rows() == 3
    silent.receipts = 1
    await gateway.emptied()
    assert len(silent.alerts) == 3


async def test_resending_becomes_rarer_while_nobody_answers(
    gateway: Gateway, hub: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    silent = hub(receipts=0)
    await until(lambda: silent.ready)
    await gateway.raise_alerts(1)
    await until(lambda: gateway.uplink._resend >= 1.2)
    assert max(silent.seen.values()) <= 4
    silent.receipts = 1
    silent.send_receipts("alerts", {gateway.box.epoch})
    await gateway.emptied()
    assert gateway.uplink._resend == uplink_module.RESEND_FIRST


async def test_a_hub_that_comes_late_gets_everything(gateway: Gateway, hub: Start) -> None:
    await gateway.raise_alerts(30)
    await until(lambda: gateway.uplink._sent)
    late = hub()
    await gateway.emptied()
    assert len(late.alerts) == 30


async def test_garbage_is_ignored(gateway: Gateway, hub: Start) -> None:
    there = hub(receipts=0)
    await until(lambda: there.ready and gateway.connects)
    await gateway.raise_alerts(2)
    huge = str(10**40).encode()
    for garbage in (
        b"", b"no json", b"[]", b"\xff\xfe", b'{"committed":[["alerts"]]}', b'{"committed":[["samples","x",1]],"v":1}',
        b'{"committed":[],"v":99}', b'{"committed":[["alerts","%s",-5,[-1]]]}' % gateway.box.epoch.encode(),
        b'{"committed":[["alerts","x",' + huge + b",[" + huge + b"]]]}",
        b'{"committed":[["alerts","x",9223372036854775808,[9223372036854775808]]]}', b"[" * 100_000,
    ):  # fmt: skip
        there.say(garbage)
    await until(lambda: there.seen)
    assert await gateway.rows() == 2
    there.receipts = 1
    there.send_receipts("alerts", {gateway.box.epoch})
    await gateway.emptied()


async def test_a_reconnect_sends_again_what_has_no_receipt(
    gateway: Gateway, hub: Start, broker: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uplink_module, "RESEND_FIRST", 60.0)
    gateway.uplink._resend = 60.0
    there = hub(receipts=0)
    await until(lambda: there.ready and gateway.connects)
    await gateway.raise_alerts(10)
    await until(lambda: len(there.seen) == 10)
    with device(broker.port, gateway.gateway):  # cuts the connection
        await until(lambda: not gateway.uplink.connection.up)
    there.receipts = 1
    await until(lambda: gateway.connects >= 2)
    gateway.uplink.wake()
    await gateway.emptied()
    assert set(there.seen.values()) == {2}


async def test_declared_losses_reach_the_hub(broker: Mosquitto, tmp_path: Path, name: str, hub: Start) -> None:
    there = hub()
    await until(lambda: there.ready)
    box = Outbox(tmp_path / "agent.db", name, OutboxLimits(max_rows=20), to_hub=True)
    box.commit(Effects(alerts=[alert(device=f"d{i}") for i in range(50)]), 1.0)
    epoch = box.epoch
    box.local_done([row.id for row in box.pending_local(1000)])
    box.close()
    async with running(broker.url, tmp_path, name, max_rows=20) as gateway:
        await gateway.emptied()
    lost = {
        n for report in there.reports.values() for loss in report.losses for n in range(loss.first, loss.last + 1)
        if (loss.priority, loss.epoch) == ("alerts", epoch)
    }  # fmt: skip
    came = {n for priority, e, n in there.seen if (priority, e) == ("alerts", epoch)}
    assert lost | came == set(range(1, 51))
    assert not lost & came


async def test_a_database_that_is_locked_for_a_while_stops_nothing(
    gateway: Gateway, hub: Start, tmp_path: Path
) -> None:
    there = hub()
    await until(lambda: there.ready)
    gateway.box.database.connection.execute("PRAGMA busy_timeout = 1")
    await gateway.raise_alerts(5)
    other = sqlite3.connect(tmp_path / "agent.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    await until(lambda: len(there.seen) == 5)
    there.send_receipts("alerts", {gateway.box.epoch})
    await until(lambda: gateway.uplink._receipts)
    other.execute("ROLLBACK")
    other.close()
    await gateway.emptied()


def test_deliveries_keep_order_class_and_size() -> None:
    rows = [
        PendingRow(i, "alerts" if i < 600 else "reports", "e", i, None, b'"' + b"x" * (997 * (i % 3)) + b'"')
        for i in range(900)
    ]
    made = list(deliveries(rows))
    assert [(p, row.sequence) for p, d in made for row in d.rows] == [(row.priority, row.sequence) for row in rows]
    for _, delivery in made:
        assert len(delivery.rows) <= ROWS_PER_DELIVERY
        assert len(messages.to_bytes(delivery)) <= messages.MAX_BYTES
    body = b'"' + b"x" * BYTES_PER_DELIVERY + b'"'
    (one, other) = deliveries([PendingRow(i, "alerts", "e", i, None, body) for i in range(2)])
    assert len(one[1].rows) == len(other[1].rows) == 1, "a large row goes alone"
    assert messages.from_bytes(Delivery, messages.to_bytes(one[1])) == one[1]
