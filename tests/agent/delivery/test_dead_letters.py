from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vedette_agent.config.models import OutboxLimits
from vedette_agent.delivery.dead_letters import shares
from vedette_agent.delivery.outbox import Outbox
from vedette_agent.reading.effects import DeadLetterRow, Effects


@given(st.lists(st.integers(1, 50), min_size=1, max_size=20).map(sorted), st.integers(0, 100))
@settings(derandomize=True)
def test_a_share_is_all_or_as_much_as_anybody_may_keep(counts: list[int], room: int) -> None:
    kept = shares(counts, room)
    assert sum(kept) == min(room, sum(counts))
    assert all(0 <= share <= count for share, count in zip(kept, counts, strict=True))
    cut = [share for share, count in zip(kept, counts, strict=True) if share < count]
    assert all(share >= max(kept) - 1 for share in cut), "who gives something up keeps as much as anybody, but for one"


def letter(source: str, number: int) -> DeadLetterRow:
    return DeadLetterRow(float(number), f"plant/{source}", "not_json", str(number), b"{", source, 8)


@pytest.fixture
def box(tmp_path: Path) -> Outbox:
    return Outbox(tmp_path / "agent.db", "gw", OutboxLimits(), to_hub=False, dead_letters=10)


def kept(box: Outbox) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for row in box.dead_letters(1_000):
        found.setdefault(row.source, []).append(row.detail)
    return found


def test_a_storm_of_one_device_leaves_the_samples_of_the_others(box: Outbox) -> None:
    box.commit(Effects(dead_letters=[letter("pump-1", i) for i in range(3)]), 0.0)
    box.commit(Effects(dead_letters=[letter("pump-2", i) for i in range(2)]), 0.0)
    for first in range(0, 400, 20):
        box.commit(Effects(dead_letters=[letter("broken", i) for i in range(first, first + 20)]), 0.0)
    assert kept(box) == {
        "pump-1": ["2", "1", "0"],
        "pump-2": ["1", "0"],
        "broken": ["399", "398", "397", "396", "395"],
    }


def test_a_device_may_use_what_the_others_leave_free(box: Outbox) -> None:
    box.commit(Effects(dead_letters=[letter("broken", i) for i in range(20)]), 0.0)
    assert len(kept(box)["broken"]) == 10
    box.commit(Effects(dead_letters=[letter("pump-1", i) for i in range(9)]), 0.0)
    assert {source: len(rows) for source, rows in kept(box).items()} == {"broken": 5, "pump-1": 5}


def test_more_sources_than_room_keep_the_newest(box: Outbox) -> None:
    for i in range(50):
        box.commit(Effects(dead_letters=[letter(f"device-{i}", i)]), 0.0)
    assert sorted(kept(box)) == sorted(f"device-{i}" for i in range(40, 50))
