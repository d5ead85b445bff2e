"""`kill -9` before every single thing that is done to the disk, one after the other: nothing is half done for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from nacl.signing import SigningKey

from tests.agent.mqtt_ends import until
from tests.agent.update.disk import Disk, Killed
from tests.agent.update.model_hub import CHANNELS, PROFILE, model, release
from vedette_agent.update.model_store import ModelStore
from vedette_agent.update.updater import Updater
from vedette_models import artifact, manifest, topics
from vedette_models.artifact import Model
from vedette_models.keys import key_ring
from vedette_models.manifest import Manifest
from vedette_models.messages import Activation

KEY = SigningKey(bytes(range(32)))
OLD, NEW = model(1), model(2)
ISSUED, EXPIRES = 0.0, 1e12


def order(counter: int, version: int | None, data: bytes = b"") -> bytes:
    releases = {} if version is None else {PROFILE: release(version, data)}
    return manifest.sign(Manifest("gw", counter, ISSUED, EXPIRES, releases), KEY)


class Broker:
    """The hub's broker, as far as an updater sees it: what is retained comes with a subscription."""

    up = True

    def __init__(self, desired: bytes, *artefacts: bytes) -> None:
        self.desired = desired
        self.artefacts = {topics.artifact(artifact.sha256(data)): data for data in artefacts}
        self.updater: Updater | None = None

    async def subscribe(self, filters: Sequence[str], *, own_echo: bool = True, retained_always: bool = False) -> None:
        assert retained_always
        for topic in filters:
            if topic in self.artefacts and self.updater is not None:
                asyncio.get_running_loop().call_soon(self.updater.received, topic, self.artefacts[topic])

    def unsubscribe(self, filters: Sequence[str]) -> None:
        """Nothing comes twice here."""


class World:
    """What outlives the agent: its disk, the broker, and what has reached the outbox."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.told: list[Activation] = []
        self.running: str | None = None

    async def use(self, profile: str, model: Model | None) -> None:
        self.running = None if model is None else model.sha256

    async def report(self, activations: Sequence[Activation]) -> None:
        self.told += activations

    def changed(self) -> None:
        """Nobody reads a status."""

    async def live(self, desired: bytes, *, at_start: list[str | None]) -> None:
        """From a start of the agent until nothing is left to do, or until it is killed."""
        self.running = None
        broker = Broker(desired, OLD, NEW)
        store = ModelStore(self.folder)
        updater = Updater(
            "gw", {PROFILE: CHANNELS}, key_ring(KEY.verify_key), store, self, nonce="n", fetch_timeout=5.0
        )
        broker.updater = updater
        updater.attach(broker)  # type: ignore[arg-type]  # all of a connection that an updater uses
        await updater.start()
        at_start.append(self.running)
        updater.received(topics.gateway_down("gw", "desired"), broker.desired)
        updater.connected()
        running = asyncio.create_task(updater.run())
        try:
            await until(lambda: running.done() or self._settled(store, desired), "the update is complete")
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            if running.done() and not running.cancelled() and running.exception() is not None:
                raise running.exception() or AssertionError

    def _settled(self, store: ModelStore, desired: bytes) -> bool:
        wanted = manifest.authentic(desired, key_ring(KEY.verify_key))
        journal = store.journal
        release = wanted.releases.get(PROFILE)
        return (
            journal.counter == wanted.counter
            and not journal.unreported
            and self.running == (release.sha256 if release else None)
        )


UPDATES = {
    "a first model": (None, order(2, 2, NEW)),
    "the next version": (order(1, 1, OLD), order(2, 2, NEW)),
    "no model": (order(1, 1, OLD), order(2, None)),
}


@pytest.mark.fault(
    fault="a kill at any disk operation of an update of models",
    expected="a valid model runs after the restart; the update is completed and told",
)
@pytest.mark.parametrize(("before", "after"), UPDATES.values(), ids=UPDATES.keys())
async def test_a_kill_at_any_point_of_an_update_leaves_a_valid_model_and_the_update_completes(
    tmp_path: Path,
    disk: Disk,
    before: bytes | None,
    after: bytes,
    record_property: Callable[[str, object], None],
) -> None:
    kills = 0
    for operation in range(200):
        world = World(tmp_path / str(operation))
        starts: list[str | None] = []
        if before is not None:
            await world.live(before, at_start=[])
        first = world.running
        told = len(world.told)
        disk.kill_at(operation)
        try:
            await world.live(after, at_start=starts)
        except Killed:
            kills += 1
            disk.kill_at(-1)
            await world.live(after, at_start=starts)
        else:
            break
        finally:
            disk.kill_at(-1)
        ordered = manifest.authentic(after, key_ring(KEY.verify_key)).releases.get(PROFILE)
        wanted = ordered.sha256 if ordered else None
        assert starts[-1] in (first, wanted), "after the restart a valid model runs at once"
        assert world.running == wanted
        done = {a.outcome for a in world.told[told:]}
        assert done == {"activated" if ordered else "removed"}
        assert len(world.told[told:]) in (1, 2), "told once, or twice where the kill came in between"
        assert not list((world.folder / "models").glob("*.model.new")), "a half written artefact is cleared away"
    assert kills > 15
    record_property("observed", f"{kills} kills, one at each operation; a valid model each time")


@pytest.mark.fault(
    fault="the file of the running model is damaged",
    expected="the one before runs until it is fetched again",
)
async def test_a_damaged_artefact_gives_way_to_the_one_before_and_is_fetched_again(tmp_path: Path) -> None:
    world = World(tmp_path)
    await world.live(order(1, 1, OLD), at_start=[])
    await world.live(order(2, 2, NEW), at_start=[])
    (tmp_path / "models" / f"{artifact.sha256(NEW)}.model").write_bytes(NEW[:-1] + b"x")
    starts: list[str | None] = []
    await world.live(order(2, 2, NEW), at_start=starts)
    assert starts == [artifact.sha256(OLD)]
    assert world.running == artifact.sha256(NEW)
    assert [a.outcome for a in world.told] == ["activated", "activated", "rolled_back", "activated"]


@pytest.mark.fault(fault="the file of the running model is gone", expected="it is fetched again")
async def test_a_lost_artefact_is_fetched_again(tmp_path: Path) -> None:
    world = World(tmp_path)
    await world.live(order(1, 1, OLD), at_start=[])
    (tmp_path / "models" / f"{artifact.sha256(OLD)}.model").unlink()
    starts: list[str | None] = []
    await world.live(order(1, 1, OLD), at_start=starts)
    assert starts == [None]
    assert [a.outcome for a in world.told] == ["activated", "removed", "activated"]


@pytest.mark.fault(
    fault="the disk is full during updates of models",
    expected="each update is completed once there is room",
)
async def test_a_disk_that_is_full_for_a_while_stops_nothing(
    tmp_path: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vedette_agent.update.updater.RETRY", 0.01)
    world = World(tmp_path)
    await world.live(order(1, 1, OLD), at_start=[])
    for operations in range(0, 30, 3):
        disk.fail_next(operations, 9)
        await world.live(order(2 + operations, 1 + operations % 2, (OLD, NEW)[operations % 2]), at_start=[])
    outcomes = [a.outcome for a in world.told]
    assert set(outcomes) == {"activated"}
    assert len(outcomes) == 11, "each once"
