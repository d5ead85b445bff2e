from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vedette_models.detectors.base import StateError
from vedette_models.exposure import LONGEST_GAP, WEEK, Exposure, Rate

DAY, HOUR = 86_400.0, 3_600.0
T0 = 1.7e9


def watched(exposure: Exposure, *times: float, device: int = 0) -> list[int]:
    return exposure.watch(np.full(len(times), device, np.intp), np.array(times)).device.tolist()


def test_time_between_readings_is_watched() -> None:
    exposure = Exposure(1)
    assert watched(exposure, T0, T0 + 60, T0 + 90.5) == [0, 60_000, 90_500]
    assert watched(exposure, T0 + 91.5) == [91_500]


def test_a_gap_counts_as_a_day_at_most() -> None:
    assert watched(Exposure(1), T0, T0 + 30 * DAY, T0 + 30 * DAY + 1) == [0, LONGEST_GAP, LONGEST_GAP + 1_000]


def test_late_readings_add_nothing() -> None:
    assert watched(Exposure(1), T0, T0 + 60, T0 + 30, T0 + 120) == [0, 60_000, 30_000, 120_000]


def test_a_clock_that_is_set_back_by_years_costs_a_day() -> None:
    exposure = Exposure(1)
    watched(exposure, *(T0 + HOUR * np.arange(100)).tolist())
    assert watched(exposure, T0 - 1000 * DAY, T0 - 1000 * DAY + HOUR) == [75 * 3_600_000, 76 * 3_600_000]


def test_time_watched_is_never_negative() -> None:
    exposure = Exposure(1)
    said = exposure.watch(np.zeros(2, np.intp), np.array([T0, T0 - DAY]))
    assert said.device.tolist() == said.fleet.tolist() == [0, 0]
    assert exposure.rate == Rate(0, 0.0)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**32 - 1), cuts=st.lists(st.integers(0, 200), max_size=10))
def test_any_split_into_batches_watches_the_same(seed: int, cuts: list[int]) -> None:
    random = np.random.default_rng(seed)
    device = random.integers(0, 5, 200)
    time = T0 + np.cumsum(random.choice([0.0, 0.0005, 60.0, -30.0, 1e6], 200))
    whole, split = Exposure(5), Exposure(5)
    once = whole.watch(device, time)
    edges = [0, *sorted(cuts), 200]
    parts = [split.watch(device[a:b], time[a:b]) for a, b in pairwise(edges)]
    for name in ("time", "device", "fleet"):
        assert np.array_equal(getattr(once, name), np.concatenate([getattr(part, name) for part in parts]))
    assert whole.rate == split.rate


def test_the_fleet_is_the_sum_of_its_devices_in_order_of_arrival() -> None:
    exposure = Exposure(2)
    said = exposure.watch(np.array([0, 1, 0, 1]), np.array([0.0, 100.0, 10.0, 105.0]))
    assert said.fleet.tolist() == [0, 0, 10_000, 15_000]


def test_alerts_are_counted_beside_the_time() -> None:
    exposure = Exposure(2)
    watched(exposure, *(T0 + DAY * np.arange(8)).tolist(), device=1)
    exposure.count(np.array([1, 1, 0]))
    assert exposure.rate == Rate(3, 1.0)
    assert exposure.rate.per_device_week == 3.0
    assert Exposure().rate.per_device_week is None


def test_a_forgotten_device_takes_its_time_and_alerts_with_it() -> None:
    exposure = Exposure(2)
    for device in (0, 1):
        watched(exposure, T0, T0 + HOUR, device=device)
    exposure.count(np.array([0, 1]))
    exposure.forget(np.array([0]))
    assert exposure.rate == Rate(1, 3_600_000 / WEEK)
    assert watched(exposure, T0 + 5 * HOUR) == [0], "its next reading is its first"


def test_a_restored_exposure_goes_on() -> None:
    before, after = Exposure(2), Exposure(3)
    watched(before, T0, T0 + HOUR, device=1)
    before.count(np.array([1]))
    after.restore(before.state())
    assert watched(after, T0 + 2 * HOUR, device=1) == [7_200_000]
    assert after.rate == Rate(1, 7_200_000 / WEEK)


def test_a_state_that_no_watching_leads_to_is_refused() -> None:
    state = Exposure(1).state()
    with pytest.raises(StateError, match="negative"):
        Exposure(1).restore({**state, "raised": state["raised"] - np.int64(1)})
    with pytest.raises(StateError):
        Exposure(1).restore({"raised": state["raised"]})
