"""The newest readings: never more than there is room for, in order, over restarts, and without who was forgotten."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vedette_agent.reading import checkpoint
from vedette_agent.reading.profile_watch import ProfileWatch
from vedette_agent.reading.recent import MAX_VALUES, Recent
from vedette_models.detectors.base import StateError
from vedette_models.profile import Channel, Profile
from vedette_models.readings import ReadingBatch


def batch(first: int, count: int, devices: int = 3) -> ReadingBatch:
    number = np.arange(first, first + count)
    return ReadingBatch.of(number % devices, number.astype(float), np.stack([number, -number], axis=1).astype(float))


@settings(max_examples=80, deadline=None, derandomize=True)
@given(st.integers(1, 40), st.lists(st.integers(0, 60), max_size=8))
def test_the_newest_are_there_in_order_of_arrival(room: int, counts: list[int]) -> None:
    recent, total = Recent(2, room), 0
    for count in counts:
        recent.add(batch(total, count))
        total += count
    found = recent.readings()
    assert found.time.tolist() == list(range(max(0, total - room), total))
    assert found.values[:, 1].tolist() == [-time for time in found.time.tolist()]
    restored = Recent(2, room)
    restored.restore(recent.state(), 3)
    restored.add(batch(total, 5))
    recent.add(batch(total, 5))
    assert restored.readings().time.tolist() == recent.readings().time.tolist()


def test_devices_are_numbered_from_0_on() -> None:
    recent = Recent(2, 10)
    recent.add(ReadingBatch.of([7, 9_000, 7], [0.0, 1.0, 2.0], np.zeros((3, 2))))
    assert recent.readings().device.tolist() == [0, 1, 0]


def test_who_is_forgotten_is_not_there() -> None:
    recent = Recent(2, 10)
    recent.add(batch(0, 8))
    recent.forget(1)
    assert recent.readings().time.tolist() == [0.0, 2.0, 3.0, 5.0, 6.0]


def test_many_channels_leave_room_for_fewer_readings() -> None:
    recent = Recent(512, 100_000)
    assert len(recent._time) == MAX_VALUES // 512


@pytest.mark.parametrize(
    "changes",
    [
        {"device": None},
        {"device": np.array([0.5])},
        {"device": np.array([3])},
        {"device": np.array([-1])},
        {"time": np.array([np.nan])},
        {"time": np.zeros(2)},
        {"values": np.zeros((1, 3))},
        {"values": np.full((1, 2), np.inf)},
        {"more": np.zeros(1)},
    ],
)
def test_what_does_not_fit_is_not_taken(changes: dict[str, np.ndarray | None]) -> None:
    recent = Recent(2, 10)
    recent.add(batch(1, 1))
    state = {**recent.state(), **changes}
    state = {name: array for name, array in state.items() if array is not None}
    fresh = Recent(2, 10)
    with pytest.raises(StateError):
        fresh.restore(state, 3)
    assert len(fresh.readings()) == 0


def test_they_come_back_with_the_checkpoint_of_their_profile(tmp_path: Path) -> None:
    profile = Profile("pump", channels=(Channel("flow"), Channel("pressure")))

    def watch() -> ProfileWatch:
        made = ProfileWatch(profile, "gw", "e", 10)
        made.recent = Recent(2, 10)
        return made

    first, second = watch(), watch()
    for device in ("a", "b", "c"):
        first.table.row(device)
    first.process(batch(0, 25))
    path = checkpoint.path_of(tmp_path, "pump")
    checkpoint.save(path, first.checkpoint(1.0))
    saved = checkpoint.load(path)
    assert saved is not None
    second.restore(saved)
    assert second.recent is not None
    assert second.recent.readings().time.tolist() == list(range(15, 25))
    second.forget("a", 2.0)
    assert set(second.recent.readings().time.astype(int) % 3) == {1, 2}
