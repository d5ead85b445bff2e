"""Room on the disk that is taken beforehand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.agent.alerts import alert
from vedette_agent.config.models import OutboxLimits
from vedette_agent.delivery import disk_room
from vedette_agent.delivery.database import LOG_BYTES, PAGE_BYTES
from vedette_agent.delivery.disk_room import RESERVE_BYTES
from vedette_agent.delivery.outbox import Outbox
from vedette_agent.reading.effects import Effects

LIMITS = OutboxLimits(max_rows=100, max_bytes=64 * 1024)


def open_box(folder: Path) -> Outbox:
    return Outbox(folder / "agent.db", "gw", LIMITS, to_hub=True, owner=True)


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Outbox]:
    opened = open_box(tmp_path)
    yield opened
    opened.close()


def size(path: Path) -> int:
    """Bytes that it takes on the disk."""
    return path.stat().st_blocks * 512


def take_all(box: Outbox) -> int:
    steps = 1
    while not box.disk.step():
        steps += 1
    return steps


def test_the_whole_file_is_taken_and_then_free(box: Outbox, tmp_path: Path) -> None:
    box.commit(Effects(alerts=[alert()]), 1.0)
    box.disk.prepare()
    assert take_all(box) > 10
    assert box.disk.complete
    pages = box.database.number("PRAGMA page_count")
    assert box.database.pages - pages < 5 * 2**20 // PAGE_BYTES
    assert box.database.number("PRAGMA freelist_count") > 0.95 * pages
    assert box.database.number("SELECT count(*) FROM filler") == 0
    assert size(tmp_path / "agent.db") + size(tmp_path / "agent.db-wal") >= 0.98 * pages * PAGE_BYTES
    assert size(tmp_path / "agent.db-wal") >= LOG_BYTES
    assert size(tmp_path / "agent.db.reserve") >= RESERVE_BYTES
    assert box.disk.problem is None
    assert box.stats().rows == 1


def test_it_is_taken_once(tmp_path: Path) -> None:
    first = open_box(tmp_path)
    take_all(first)
    first.close()
    again = open_box(tmp_path)
    assert take_all(again) == 1
    again.close()


def test_what_was_filled_when_the_agent_was_killed_is_freed(tmp_path: Path) -> None:
    first = open_box(tmp_path)
    for _ in range(5):
        assert not first.disk.step()
    first.close()
    again = open_box(tmp_path)
    assert again.database.number("SELECT count(*) FROM filler") == 5
    take_all(again)
    assert again.database.number("SELECT count(*) FROM filler") == 0
    again.close()


def test_alerts_are_committed_while_it_is_taken(box: Outbox) -> None:
    for number in range(60):
        box.disk.step()
        box.commit(Effects(alerts=[alert(device=f"d{number}", reason="x" * 500)]), 1.0)
    take_all(box)
    assert box.stats().rows == 60


def test_a_disk_that_is_nearly_full_is_left_to_the_others(box: Outbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(box.database, "free_bytes", lambda: disk_room.LEFT_TO_OTHERS)
    assert box.disk.step()
    assert not box.disk.complete
    assert box.database.number("PRAGMA page_count") < 100


def test_a_close_leaves_as_much_as_the_log_took_where_there_is_no_reserve(tmp_path: Path) -> None:
    box = open_box(tmp_path)
    box.disk.prepare()
    box.disk.reserve.release()
    log = (tmp_path / "agent.db-wal").stat()
    box.close()
    assert not (tmp_path / "agent.db-wal").exists()
    assert (tmp_path / "agent.db.reserve").stat().st_ino == log.st_ino, "not for a moment was it anybody's"
    again = open_box(tmp_path)
    again.disk.maintain()
    assert size(tmp_path / "agent.db.reserve") >= RESERVE_BYTES
    assert again.disk.problem is None
    again.close()


def test_without_preallocation_nothing_is_kept(tmp_path: Path) -> None:
    limits = LIMITS.model_copy(update={"preallocate": False})
    Outbox(tmp_path / "agent.db", "gw", limits, to_hub=True, owner=True).close()
    assert [path.name for path in tmp_path.iterdir()] == ["agent.db"]


def test_a_full_disk_gives_up_the_reserve_and_says_so(box: Outbox, monkeypatch: pytest.MonkeyPatch) -> None:
    box.disk.prepare()
    monkeypatch.setattr(box.database, "free_bytes", lambda: 0)
    assert box.disk.give_way()
    assert not box.disk.give_way(), "it is gone"
    assert box.disk.problem is not None
    assert "reserve" in box.disk.problem
    monkeypatch.undo()
    box.disk.maintain()
    assert box.disk.problem is None


def test_a_disk_that_is_not_full_keeps_its_reserve(box: Outbox) -> None:
    box.disk.prepare()
    assert not box.disk.give_way()
    assert box.disk.reserve.kept
