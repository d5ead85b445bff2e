"""A real agent at a real broker, and a hub that signs: what is followed, what is refused, what is told."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pytest
from nacl.signing import SigningKey

from tests.agent.mqtt_ends import device
from tests.agent.update.gateway import Gateway
from tests.agent.update.hostile import artefacts
from tests.agent.update.model_hub import DAY, PROFILE, ModelHub, model, release
from tests.brokers import Mosquitto
from tests.processes import eventually
from vedette_models import artifact, manifest
from vedette_models.rejection import Rejection


class Site(NamedTuple):
    gateway: Gateway
    hub: ModelHub
    port: int


@pytest.fixture(scope="module")
def site(broker: Mosquitto, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One agent for all tests: whatever it is sent, it goes on."""
    hub = ModelHub(broker.port, counter=10)
    gateway = Gateway(tmp_path_factory.mktemp("gateway"), broker.port, hub.key.verify_key, fetch_timeout="1s")
    gateway.start()
    try:
        hub.runs("")
        yield Site(gateway, hub, broker.port)
        gateway.stop()
    finally:
        gateway.kill()
        hub.close()


_versions = iter(range(1, 10_000))


class Settled(NamedTuple):
    """A good model runs, and everything that was to be told has been."""

    hub: ModelHub
    gateway: Gateway
    version: int
    sha256: str
    told: int

    def goes_on(self) -> None:
        """It still runs, and says so when it is asked to run the next."""
        assert self.gateway.alive, self.gateway.log.read_text()[-3000:]
        assert self.gateway.journal()["current"][PROFILE]["release"]["sha256"] == self.sha256

    def since(self) -> list[tuple[str, str]]:
        return [(a.outcome, a.reason) for a in self.hub.activations[self.told :]]


@pytest.fixture
def settled(site: Site) -> Settled:
    version = next(_versions)
    hub = site.hub
    sha256 = hub.push(version, model(version))
    hub.runs(sha256)
    hub.told("activated", sha256=sha256)
    return Settled(hub, site.gateway, version, sha256, len(hub.activations))


# What is followed


def test_a_version_is_activated_and_reported_with_its_counter(settled: Settled) -> None:
    hub = settled.hub
    version = next(_versions)
    sha256 = hub.push(version, model(version))
    told = hub.told("activated", since=settled.told)
    assert (told.profile, told.version, told.sha256, told.counter) == (PROFILE, version, sha256, hub.counter)
    status = hub.runs(sha256)
    assert status.manifest == hub.counter
    assert (status.models[PROFILE].version, status.models[PROFILE].detector) == (version, "isolation_forest")
    assert len(status.nonce) == 32
    shown = settled.gateway.journal()
    assert shown["previous"][PROFILE]["release"]["sha256"] == settled.sha256


def test_a_roll_back_by_the_hub_is_a_higher_counter_with_an_older_hash(settled: Settled) -> None:
    hub = settled.hub
    hub.runs(hub.push(next(_versions), model(500)))
    assert hub.push(settled.version, model(settled.version), artefact=False) == settled.sha256
    hub.runs(settled.sha256)
    eventually(lambda: len(settled.since()) == 2 or None, "both are told")
    assert [outcome for outcome, _ in settled.since()] == ["activated", "activated"]


def test_no_model_runs_when_none_is_ordered_and_the_version_comes_back_when_it_is(settled: Settled) -> None:
    hub = settled.hub
    hub.unload()
    hub.runs("")
    assert hub.told("removed", since=settled.told).sha256 == settled.sha256
    hub.push(settled.version, model(settled.version), artefact=False)
    hub.runs(settled.sha256)


def test_the_same_order_again_changes_nothing_and_is_no_news(settled: Settled) -> None:
    hub = settled.hub
    data = manifest.sign(hub.manifest({PROFILE: release(settled.version, model(settled.version))}), hub.key)
    for _ in range(3):
        hub.desire(data)
    eventually(lambda: (hub.status is not None and hub.status.manifest == hub.counter) or None, "it is in force")
    assert hub.runs(settled.sha256).manifest == hub.counter
    assert settled.since() == []


# What the operator decides


def test_the_operator_goes_back_and_stays_there_until_a_new_order(settled: Settled) -> None:
    hub, gateway = settled.hub, settled.gateway
    version = next(_versions)
    newer = hub.push(version, model(version))
    hub.runs(newer)
    done = gateway.cli("rollback", "--json", PROFILE)
    assert (done.exit_code, json.loads(done.stdout)["done"]) == (0, True), done.stderr
    assert f"runs version {settled.version} again" in done.stdout
    hub.runs(settled.sha256)
    assert hub.told("rolled_back", since=settled.told).sha256 == settled.sha256
    # The order in force comes again with every connection, and after a restart.
    gateway.stop()
    gateway.start()
    eventually(lambda: (hub.status is not None and hub.status.online) or None, "it is back")
    hub.runs(settled.sha256)
    assert "rolled_back" in gateway.cli("show").stdout
    hub.push(version, model(version), artefact=False)
    hub.runs(newer)


def test_the_operator_stays_back_also_when_an_artefact_comes_late(settled: Settled) -> None:
    hub, gateway = settled.hub, settled.gateway
    runs = hub.push(next(_versions), model(501))
    hub.runs(runs)
    late = next(_versions)
    hub.push(late, model(late), artefact=False)
    hub.told("missing", since=settled.told)
    assert gateway.cli("rollback", PROFILE).exit_code == 0
    hub.publish(model(late))
    hub.told("rolled_back", since=settled.told)
    hub.runs(settled.sha256)
    settled.goes_on()


def test_the_operator_stays_with_a_model_where_the_hub_wants_none(settled: Settled) -> None:
    hub, gateway = settled.hub, settled.gateway
    hub.unload()
    hub.runs("")
    assert gateway.cli("rollback", PROFILE).exit_code == 0
    hub.runs(settled.sha256)
    hub.unload()
    hub.runs("")


def test_there_may_be_nothing_to_go_back_to(settled: Settled) -> None:
    answer = settled.gateway.cli("rollback", "no such profile")
    assert (answer.exit_code, answer.stdout) == (1, "there is no profile 'no such profile'\n")


# What does not come


def test_an_artefact_that_is_missing_is_told_and_taken_when_it_comes(settled: Settled) -> None:
    hub = settled.hub
    version = next(_versions)
    sha256 = hub.push(version, model(version), artefact=False)
    missing = hub.told("missing", since=settled.told)
    assert (missing.sha256, missing.version, missing.counter) == (sha256, version, hub.counter)
    assert "within 1 s" in missing.detail
    settled.goes_on()
    hub.publish(model(version))
    hub.runs(sha256)
    assert settled.since()[-1] == ("activated", "")


def test_a_missing_artefact_holds_up_no_other_order(settled: Settled) -> None:
    hub = settled.hub
    lost = next(_versions)
    hub.push(lost, model(lost), artefact=False)
    version = next(_versions)
    hub.runs(hub.push(version, model(version)))


def test_an_empty_artefact_is_none(settled: Settled) -> None:
    hub = settled.hub
    version = next(_versions)
    hub.publish(b"", artifact.sha256(model(version)))
    hub.push(version, model(version), artefact=False)
    hub.told("missing", since=settled.told)
    settled.goes_on()


# Models that are refused


def test_every_hostile_artefact_is_refused_for_its_own_reason(settled: Settled, tmp_path: Path) -> None:
    hub, proof = settled.hub, tmp_path / "executed"
    hostile = artefacts(proof)
    assert len(hostile) >= 15
    for name, (data, reason) in hostile.items():
        told = len(hub.activations)
        version = next(_versions)
        sha256 = hub.push(version, data)
        refused = hub.told("refused", since=told, sha256=sha256)
        assert (refused.reason, refused.version, refused.counter) == (reason.value, version, hub.counter), name
        assert refused.detail
        hub.publish(b"", sha256)
    assert not proof.exists(), "something was executed"
    settled.goes_on()
    assert len({reason for _, reason in settled.since()}) >= 15
    status = hub.runs(settled.sha256)
    assert status.models[PROFILE].sha256 == settled.sha256
    stored = {path.stem for path in (settled.gateway.state / "models").glob("*.model")}
    assert not stored & {artifact.sha256(data) for data, _ in hostile.values()}, "nothing hostile is kept"


def test_other_bytes_than_were_ordered_have_not_come_and_the_right_ones_are_taken(settled: Settled) -> None:
    hub = settled.hub
    version = next(_versions)
    sha256 = artifact.sha256(model(version))
    hub.publish(model(502), sha256)
    hub.push(version, model(version), artefact=False)
    assert Rejection.WRONG_HASH.value in hub.told("missing", since=settled.told).detail
    settled.goes_on()
    hub.publish(model(version), sha256)
    hub.runs(sha256)


def test_what_is_ordered_too_large_is_not_even_fetched(settled: Settled) -> None:
    hub = settled.hub
    large = release(next(_versions), model(503), bytes=artifact.MAX_BYTES + 1)
    hub.desire(manifest.sign(hub.manifest({PROFILE: large}), hub.key))
    refused = hub.told("refused", since=settled.told)
    assert (refused.reason, "at most" in refused.detail) == (Rejection.TOO_LARGE, True)
    settled.goes_on()


def test_a_model_for_a_profile_that_is_not_here_is_refused_and_the_others_are_run(settled: Settled) -> None:
    hub = settled.hub
    version = next(_versions)
    sha256 = hub.publish(model(version))
    both = {PROFILE: release(version, model(version)), "fan": release(1, model(504, profile="fan"))}
    hub.desire(manifest.sign(hub.manifest(both), hub.key))
    hub.runs(sha256)
    refused = hub.told("refused", since=settled.told)
    assert (refused.profile, refused.reason) == ("fan", Rejection.OTHER_PROFILE)


def test_a_failed_version_is_tried_again_only_when_it_is_ordered_anew(settled: Settled) -> None:
    hub, gateway = settled.hub, settled.gateway
    version = next(_versions)
    good = model(version)
    sha256 = artifact.sha256(good)
    hub.publish(good)
    wrong = release(version, good, bytes=artifact.MAX_BYTES + 1)
    hub.desire(manifest.sign(hub.manifest({PROFILE: wrong}), hub.key))
    hub.told("refused", since=settled.told, reason="too_large")
    gateway.stop()
    gateway.start()
    eventually(lambda: (hub.status is not None and hub.status.online) or None, "it is back")
    hub.runs(settled.sha256)
    assert f"ordered version {version}: too_large" in gateway.cli("show").stdout
    assert settled.since() == [("refused", "too_large")], "told once, also over a restart"
    hub.push(version, good, artefact=False)
    hub.runs(sha256)


# Manifests that are refused

Make = Callable[[ModelHub, Any], bytes]
OTHER = SigningKey(b"somebody else's key, not the hub")


def ordered(hub: ModelHub, **changes: Any) -> bytes:
    return manifest.sign(hub.manifest({PROFILE: release(7, model(505))}, **changes), hub.key)


def by_another_key(hub: ModelHub, _: Any) -> bytes:
    return manifest.sign(hub.manifest({PROFILE: release(7, model(505))}), OTHER)


def by_another_key_that_claims_ours(hub: ModelHub, _: Any) -> bytes:
    envelope = json.loads(by_another_key(hub, _))
    return json.dumps({**envelope, "key": json.loads(ordered(hub))["key"]}).encode()


def with_another_signature(hub: ModelHub, _: Any) -> bytes:
    envelope = json.loads(ordered(hub))
    return json.dumps({**envelope, "signature": base64.b64encode(bytes(64)).decode()}).encode()


def changed_on_its_way(hub: ModelHub, _: Any) -> bytes:
    return ordered(hub).replace(b'"version":7', b'"version":8')


def now(offset: float) -> float:
    return time.time() + offset


MANIFESTS: dict[str, tuple[Make, Rejection]] = {
    "a replayed counter with another order": (lambda hub, s: ordered(hub, counter=s), Rejection.REPLAYED),
    "a lower counter": (lambda hub, s: ordered(hub, counter=s - 1), Rejection.ROLLED_BACK),
    "for another gateway": (lambda hub, _: ordered(hub, gateway="gw-2"), Rejection.FOREIGN_GATEWAY),
    "expired": (lambda hub, _: ordered(hub, issued=now(-9 * DAY), expires=now(-DAY)), Rejection.EXPIRED),
    "of the future": (
        lambda hub, _: ordered(hub, issued=now(9 * DAY), expires=now(10 * DAY)), Rejection.NOT_YET_ISSUED
    ),
    "signed by another key": (by_another_key, Rejection.UNKNOWN_KEY),
    "signed by another key that claims ours": (by_another_key_that_claims_ours, Rejection.BAD_SIGNATURE),
    "with another signature": (with_another_signature, Rejection.BAD_SIGNATURE),
    "changed on its way": (changed_on_its_way, Rejection.BAD_SIGNATURE),
    "truncated": (lambda hub, _: ordered(hub)[:-30], Rejection.MALFORMED),
    "oversized": (lambda hub, _: ordered(hub) + b" " * manifest.MAX_BYTES, Rejection.TOO_LARGE),
    "garbage": (lambda _hub, _: b"\xff\x00garbage", Rejection.MALFORMED),
    "a pickle": (lambda _hub, _: b"\x80\x04cos\nsystem\n.", Rejection.MALFORMED),
    "very deep": (lambda _hub, _: b"[" * 60_000, Rejection.MALFORMED),
    "of a newer format": (lambda hub, _: ordered(hub).replace(b'"v":1', b'"v":2', 1), Rejection.NEWER_FORMAT),
}  # fmt: skip


def test_manifests_that_must_not_be_followed_are_refused_once_each_for_its_own_reason(settled: Settled) -> None:
    hub = settled.hub
    in_force = hub.counter
    for i, (name, (make, reason)) in enumerate(MANIFESTS.items()):
        data = make(hub, in_force)
        for _ in range(3):
            hub.desire(data)
        refused = hub.told("refused", since=settled.told + i)
        assert (refused.reason, refused.profile, refused.sha256) == (reason.value, "", ""), name
        assert refused.detail
    settled.goes_on()
    version = next(_versions)
    hub.runs(hub.push(version, model(version)))
    hub.told("activated", since=settled.told)
    assert settled.since() == [*(("refused", reason.value) for _, reason in MANIFESTS.values()), ("activated", "")]


def test_an_old_manifest_that_comes_again_is_refused(settled: Settled) -> None:
    hub = settled.hub
    old = ordered(hub, counter=hub.counter - 1)
    hub.desire(old)
    assert hub.told("refused", since=settled.told).reason == Rejection.ROLLED_BACK
    settled.goes_on()


def test_an_order_that_is_cleared_is_no_order(settled: Settled) -> None:
    settled.hub.desire(b"")
    version = next(_versions)
    settled.hub.runs(settled.hub.push(version, model(version)))
    assert settled.since() == [("activated", "")]


# Alerts


def test_alerts_of_the_old_model_are_closed_and_the_new_one_may_raise_its_own(site: Site, settled: Settled) -> None:
    hub = settled.hub
    name = f"pump-{settled.version}"
    with device(site.port) as pump:
        random = np.random.default_rng(0)

        def publish(times: range) -> None:
            """Noise around what the forest has never seen: strange to the forest only."""
            for i in times:
                reading = {"ts": 100 + i, "flow": random.normal(60, 5), "pressure": random.normal(900, 5)}
                pump.publish(f"plant/{name}/telemetry", msgspec.json.encode(reading))

        publish(range(10))

        def events(state: str) -> list[Any]:
            found = [a for a in list(hub.alerts.values()) if a.device == name and a.state == state]
            return sorted(found, key=lambda a: a.time)

        eventually(lambda: events("active"), "the forest alerts")
        (raised,) = events("active")
        assert raised.detector == "isolation_forest"
        hub.runs(hub.push(next(_versions), model(506)))
        (closed,) = eventually(lambda: events("cleared"), "closed")
        assert (closed.id, closed.cleared_by) == (raised.id, "model replaced")
        publish(range(10, 20))
        assert eventually(lambda: events("active")[1:], "the new model says so too")[0].id != raised.id
