"""Ingest against a real broker: what gateways send has its effect exactly once, and they are told so."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Engine

from tests.brokers import Mosquitto, free_port
from tests.hub.gateway import SimulatedGateway, alert, row, wait_for
from vedette_hub.config import BrokerSection, LimitsSection
from vedette_hub.fleet import broker, ingest_state
from vedette_hub.fleet.broker import tls_context
from vedette_hub.fleet.ingest import Ingest
from vedette_hub.store import alerts, fleet
from vedette_hub.store.alert_search import AlertFilter, list_alerts
from vedette_hub.store.database import reading, writing
from vedette_models.messages import DeclaredLoss, Report


@contextmanager
def running(engine: Engine, directory: Path, settings: BrokerSection, password: str | None = None) -> Iterator[None]:
    """Ingest in a thread of its own, until the block ends."""
    loop = asyncio.new_event_loop()

    async def main() -> None:
        await Ingest(settings, LimitsSection(), engine, directory, password=password, tls=tls_context(settings)).run()

    task = loop.create_task(main())

    def run() -> None:
        with pytest.raises(asyncio.CancelledError):
            loop.run_until_complete(task)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        loop.call_soon_threadsafe(task.cancel)
        thread.join(15)
        assert not thread.is_alive()
        loop.close()


def stored(engine: Engine) -> dict[str, int]:
    """Alert id → number of events in its history."""
    with reading(engine) as connection:
        found = list_alerts(connection, AlertFilter(), limit=10_000)
        return {
            item.record.event.id: len(alerts.history(connection, (item.record.event.gateway, item.record.event.id))[0])
            for item in found
        }


def test_alerts_reach_the_store_once_and_leave_the_outbox(engine: Engine, tmp_path: Path, mosquitto: Mosquitto) -> None:
    settings = BrokerSection(url=mosquitto.url)
    with running(engine, tmp_path, settings), SimulatedGateway(mosquitto.port) as gateway:
        for number in range(1, 201):
            gateway.put(number, alert(number))
        gateway.put(1, Report(1.0, (DeclaredLoss("alerts", "e0", 1, 3, "outbox full"),)), "reports")
        gateway.status(outbox_rows=7, problems=("clock is wrong",))
        wait_for(lambda: gateway.pending() == 0, "every row is receipted")
        wait_for(lambda: _status(engine) is not None, "the status is stored")
    assert stored(engine) == {f"a-{number}": 1 for number in range(1, 201)}
    with reading(engine) as connection:
        found = fleet.find_gateway(connection, "gw-1")
    assert found is not None
    assert found.status is not None
    assert (found.online, found.status.outbox_rows, found.lost_rows) == (True, 7, 3)


def _status(engine: Engine) -> object:
    with reading(engine) as connection:
        found = fleet.find_gateway(connection, "gw-1")
    return found.status if found else None


@pytest.mark.fault(
    fault="garbage on a gateway's topics at the hub",
    expected="kept raw and receipted; the alerts between it are stored",
)
def test_garbage_delays_nobody(engine: Engine, tmp_path: Path, mosquitto: Mosquitto) -> None:
    with running(engine, tmp_path, BrokerSection(url=mosquitto.url)), SimulatedGateway(mosquitto.port) as gateway:
        for number in range(1, 51):
            gateway.publish("alerts", b"\x00garbage")
            gateway.publish("surprise", b"{}")
            gateway.put(number, alert(number) if number % 2 else b'{"from": "the future"}')
        gateway.publish("alerts", b"x" * 400_000)
        wait_for(lambda: gateway.pending() == 0, "every row is receipted")
    assert len(stored(engine)) == 25


@pytest.mark.fault(
    fault="rows sent three times, the hub's broker stopped and killed meanwhile",
    expected="every alert stored once",
)
def test_duplicates_and_broker_restarts_change_nothing(
    engine: Engine, tmp_path: Path, start_mosquitto: Callable[..., Mosquitto]
) -> None:
    mosquitto = start_mosquitto(persistence=True)
    settings = BrokerSection(url=mosquitto.url)
    with running(engine, tmp_path, settings), SimulatedGateway(mosquitto.port, resend=0.05, per_message=3) as gateway:
        for number in range(1, 61):
            gateway.put(number, alert(number))
            gateway.send([row(number, alert(number))] * 3)
            if number == 20:
                mosquitto.stop()
                mosquitto.start()
            if number == 40:
                mosquitto.kill()
                mosquitto.start()
        wait_for(lambda: gateway.pending() == 0, "every row is receipted")
    assert stored(engine) == {f"a-{number}": 1 for number in range(1, 61)}


def test_what_was_sent_while_the_hub_was_away_arrives(engine: Engine, tmp_path: Path, mosquitto: Mosquitto) -> None:
    settings = BrokerSection(url=mosquitto.url)
    with SimulatedGateway(mosquitto.port, resend=1e9) as gateway:
        with running(engine, tmp_path, settings):
            wait_for(lambda: _state(tmp_path).connected, "ingest is connected")
            gateway.put(1, alert(1))
            wait_for(lambda: gateway.pending() == 0, "the first row is receipted")
        gateway.put(2, alert(2))
        wait_for(lambda: gateway.sent_rows == 2, "the second row is on its way")
        with running(engine, tmp_path, settings):
            wait_for(lambda: gateway.pending() == 0, "the queued row is receipted without being sent again")


@pytest.mark.fault(fault="receipts are lost on their way", expected="repeated; the box empties")
def test_a_hub_that_comes_back_repeats_its_receipts(engine: Engine, tmp_path: Path, mosquitto: Mosquitto) -> None:
    # No session at the broker: what the gateway sends meanwhile is lost, so that no duplicate can bring the receipt.
    settings = BrokerSection(url=mosquitto.url, session_expiry=0)
    with running(engine, tmp_path, settings), SimulatedGateway(mosquitto.port) as before:
        before.put(1, alert(1))
        wait_for(lambda: before.pending() == 0, "the row is receipted")
    with SimulatedGateway(mosquitto.port, resend=1e9) as gateway:
        gateway.put(1, alert(1))
        wait_for(lambda: gateway.sent_rows == 1, "the row is on its way")
        with running(engine, tmp_path, settings):
            wait_for(lambda: gateway.pending() == 0, "the receipt that got lost is repeated")


@pytest.mark.fault(fault="the hub's database is locked", expected="nothing is receipted until it has committed")
def test_while_the_database_takes_nothing_nothing_is_receipted(
    engine: Engine, tmp_path: Path, mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vedette_hub.store.database.BUSY_SECONDS", 0.05)
    from vedette_hub.store.database import open_store

    impatient = open_store(engine.url.render_as_string())
    settings = BrokerSection(url=mosquitto.url)
    with running(impatient, tmp_path, settings), SimulatedGateway(mosquitto.port, resend=1e9) as gateway:
        wait_for(lambda: _state(tmp_path).connected, "ingest is connected")
        with writing(engine):
            gateway.put(1, alert(1))
            wait_for(lambda: "takes nothing" in _state(tmp_path).problem, "the trouble is said")
            assert gateway.receipts == []
        wait_for(lambda: gateway.pending() == 0, "the row is receipted when the database works again")
        assert _state(tmp_path).problem == ""


def _state(directory: Path) -> ingest_state.IngestState:
    return ingest_state.read(directory, time.time())


def test_an_older_protocol_works_too(engine: Engine, tmp_path: Path, mosquitto: Mosquitto) -> None:
    settings = BrokerSection(url=mosquitto.url, protocol="3.1.1")
    with running(engine, tmp_path, settings), SimulatedGateway(mosquitto.port) as gateway:
        gateway.put(1, alert(1))
        wait_for(lambda: gateway.pending() == 0, "the row is receipted")


PASSWORDS = "listener {port} 127.0.0.1\nallow_anonymous false\npassword_file /dev/null\nuser root\n"


def test_a_broker_that_is_away_is_named_with_a_hint(engine: Engine, tmp_path: Path) -> None:
    settings = BrokerSection(url=f"mqtt://127.0.0.1:{free_port()}")
    with running(engine, tmp_path, settings):
        wait_for(lambda: "is the broker running" in _state(tmp_path).problem, "the hint is shown")


def test_refused_credentials_are_named_with_a_hint(
    engine: Engine, tmp_path: Path, start_mosquitto: Callable[..., Mosquitto]
) -> None:
    mosquitto = start_mosquitto(config=PASSWORDS)
    settings = BrokerSection(url=mosquitto.url, username="hub")
    with running(engine, tmp_path, settings, password="wrong"):
        wait_for(lambda: "broker.password_file right" in _state(tmp_path).problem, "the hint is shown")


def test_tls_against_a_plain_port_is_named_with_a_hint(engine: Engine, tmp_path: Path, mosquitto: Mosquitto) -> None:
    settings = BrokerSection(url=f"mqtts://127.0.0.1:{mosquitto.port}")
    with running(engine, tmp_path, settings):
        wait_for(lambda: "does this port speak TLS" in _state(tmp_path).problem, "the hint is shown")


def test_a_second_hub_with_our_client_id_is_named_with_a_hint(
    engine: Engine, tmp_path: Path, mosquitto: Mosquitto, caplog: pytest.LogCaptureFixture
) -> None:
    settings = BrokerSection(url=mosquitto.url)
    (tmp_path / "other").mkdir()
    caplog.set_level(logging.ERROR)
    with running(engine, tmp_path, settings), running(engine, tmp_path / "other", settings):
        wait_for(lambda: "is a second hub running" in caplog.text, "the hint is logged")


def test_the_queue_is_bounded_in_messages_and_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    from aiomqtt import Message

    monkeypatch.setattr(broker, "QUEUE_BYTES", 10_000)
    queue = broker.ArrivalQueue()
    message = Message("t", b"x" * 4_500, 1, False, 1, None)
    for _ in range(5):
        queue.put_nowait(message)
    assert (queue.qsize(), queue.dropped) == (2, 3)
    queue.get_nowait()
    queue.put_nowait(message)
    assert queue.qsize() == 2
