"""The publisher against a real broker: gateways that verify what they get end on what was ordered, whatever happens."""

from __future__ import annotations

import asyncio
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from nacl.signing import SigningKey
from paho.mqtt.enums import CallbackAPIVersion
from sqlalchemy import Engine, select

from tests.brokers import Mosquitto
from tests.hub.gateway import alert, wait_for
from tests.hub.updating import KEY, Disk, UpdatingGateway, add_model
from vedette_hub.config import BrokerSection, LimitsSection
from vedette_hub.fleet import enrolment, orders
from vedette_hub.fleet import publisher as publishing
from vedette_hub.fleet.ingest import Ingest
from vedette_hub.fleet.orders import Targets
from vedette_hub.fleet.publisher import Publisher
from vedette_hub.store import fleet
from vedette_hub.store import rollout as store
from vedette_hub.store.alert_search import AlertFilter, count_alerts
from vedette_hub.store.database import open_store, reading
from vedette_hub.store.schema import artifacts, manifests, models
from vedette_models import topics
from vedette_models.rejection import Rejection

ALL = Targets()


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publishing, "POLL_SECONDS", 0.02)


@contextmanager
def hub(engine: Engine, mosquitto: Mosquitto, key: SigningKey | None = KEY) -> Iterator[None]:
    """Ingest and publisher in a thread of their own, until the block ends."""
    loop = asyncio.new_event_loop()
    settings = BrokerSection(url=mosquitto.url)
    folder = mosquitto.directory

    async def main() -> None:
        beside = Publisher(engine, key).run
        await Ingest(settings, LimitsSection(), engine, folder, password=None, tls=None, beside=beside).run()

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
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()


class Observer:
    """Everything the hub publishes, in the order in which the broker passed it on."""

    def __init__(self, port: int) -> None:
        self.heard: list[tuple[str, bytes]] = []
        self._subscribed = threading.Event()
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
        self.client.on_message = lambda _c, _d, message: self.heard.append((message.topic, bytes(message.payload)))
        self.client.on_subscribe = lambda *_: self._subscribed.set()
        self.client.connect("127.0.0.1", port)
        self.client.subscribe([(topics.artifact("+"), 1), (topics.gateway_down("gw-1", "desired"), 1)])

    def __enter__(self) -> Observer:
        self.client.loop_start()
        assert self._subscribed.wait(5)
        return self

    def __exit__(self, *_: object) -> None:
        self.client.disconnect()
        self.client.loop_stop()

    def topics(self) -> list[str]:
        return [topic for topic, _ in self.heard]


def push(engine: Engine, version: int, targets: Targets = ALL, key: SigningKey = KEY) -> None:
    orders.push(engine, key, "pump", version, targets, "ann", time.time())


def known(engine: Engine, *names: str) -> None:
    for name in names:
        enrolment.enroll(engine, KEY, name, time.time())


def settled(engine: Engine) -> bool:
    with reading(engine) as connection:
        work = store.work_due(connection)
    return not (work.sign or work.artifacts or work.manifests or work.unused)


def manifest_row(engine: Engine, name: str = "gw-1") -> dict[str, object]:
    with reading(engine) as connection:
        return dict(connection.execute(select(manifests).where(manifests.c.gateway == name)).mappings().one())


def test_a_pushed_model_is_fetched_verified_activated_and_reported(engine: Engine, mosquitto: Mosquitto) -> None:
    version, name = add_model(engine)
    with hub(engine, mosquitto), UpdatingGateway(mosquitto.port) as gateway:
        wait_for(lambda: known_status(engine), "the gateway has reported")
        gateway.put(1, alert(1))
        push(engine, version)
        wait_for(lambda: gateway.running() == version, "the model runs")
        wait_for(lambda: gateway.pending() == 0, "the activation and the alert are receipted")
        wait_for(lambda: (said := known_status(engine)) is not None and "pump" in said.models, "the status says so")
    with reading(engine) as connection:
        last = store.last_activations(connection, ["gw-1"])["gw-1"]["pump"].activation
        assert count_alerts(connection, AlertFilter()).number == 1
    assert (last.outcome, last.sha256, last.counter) == ("activated", name, 1)


def known_status(engine: Engine) -> object:
    with reading(engine) as connection:
        return fleet.load_statuses(connection, ["gw-1"]).get("gw-1")


def test_the_artefact_comes_first_and_its_bytes_are_those_of_the_registry(engine: Engine, mosquitto: Mosquitto) -> None:
    version, name = add_model(engine, data=b"x" * 200_000)
    known(engine, "gw-1")
    push(engine, version)
    with Observer(mosquitto.port) as observer, hub(engine, mosquitto):
        wait_for(lambda: len(observer.heard) == 2, "artefact and manifest are published")
    assert observer.topics() == [topics.artifact(name), topics.gateway_down("gw-1", "desired")]
    assert sha256(observer.heard[0][1]).hexdigest() == name


def test_a_gateway_that_was_away_during_push_and_rollback_ends_on_the_right_version(
    engine: Engine, mosquitto: Mosquitto
) -> None:
    (one, _), (two, _) = add_model(engine), add_model(engine)
    disk = Disk()
    with hub(engine, mosquitto):
        with UpdatingGateway(mosquitto.port, disk) as gateway:
            wait_for(lambda: known_status(engine), "the gateway has reported")
            push(engine, one)
            wait_for(lambda: gateway.running() == one, "the first version runs")
        push(engine, two)
        wait_for(lambda: settled(engine), "the second version is published")
        orders.roll_back(engine, KEY, "pump", ALL, "ann", time.time())
        wait_for(lambda: settled(engine), "the roll back is published")
        with UpdatingGateway(mosquitto.port, disk) as gateway:
            wait_for(lambda: gateway.disk.counter == 3, "the newest manifest is followed")
            assert gateway.running() == one
            assert [manifest.counter for manifest in gateway.accepted] == [3]


def test_a_gateway_that_was_away_follows_what_was_pushed_while_hub_and_broker_lost_everything_but_the_store(
    engine: Engine, start_mosquitto: Callable[..., Mosquitto]
) -> None:
    mosquitto = start_mosquitto()
    version, _ = add_model(engine)
    known(engine, "gw-1")
    with hub(engine, mosquitto):
        push(engine, version)
        wait_for(lambda: settled(engine), "it is published")
        mosquitto.kill()
        mosquitto.start()
        with UpdatingGateway(mosquitto.port) as gateway:
            wait_for(lambda: gateway.running() == version, "the model comes from a broker that had forgotten it")


def test_two_pushes_in_quick_succession_end_with_the_second(engine: Engine, mosquitto: Mosquitto) -> None:
    (one, _), (two, _) = add_model(engine), add_model(engine)
    with hub(engine, mosquitto), UpdatingGateway(mosquitto.port) as gateway:
        wait_for(lambda: known_status(engine), "the gateway has reported")
        push(engine, one)
        push(engine, two)
        wait_for(lambda: gateway.running() == two, "the second runs")
        wait_for(lambda: settled(engine), "nothing is left to do")
        assert gateway.disk.counter == 2
        assert set(gateway.rejections) <= {Rejection.REPLAYED}


def test_a_hub_restored_from_an_older_backup_is_not_locked_out(
    engine: Engine, mosquitto: Mosquitto, tmp_path: Path
) -> None:
    (one, _), (two, _) = add_model(engine), add_model(engine)
    disk = Disk()
    with hub(engine, mosquitto), UpdatingGateway(mosquitto.port, disk) as gateway:
        wait_for(lambda: known_status(engine), "the gateway has reported")
        push(engine, one)
        wait_for(lambda: gateway.running() == one, "the first version runs")
        wait_for(lambda: gateway.pending() == 0, "the activation is receipted")
        _back_up(engine, tmp_path / "backup.db")
        for _ in range(3):
            push(engine, two)
        wait_for(lambda: gateway.running() == two, "the second runs")
        wait_for(lambda: disk.counter == 4, "the newest manifest is followed")
    restored = open_store(f"sqlite:///{tmp_path / 'backup.db'}")
    assert manifest_row(restored)["counter"] == 1
    with hub(restored, mosquitto), UpdatingGateway(mosquitto.port, disk) as gateway:
        wait_for(lambda: (disk.counter or 0) > 4, "the restored hub's manifest is followed")
        wait_for(lambda: gateway.running() == one, "its order counts")
        push(restored, two)
        wait_for(lambda: gateway.running() == two, "and it can give new ones")
    restored.dispose()


def _back_up(engine: Engine, target: Path) -> None:
    with engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    shutil.copy(str(engine.url.database), target)


def test_a_gateway_that_lost_its_counter_gets_a_manifest_that_echoes_its_nonce(
    engine: Engine, mosquitto: Mosquitto
) -> None:
    version, _ = add_model(engine)
    known(engine, "gw-1")
    with hub(engine, mosquitto):
        push(engine, version)
        wait_for(lambda: settled(engine), "it is published")
        with UpdatingGateway(mosquitto.port, Disk(counter=None)) as gateway:
            wait_for(lambda: gateway.running() == version, "the model runs")
            assert gateway.accepted[-1].nonce == gateway.nonce
            assert set(gateway.rejections) <= {Rejection.COUNTER_LOST}


def test_a_gateway_whose_clock_is_wrong_follows_a_manifest_that_echoes_its_nonce(
    engine: Engine, mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vedette_hub.fleet.rollout.RETRY_FIRST", 0.05)
    version, _ = add_model(engine)
    known(engine, "gw-1")
    with hub(engine, mosquitto):
        push(engine, version)
        wait_for(lambda: settled(engine), "it is published")
        disk = Disk(counter=0)
        with UpdatingGateway(mosquitto.port, disk, clock_error=-1e9) as gateway:
            wait_for(lambda: gateway.say() or gateway.running() == version, "the model runs")
            assert set(gateway.rejections) <= {Rejection.NOT_YET_ISSUED, Rejection.REPLAYED}


def test_a_missing_artefact_is_published_again(
    engine: Engine, mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vedette_hub.store.rollout.PUBLISH_AGAIN_SECONDS", 0.0)  # it was published just now
    version, name = add_model(engine)
    known(engine, "gw-1")
    with hub(engine, mosquitto), Observer(mosquitto.port) as observer:
        push(engine, version)
        wait_for(lambda: settled(engine), "it is published")
        observer.client.publish(topics.artifact(name), b"", qos=1, retain=True).wait_for_publish(5)
        with UpdatingGateway(mosquitto.port) as gateway:
            wait_for(gateway.waiting, "the manifest has come, and the artefact has not")
            assert gateway.running() is None
            gateway.give_up()
            wait_for(lambda: gateway.running() == version, "the artefact comes again")


def test_what_nobody_refers_to_is_cleared_and_what_somebody_may_go_back_to_is_not(
    engine: Engine, mosquitto: Mosquitto
) -> None:
    found = [add_model(engine) for _ in range(3)]
    known(engine, "gw-1")
    with hub(engine, mosquitto), Observer(mosquitto.port) as observer:
        for version, _ in found:
            push(engine, version)
            wait_for(lambda: settled(engine), "it is published")
        wait_for(lambda: (topics.artifact(found[0][1]), b"") in observer.heard, "the first is cleared")
        assert (topics.artifact(found[1][1]), b"") not in observer.heard
        orders.roll_back(engine, KEY, "pump", ALL, "ann", time.time())
        orders.roll_back(engine, KEY, "pump", ALL, "ann", time.time())
        wait_for(lambda: settled(engine), "the orders are published")
    with reading(engine) as connection:
        left = set(connection.execute(select(artifacts.c.sha256)).scalars())
    assert left == {found[1][1], found[2][1]}


def test_an_artefact_that_is_gone_holds_back_only_what_refers_to_it(engine: Engine, mosquitto: Mosquitto) -> None:
    (one, name), (two, _) = add_model(engine), add_model(engine)
    known(engine, "gw-1", "gw-2")
    push(engine, one, Targets(("gw-2",)))
    push(engine, two, Targets(("gw-1",)))
    with engine.begin() as connection:
        connection.execute(models.delete().where(models.c.sha256 == name))
    with hub(engine, mosquitto), UpdatingGateway(mosquitto.port) as gateway:
        wait_for(lambda: gateway.running() == two, "the other gateway is served")
    assert manifest_row(engine, "gw-2")["due"] == "publish"
    assert manifest_row(engine, "gw-2")["published"] is None


def test_what_another_key_signed_is_signed_again_at_the_start(engine: Engine, mosquitto: Mosquitto) -> None:
    version, _ = add_model(engine)
    known(engine, "gw-1")
    push(engine, version, key=SigningKey.generate())
    with hub(engine, mosquitto), UpdatingGateway(mosquitto.port) as gateway:
        wait_for(lambda: gateway.running() == version, "the manifest of the present key is followed")


def test_without_a_key_what_is_signed_is_published(engine: Engine, mosquitto: Mosquitto) -> None:
    version, _ = add_model(engine)
    known(engine, "gw-1")
    push(engine, version)
    with hub(engine, mosquitto, key=None), UpdatingGateway(mosquitto.port) as gateway:
        wait_for(lambda: gateway.running() == version, "the model runs")


def test_a_gateway_that_unloads_says_so(engine: Engine, mosquitto: Mosquitto) -> None:
    version, _ = add_model(engine)
    with hub(engine, mosquitto), UpdatingGateway(mosquitto.port) as gateway:
        wait_for(lambda: known_status(engine), "the gateway has reported")
        push(engine, version)
        wait_for(lambda: gateway.running() == version, "the model runs")
        orders.unload(engine, KEY, "pump", ALL, "ann", time.time())
        wait_for(lambda: gateway.running() is None, "no model runs")
        wait_for(lambda: gateway.pending() == 0, "both activations are receipted")
    with reading(engine) as connection:
        assert store.last_activations(connection, ["gw-1"])["gw-1"]["pump"].activation.outcome == "removed"


SMALL = "listener {port} 127.0.0.1\nallow_anonymous true\nmessage_size_limit 100000\nuser root\n"


def test_an_artefact_that_the_broker_does_not_take_stops_nothing_else(
    engine: Engine, start_mosquitto: Callable[..., Mosquitto], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vedette_hub.fleet.ingest.RETRY_FIRST", 0.05)
    mosquitto = start_mosquitto(config=SMALL)
    data = b"x" * 150_000
    later = next(each for each in (b"%d" % i for i in range(99)) if sha256(each).digest() > sha256(data).digest())
    (big, _), (small, _) = add_model(engine, data=data), add_model(engine, data=later)
    known(engine, "gw-1", "gw-2")
    push(engine, big, Targets(("gw-2",)))
    push(engine, small, Targets(("gw-1",)))
    with hub(engine, mosquitto), UpdatingGateway(mosquitto.port) as gateway:
        wait_for(lambda: gateway.running() == small, "the other gateway is served")
        gateway.put(99, alert(1))
        wait_for(lambda: gateway.pending() == 0, "alerts are taken in")
    assert manifest_row(engine, "gw-2")["published"] is None
