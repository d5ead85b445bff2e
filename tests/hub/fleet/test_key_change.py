"""A new signing key that gateways follow by themselves, and an old one that they follow no more."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from nacl.signing import VerifyKey
from sqlalchemy import Engine, select

from tests.hub.fleet.test_orders import say
from tests.hub.updating import add_model
from vedette_hub import state
from vedette_hub.cli import main
from vedette_hub.config import Config
from vedette_hub.fleet import enrolment, key_change, orders
from vedette_hub.fleet.issue import issue
from vedette_hub.fleet.key_change import KeyChangeError
from vedette_hub.fleet.orders import Targets
from vedette_hub.store import keys as store
from vedette_hub.store import rollout
from vedette_hub.store.database import reading, writing
from vedette_hub.store.schema import manifests
from vedette_models.keys import KeyRing, key_id, key_ring
from vedette_models.manifest import key_statements, verify
from vedette_models.rejection import ManifestRejected, Rejection
from vedette_models.succession import MAX_STATEMENTS, followed

NOW = 1_800_000_000.0


@pytest.fixture
def folder(engine: Engine, config: Config) -> Path:
    """A hub with a key that has ordered a model on a gateway."""
    enrolment.prepare_signing_key(config.state_dir, engine)
    say(engine, "gw-1")
    push(engine, config.state_dir)
    return config.state_dir


def push(engine: Engine, folder: Path) -> None:
    version, _ = add_model(engine)
    orders.push(engine, state.signing_key(folder), "pump", version, Targets(), "test", NOW)


def body(engine: Engine) -> bytes:
    with reading(engine) as connection:
        return bytes(connection.execute(select(manifests.c.body)).scalar_one())


def signed_again(engine: Engine, folder: Path) -> bytes:
    """What a hub does after its start, or when it finds something to sign."""
    key = state.signing_key(folder)
    with writing(engine) as connection:
        rollout.publish_everything_again(connection, key_id(key.verify_key))
        names = rollout.due_manifests(connection, "sign", limit=10)
        assert issue(connection, key, names, NOW, again=True).failures == {}
    return body(engine)


def follows(ring: KeyRing, data: bytes) -> KeyRing:
    """The keys that a gateway with this ring follows after this manifest, which it must follow."""
    keys = followed(ring, key_statements(data))
    verify(data, keys, "gw-1", now=NOW, last_counter=0)
    return keys


def public(folder: Path) -> VerifyKey:
    return state.signing_key(folder).verify_key


def test_gateways_follow_the_new_key_and_the_old_one_until_it_is_revoked(engine: Engine, folder: Path) -> None:
    old = public(folder)
    ring = key_ring(old)
    made = key_change.rotate(folder, engine, NOW, remark="test")
    new = public(folder)
    assert (made.old, made.new) == (key_id(old), key_id(new))
    assert stat.S_IMODE((folder / state.SIGNING_KEY_FILE).stat().st_mode) == 0o600
    assert made.kept.exists()
    data = signed_again(engine, folder)
    assert set(follows(ring, data)) == {key_id(old), key_id(new)}
    key_change.revoke(engine, state.signing_key(folder), key_id(old), NOW)
    assert set(follows(ring, signed_again(engine, folder))) == {key_id(new)}
    assert set(follows(key_ring(new), body(engine))) == {key_id(new)}, "also a gateway that was enrolled since"


def test_a_gateway_that_was_away_follows_after_several_rotations(engine: Engine, folder: Path) -> None:
    ring = key_ring(public(folder))
    for _ in range(3):
        before = key_id(public(folder))
        key_change.rotate(folder, engine, NOW, remark="test")
        signed_again(engine, folder)
        key_change.revoke(engine, state.signing_key(folder), before, NOW)
    assert set(follows(ring, signed_again(engine, folder))) == {key_id(public(folder))}


def test_the_present_key_and_one_that_is_still_used_cannot_be_revoked(engine: Engine, folder: Path) -> None:
    with pytest.raises(KeyChangeError, match="itself"):
        key_change.revoke(engine, state.signing_key(folder), key_id(public(folder)), NOW)
    made = key_change.rotate(folder, engine, NOW, remark="test")
    with pytest.raises(KeyChangeError, match="restart the hub"):
        key_change.revoke(engine, state.signing_key(folder), made.old, NOW)


@pytest.mark.parametrize("point", ["store", "link", "replace"])
def test_who_is_killed_in_the_middle_asks_again(
    engine: Engine, folder: Path, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    class Killed(BaseException):
        pass

    def killed(*_: object, **__: object) -> None:
        raise Killed

    old = public(folder)
    targets: dict[str, tuple[object, str]] = {
        "store": (store, "add_statement"), "link": (os, "link"), "replace": (Path, "replace")
    }  # fmt: skip
    with monkeypatch.context() as patched:
        if point == "replace":  # the key beside the old one is written before
            state.signing_key_in(folder / f"{state.SIGNING_KEY_FILE}{key_change.NEXT_SUFFIX}", "test")
        patched.setattr(*targets[point], killed)
        with pytest.raises(Killed):
            key_change.rotate(folder, engine, NOW, remark="test")
    assert public(folder) == old, "the hub goes on with the old key"
    signed_again(engine, folder)
    made = key_change.rotate(folder, engine, NOW, remark="test")
    assert made.old == key_id(old)
    assert set(follows(key_ring(old), signed_again(engine, folder))) == {key_id(old), made.new}


def test_when_there_are_too_many_statements_key_rings_are_to_be_renewed(engine: Engine, folder: Path) -> None:
    for _ in range(MAX_STATEMENTS):
        key_change.rotate(folder, engine, NOW, remark="test")
    with pytest.raises(KeyChangeError, match="--key-rings-renewed"):
        key_change.rotate(folder, engine, NOW, remark="test")
    ring = key_ring(public(folder))
    key_change.rotate(folder, engine, NOW, remark="test", rings_renewed=True)
    assert key_id(public(folder)) in follows(ring, signed_again(engine, folder))
    assert len(key_statements(body(engine))) == 1


def test_a_thief_of_the_old_key_is_not_followed_after_it_was_revoked(engine: Engine, folder: Path) -> None:
    stolen = state.signing_key(folder)
    ring = key_ring(stolen.verify_key)
    made = key_change.rotate(folder, engine, NOW, remark="test")
    signed_again(engine, folder)
    key_change.revoke(engine, state.signing_key(folder), made.old, NOW)
    keys = follows(ring, signed_again(engine, folder))
    with writing(engine) as connection:
        issue(connection, stolen, ["gw-1"], NOW)
    with pytest.raises(ManifestRejected) as refused:
        verify(body(engine), keys, "gw-1", now=NOW, last_counter=0)
    assert refused.value.reason is Rejection.UNKNOWN_KEY


def test_the_commands(engine: Engine, folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "hub.toml"
    path.write_text(f'[hub]\nstate_dir = "{folder}"\n')

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(main, ["key", *arguments, "--config", str(path)])

    old = key_id(public(folder))
    done = run("rotate")
    assert done.exit_code == 0, done.output
    assert f"vedette-hub key revoke {old}" in done.output
    refused = run("revoke", old)
    assert refused.exit_code != 0
    signed_again(engine, folder)
    assert run("revoke", "not-a-key").exit_code == 2
    done = run("revoke", old)
    assert done.exit_code == 0, done.output
    with reading(engine) as connection:
        assert rollout.due_manifests(connection, "sign", limit=5) == ["gw-1"]
    assert key_id(public(folder)) in run("ring").output


def test_an_order_keeps_its_time_until_it_is_given_anew(engine: Engine, folder: Path) -> None:
    def ordered() -> float:
        keys = key_ring(public(folder))
        return verify(body(engine), keys, "gw-1", now=NOW, last_counter=0).releases["pump"].ordered

    assert ordered() == NOW
    key = state.signing_key(folder)
    with writing(engine) as connection:
        issue(connection, key, ["gw-1"], NOW + 5.0, again=True)
    assert ordered() == NOW
    add_model(engine, "fan")
    orders.push(engine, key, "fan", 1, Targets(), "test", NOW + 10.0)
    assert ordered() == NOW, "another profile was ordered"
    orders.push(engine, key, "pump", 1, Targets(), "test", NOW + 20.0)
    assert ordered() == NOW + 20.0
