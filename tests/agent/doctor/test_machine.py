"""The doctor on this machine: a real folder, a real database with real damage, models that were signed or not."""

from __future__ import annotations

import os
import sqlite3
import time
from pathlib import Path

import pytest
from nacl.signing import SigningKey

from tests.agent.update.model_hub import CHANNELS, PROFILE, model, release
from vedette_agent.config import Config, OutboxLimits, load
from vedette_agent.delivery.outbox import Outbox
from vedette_agent.doctor import clock, database, disk, models
from vedette_agent.reading.effects import Effects
from vedette_agent.update.journal import Journal, Running
from vedette_agent.update.model_store import ModelStore
from vedette_models import manifest
from vedette_models.keys import format_key_ring, key_ring
from vedette_models.manifest import Manifest

SECONDS = 10.0
KEY = SigningKey(b"a key for tests, known to anyone")
TEXT = f"""
gateway.id = "gw"
gateway.state_dir = "state"
devices.url = "mqtt://broker"
hub.url = "mqtt://hub"
models.key_ring = "keys"
profiles.{PROFILE}.channels = {list(CHANNELS)}
[[streams]]
topic = "plant/{{device}}"
profile = "{PROFILE}"
"""


@pytest.fixture
def config(tmp_path: Path) -> Config:
    (tmp_path / "agent.toml").write_text(TEXT)
    (tmp_path / "keys").write_text(format_key_ring(key_ring(KEY.verify_key)))
    (tmp_path / "keys").chmod(0o644)
    (tmp_path / "state").mkdir(mode=0o700)
    return load(tmp_path / "agent.toml", {})


@pytest.fixture
def path(config: Config) -> Path:
    """The database of an agent that has run and ended."""
    found = config.gateway.state_dir / "agent.db"
    box = Outbox(found, "gw", OutboxLimits(), to_hub=True)
    box.set_filters(["plant/+"])
    for _ in range(50):
        box.commit(Effects(), time.time())
    box.close()
    return found


def test_a_folder_that_can_be_written_is_left_as_it_was(config: Config) -> None:
    folder = config.gateway.state_dir
    seen = disk.look(folder, SECONDS)
    assert (seen.exists, seen.read_only, seen.write_error, seen.denied) == (True, False, "", False)
    assert seen.free > 0
    assert not list(folder.iterdir())
    folder.chmod(0o777)
    assert disk.look(folder, SECONDS).mode == 0o777
    assert not disk.look(folder / "not there", SECONDS).exists
    assert not disk.look(config.source, SECONDS).is_folder


def test_a_whole_database_is_read_and_nothing_is_made_beside_it(path: Path) -> None:
    before = sorted(path.parent.iterdir())
    seen = database.look(path, SECONDS)
    assert (seen.exists, seen.problem, seen.unread, seen.subscribed) == (True, "", "", True)
    assert sorted(path.parent.iterdir()) == before
    assert database.judge(path, seen).outcome == "ok"


def test_a_database_in_use_is_read_with_what_is_in_its_log(path: Path) -> None:
    box = Outbox(path, "gw", OutboxLimits(), to_hub=True)
    box.set_filters([])
    assert not database.look(path, SECONDS).subscribed
    box.close()


@pytest.mark.parametrize("damage", ["header", "page"])
def test_flipped_bits_are_found(path: Path, damage: str) -> None:
    data = bytearray(path.read_bytes())
    start = 0 if damage == "header" else 4096
    data[start : start + 4096] = os.urandom(4096)
    path.write_bytes(data)
    found = database.judge(path, database.look(path, SECONDS))
    assert (found.outcome, "moves it aside" in found.fix) == ("failed", True)


def test_a_database_that_was_set_aside_is_said(path: Path) -> None:
    path.with_name("agent.db.damaged-20260101T000000Z").write_bytes(b"")
    found = database.judge(path, database.look(path, SECONDS))
    assert (found.outcome, "agent.db.damaged-20260101T000000Z" in found.seen) == ("warning", True)


def test_a_check_that_takes_too_long_is_given_up(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE big (x)")
        connection.execute(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50000) "
            "INSERT INTO big SELECT hex(randomblob(20)) FROM n"
        )
    connection.close()
    assert database.judge(path, database.look(path, 0.0)).outcome == "not tested"


def test_the_kernel_is_asked_for_its_clock() -> None:
    seen = clock.look()
    assert abs(seen.now - time.time()) < 60
    assert seen.synchronised in (True, False, None)


def test_a_stored_model_is_checked_as_at_a_start(config: Config) -> None:
    store, data = ModelStore(config.gateway.state_dir), model(3)
    ordered = release(3, data)
    store.keep(ordered.sha256, data)
    store.write(Journal(counter=7, ordered={PROFILE: ordered}, current={PROFILE: Running(ordered, time.time())}))
    found = models.judge(config, models.look(config))
    assert [(f.name, f.outcome) for f in found] == [("key ring", "ok"), (f"{PROFILE} model", "ok")]

    stored = store.folder / f"{ordered.sha256}.model"
    stored.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    assert "wrong_hash" in models.judge(config, models.look(config))[1].seen
    stored.unlink()
    assert models.judge(config, models.look(config))[1].outcome == "failed"


def test_an_order_is_checked_against_the_key_ring(config: Config) -> None:
    now = time.time()
    keys = key_ring(KEY.verify_key)
    order = Manifest("gw", 7, now - 10, now + 3600, {PROFILE: release(3, model(3))})
    good = manifest.sign(order, KEY)

    def judged(data: bytes, counter: int | None = 7, at: float = now) -> str:
        return models.judge_order(config, data, keys, counter, at).outcome

    assert judged(good) == "ok"
    assert judged(good.replace(b'"counter":7', b'"counter":8')) == "failed"
    assert judged(manifest.sign(order, SigningKey(bytes(32)))) == "failed"
    assert judged(manifest.sign(Manifest("other", 7, now, now + 9, {}), KEY)) == "failed"
    assert judged(good, counter=9) == "warning"
    assert judged(good, counter=6, at=now + 7200) == "warning"
    assert judged(good, at=now + 7200) == "ok", "what was accepted runs on"
