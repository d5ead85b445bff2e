"""What is desired, and what is due, decided without a broker or a store."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nacl.signing import SigningKey

from vedette_hub.fleet import rollout
from vedette_hub.fleet.rollout import Desired, IssuedManifest, Version, due_after_status, patience, progress
from vedette_models.keys import key_ring
from vedette_models.manifest import Release, sign, verify
from vedette_models.messages import Activation, RunningModel, Status

NOW = 1_800_000_000.0
ONE, TWO, THREE = (Version(number, f"{number}" * 64) for number in (1, 2, 3))
RELEASES = {
    ("pump", version.number): Release(version.number, "isolation_forest", version.sha256, 500)
    for version in (ONE, TWO, THREE)
}


def issued(**fields: object) -> IssuedManifest:
    values: dict[str, object] = {
        "gateway": "gw-1",
        "counter": 5,
        "nonce": "n1",
        "key": "k",
        "issued": NOW - 1000.0,
        "expires": NOW + 1e6,
        "due": "",
        "published": NOW - 1000.0,
        "tries": 1,
    }
    return IssuedManifest(**{**values, **fields})  # type: ignore[arg-type]  # checked by the tests that use it


def status(**fields: object) -> Status:
    return Status(**{"gateway": "gw-1", "online": True, "manifest": 5, "nonce": "n1", **fields})  # type: ignore[arg-type]


def test_a_push_keeps_what_was_ordered_before_to_go_back_to() -> None:
    first = rollout.push(None, ONE)
    assert first == Desired(ONE)
    second = rollout.push(first, TWO)
    assert second == Desired(TWO, ONE)
    assert rollout.push(second, TWO) == second
    assert rollout.push(second, THREE) == Desired(THREE, TWO)


def test_a_roll_back_goes_to_the_version_before_and_there_again_to_the_newer_one() -> None:
    assert rollout.roll_back(None) is None
    assert rollout.roll_back(Desired(ONE)) is None
    back = rollout.roll_back(Desired(TWO, ONE))
    assert back == Desired(ONE, TWO)
    assert rollout.roll_back(back) == Desired(TWO, ONE)


def test_what_was_unloaded_comes_back_with_a_roll_back() -> None:
    assert rollout.unload(None) is None
    gone = rollout.unload(Desired(TWO, ONE))
    assert gone == Desired(None, TWO)
    assert rollout.unload(gone) is None
    assert rollout.roll_back(gone) == Desired(TWO)
    assert rollout.push(gone, TWO) == Desired(TWO)
    assert rollout.push(gone, THREE) == Desired(THREE, TWO)


def test_a_manifest_names_what_runs_and_what_to_go_back_to_and_echoes_the_nonce() -> None:
    desired = {"pump": Desired(TWO, ONE), "fan": Desired(None, ONE)}
    manifest = rollout.compose("gw-1", desired, RELEASES, None, status(manifest=0, nonce="n7"), NOW)
    assert manifest.counter == 1
    assert manifest.nonce == "n7"
    assert manifest.releases == {"pump": RELEASES["pump", 2]}
    assert manifest.previous == {"pump": RELEASES["pump", 1]}
    assert manifest.expires == NOW + rollout.LIFETIME_SECONDS


def test_a_previous_version_that_is_gone_from_the_registry_is_left_out() -> None:
    manifest = rollout.compose("gw-1", {"pump": Desired(TWO, Version(9, "9" * 64))}, RELEASES, None, None, NOW)
    assert manifest.previous == {}


@given(st.integers(0, 2**52), st.integers(0, 2**53), st.text(max_size=200))
@settings(max_examples=50, derandomize=True)
def test_every_manifest_is_above_what_the_gateway_reports_and_can_be_signed(own: int, said: int, nonce: str) -> None:
    key = SigningKey.generate()
    heard = status(manifest=said, nonce=nonce)
    manifest = rollout.compose("gw-1", {"pump": Desired(ONE)}, RELEASES, issued(counter=own), heard, NOW)
    assert manifest.counter > own
    if said <= rollout.TRUSTED_COUNTER:
        assert manifest.counter > said
        assert verify(sign(manifest, key), key_ring(key.verify_key), "gw-1", now=NOW, last_counter=said) == manifest


def test_a_gateway_that_claims_an_absurd_counter_cannot_use_them_up() -> None:
    manifest = rollout.compose("gw-1", {}, {}, issued(counter=7), status(manifest=2**53), NOW)
    assert manifest.counter == 8
    assert due_after_status(issued(published=NOW), status(manifest=2**53), NOW) == ""


def test_a_gateway_that_follows_needs_nothing() -> None:
    assert due_after_status(issued(), status(), NOW) == ""
    assert due_after_status(issued(due="publish"), status(), NOW) == "publish"


def test_a_higher_counter_than_ours_is_signed_above() -> None:
    assert due_after_status(issued(), status(manifest=9), NOW) == "sign"
    assert due_after_status(issued(due="publish"), status(manifest=9), NOW) == "sign"


def test_a_lost_counter_gets_its_nonce_echoed_once_for_each_nonce() -> None:
    assert due_after_status(issued(published=NOW), status(manifest=0, nonce="n2"), NOW) == "sign"
    assert due_after_status(issued(nonce="n2", published=NOW), status(manifest=0, nonce="n2"), NOW) == ""


def test_a_gateway_that_lags_is_sent_the_manifest_again_with_growing_patience() -> None:
    behind = status(manifest=4)
    manifest = issued(published=NOW)
    assert due_after_status(manifest, behind, NOW + patience(1) - 1) == ""
    assert due_after_status(manifest, behind, NOW + patience(1)) == "publish"
    tried = replace(manifest, tries=4)
    assert due_after_status(tried, behind, NOW + patience(1)) == ""
    assert due_after_status(tried, behind, NOW + patience(4)) == "publish"
    assert patience(1) < patience(4) < patience(100) == patience(10_000) == rollout.RETRY_LONGEST


def test_a_gateway_that_lags_with_a_wrong_clock_or_after_expiry_gets_a_fresh_manifest() -> None:
    assert due_after_status(issued(nonce="old"), status(manifest=4), NOW) == "sign"
    assert due_after_status(issued(expires=NOW - 1), status(manifest=4), NOW) == "sign"


def test_an_agent_that_knows_no_manifests_is_not_signed_for_again_and_again() -> None:
    older = status(manifest=0, nonce="")
    assert due_after_status(issued(nonce="", published=NOW), older, NOW) == ""
    assert due_after_status(issued(nonce=""), older, NOW) == "publish"


def test_a_last_will_asks_for_nothing() -> None:
    assert due_after_status(issued(), Status("gw-1", online=False, reason="lost"), NOW) == ""


RUNS_ONE = {"pump": RunningModel(1, ONE.sha256, "isolation_forest")}
REFUSED = Activation("pump", TWO.sha256, 2, "refused", "golden_mismatch", counter=5)


@pytest.mark.parametrize(
    ("desired", "manifest", "said", "last", "online", "expected"),
    [
        (None, None, status(), None, True, None),
        (None, None, status(models=RUNS_ONE), None, True, "not ordered here"),
        (Desired(ONE), issued(), status(models=RUNS_ONE), None, True, "running"),
        (Desired(ONE), issued(), status(models=RUNS_ONE), None, False, "running"),
        (Desired(TWO), issued(due="publish"), status(models=RUNS_ONE), None, True, "queued"),
        (Desired(TWO), issued(published=None), None, None, False, "queued"),
        (Desired(TWO), issued(), status(models=RUNS_ONE), None, True, "sent"),
        (Desired(TWO), issued(), status(models=RUNS_ONE), None, False, "offline"),
        (Desired(TWO), issued(), status(models=RUNS_ONE), REFUSED, True, "refused"),
        (Desired(TWO), issued(counter=6), status(models=RUNS_ONE), REFUSED, True, "sent"),
        (Desired(None, ONE), issued(), status(models=RUNS_ONE), None, True, "sent"),
        (Desired(None, ONE), issued(), status(), None, True, "removed"),
    ],
)
def test_progress_says_how_far_an_order_has_come(
    desired: Desired | None,
    manifest: IssuedManifest | None,
    said: Status | None,
    last: Activation | None,
    online: bool,
    expected: str | None,
) -> None:
    assert progress(desired, manifest, said, "pump", last, online=online) == expected
