"""The agent is killed, stopped or cut off in the middle of things: it ends on the right version."""

from __future__ import annotations

import contextlib
import os
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.agent.mqtt_ends import device
from tests.agent.update.gateway import Gateway
from tests.agent.update.model_hub import PROFILE, ModelHub, model
from tests.brokers import Mosquitto
from tests.processes import eventually
from vedette_models import artifact, messages
from vedette_models.messages import Status

KILLS = 10
LONGEST = 0.15
"""Seconds in which an update is about complete."""


class Site(NamedTuple):
    gateway: Gateway
    hub: ModelHub


@contextlib.contextmanager
def site_at(port: int, folder: Path, name: str, hub_port: int | None = None) -> Iterator[Site]:
    """Version 1 runs."""
    hub = ModelHub(hub_port or port, name)
    gateway = Gateway(folder, port, hub.key.verify_key, gateway=name, hub_port=hub_port)
    gateway.start()
    try:
        hub.runs(hub.push(1, model(1)))
        hub.told("activated")
        yield Site(gateway, hub)
        gateway.stop()
    finally:
        gateway.kill()
        hub.close()


@pytest.fixture(scope="module")
def shared(broker: Mosquitto, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One gateway for all tests: each leaves it running."""
    with site_at(broker.port, tmp_path_factory.mktemp("gateway"), "away") as made:
        yield made


@pytest.fixture
def site(shared: Site) -> Site:
    """Version 1 runs, and the hub has been told."""
    told = len(shared.hub.activations)
    if shared.hub.push(1, model(1)) != _current(shared.gateway.journal()):
        shared.hub.told("activated", since=told)
    shared.hub.runs(artifact.sha256(model(1)))
    return shared


def first_status(hub: ModelHub, since: int) -> Status:
    """What the agent says first after a start."""
    return eventually(lambda: next((s for s in hub.statuses[since:] if s.online), None), "it is back")


def test_kill_9_at_ten_random_points_of_an_update(site: Site) -> None:
    gateway, hub = site
    seed = int(os.environ.get("VEDETTE_SEED", "1"))
    moments = random.Random(seed)
    for kill in range(KILLS):
        before = hub.status
        assert before is not None
        version = kill + 2
        told = len(hub.activations)
        sha256 = hub.push(version, model(version))
        moment = moments.uniform(0.0, LONGEST)
        time.sleep(moment)  # here the length of time is the condition
        gateway.kill()
        journal = gateway.journal()
        accepted, activated = journal["counter"] == hub.counter, sha256 == _current(journal)
        stored = (gateway.state / "models" / f"{sha256}.model").exists()
        print(f"seed {seed}: killed after {moment:.3f} s: {accepted=}, {stored=}, {activated=}")
        since = len(hub.statuses)
        gateway.start()
        running = first_status(hub, since).models[PROFILE].sha256
        assert running in (before.models[PROFILE].sha256, sha256), "a valid model runs at once"
        assert hub.runs(sha256).manifest == hub.counter
        assert hub.told("activated", since=told).sha256 == sha256
        assert {a.outcome for a in hub.activations[told:]} == {"activated"}


def _current(journal: dict[str, dict[str, dict[str, dict[str, str]]]]) -> str:
    return journal["current"][PROFILE]["release"]["sha256"]


def test_who_was_away_during_push_and_rollback_ends_on_the_right_version(site: Site) -> None:
    gateway, hub = site
    gateway.stop()
    told = len(hub.activations)
    newer = hub.push(2, model(2))
    hub.push(3, model(3))
    hub.push(2, model(2), artefact=False)
    gateway.start()
    hub.runs(newer)
    hub.told("activated", since=told)
    assert [a.version for a in hub.activations[told:]] == [2], "what was ordered in between is never run"


def test_an_order_back_to_what_runs_is_no_swap(site: Site) -> None:
    gateway, hub = site
    gateway.stop()
    told = len(hub.activations)
    hub.push(2, model(2))
    sha256 = hub.push(1, model(1), artefact=False)
    gateway.start()
    eventually(lambda: hub.runs(sha256).manifest == hub.counter or None, "the order is in force")
    assert hub.activations[told:] == []


def test_a_lost_counter_needs_the_nonce(site: Site) -> None:
    gateway, hub = site
    gateway.stop()
    for name in ("journal", "journal.copy"):
        path = gateway.state / "models" / name
        path.write_bytes(path.read_bytes()[:-1])
    since = len(hub.statuses)
    gateway.start()
    status = first_status(hub, since)
    assert (status.manifest, dict(status.models)) == (0, {})
    told = len(hub.activations)
    hub.push(2, model(2))
    assert hub.told("refused", since=told).reason == "counter_lost"
    hub.push(3, model(3), nonce="a nonce of before")
    hub.told("refused", since=told + 1, reason="counter_lost")
    assert gateway.journal()["counter"] is None
    # A hub that was restored from an older backup, too: what counts is the nonce.
    sha256 = hub.push(1, model(1), counter=1, nonce=status.nonce)
    assert hub.runs(sha256).manifest == 1
    assert "manifest 1\n" in gateway.cli("show").stdout


def test_a_nonce_does_not_outlive_a_restart(site: Site) -> None:
    gateway, hub = site
    first = hub.status
    gateway.stop()
    since = len(hub.statuses)
    gateway.start()
    assert first is not None
    assert first_status(hub, since).nonce != first.nonce


def local_status(port: int, name: str, *, hub: str) -> Status:
    """What the devices' broker retains, as soon as it says this of the hub."""
    with device(port) as local:
        local.subscribe(f"vedette/{name}/status")

        def found() -> Status | None:
            for _, payload, _ in reversed(local.messages):
                status = messages.from_bytes(Status, payload)
                if status.online and status.hub == hub:
                    return status
            return None

        return eventually(found, f"a status with hub {hub}")


def test_without_a_hub_the_last_good_model_runs_also_after_a_restart(
    broker: Mosquitto, start_mosquitto: Callable[..., Mosquitto], tmp_path: Path
) -> None:
    theirs = start_mosquitto()
    with site_at(broker.port, tmp_path / "gateway", "hubless", theirs.port) as (gateway, hub):
        version = hub.push(2, model(2))
        hub.runs(version)
        theirs.kill()
        assert local_status(broker.port, "hubless", hub="disconnected").models[PROFILE].sha256 == version
        gateway.kill()
        gateway.start()
        assert local_status(broker.port, "hubless", hub="disconnected").models[PROFILE].sha256 == version
        # When the hub is back, with nothing left of what it had said, everything is as it was.
        theirs.start()
        assert local_status(broker.port, "hubless", hub="connected").models[PROFILE].sha256 == version
        eventually(lambda: hub.connected() or None, "the hub is back")
        told = len(hub.activations)
        newer = hub.push(3, model(3))
        hub.runs(newer)
        assert hub.told("activated", since=told).sha256 == newer


def test_what_was_asked_for_before_the_connection_broke_is_asked_for_again(
    broker: Mosquitto, start_mosquitto: Callable[..., Mosquitto], tmp_path: Path
) -> None:
    theirs = start_mosquitto()
    with site_at(broker.port, tmp_path / "gateway", "cut-off", theirs.port) as (gateway, hub):
        hub.push(2, model(2), artefact=False)
        eventually(lambda: gateway.journal()["counter"] == hub.counter or None, "ordered")
        theirs.kill()
        theirs.start()  # it has forgotten who subscribed to what
        told = len(hub.activations)
        eventually(lambda: hub.connected() or None, "the hub is back")
        hub.runs(hub.publish(model(2)))
        hub.told("activated", since=told)
        assert {a.outcome for a in hub.activations[told:]} == {"activated"}, "nothing was missing"


def test_an_agent_that_speaks_an_older_mqtt_is_updated_too(broker: Mosquitto, tmp_path: Path) -> None:
    hub = ModelHub(broker.port, "old-protocol")
    gateway = Gateway(tmp_path, broker.port, hub.key.verify_key, gateway="old-protocol")
    gateway.config.write_text(gateway.text.replace("[hub]\n", '[hub]\nprotocol = "3.1.1"\n'))
    gateway.start()
    try:
        hub.runs("")
        for version in (1, 2):
            hub.runs(hub.push(version, model(version)))
        gateway.stop()
    finally:
        gateway.kill()
        hub.close()
