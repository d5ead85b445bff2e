from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from vedette_models.calibration import (
    EPISODE_GAP,
    FAIR_SHARE,
    HIGHEST,
    LOWEST,
    PRIOR_WEEKS,
    STRENGTHS,
    Calibration,
    Prior,
    count_episodes,
)
from vedette_models.detectors.base import StateError
from vedette_models.exposure import Exposure

PRIOR = Prior(0.5, 1.0)
HOUR, DAY = 3_600.0, 86_400.0
T0 = 1.7e9
bounded = settings(max_examples=30, deadline=None, derandomize=True)


class Devices:
    """Devices that report every ten minutes, and a calibration of their scores."""

    def __init__(self, devices: int, budget: float = 0.5, prior: Prior = PRIOR) -> None:
        self.exposure, self.calibration = Exposure(devices), Calibration(prior, budget, devices)

    def see(
        self, device: NDArray[np.intp], time: NDArray[np.float64], strength: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        return self.calibration.multipliers(device, strength, self.exposure.watch(device, time))

    def live(
        self, weeks: int, rate: float, seed: int, devices: list[int], start: float = T0
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """(times, strengths, multipliers) of weeks in which `rate` episodes a week exceed strength 1, Pareto."""
        random = np.random.default_rng(seed)
        count = weeks * 7 * 144
        strength = np.zeros((count, len(devices)))
        loud = random.random(strength.shape) < 2.0 * rate / (7 * 144)
        strength[loud] = 0.5 * (1.0 + random.pareto(1.0, int(loud.sum())))
        time = np.repeat(start + 600.0 * np.arange(count), len(devices))
        said = self.see(np.tile(devices, count), time, strength.reshape(-1))
        return time, strength, said.reshape(strength.shape)


def alerts(strength: NDArray[np.float64], multiplier: NDArray[np.float64]) -> int:
    return int((strength >= multiplier).sum())


# Prior


def test_a_prior_says_rate_and_strength() -> None:
    prior = Prior(0.43, 1.08)
    assert prior.rate(1.0) == 0.43
    assert prior.strength(prior.rate(3.0)) == pytest.approx(3.0)


def test_a_prior_is_fitted_to_the_episodes_that_follow_it() -> None:
    weeks = 10_000.0
    counts = np.round(weeks * 0.7 * STRENGTHS**-1.5).astype(np.int64)
    fitted = Prior.fit(counts, weeks)
    assert fitted.per_week == pytest.approx(0.7, rel=0.01)
    assert fitted.exponent == pytest.approx(1.5, rel=0.01)


def test_a_prior_needs_something_to_be_fitted_to() -> None:
    few, flat = np.zeros(len(STRENGTHS), np.int64), np.full(len(STRENGTHS), 100)
    with pytest.raises(ValueError, match="two strengths"):
        Prior.fit(few, 100.0)
    with pytest.raises(ValueError, match="rarer"):
        Prior.fit(flat, 100.0)


# Episodes


def test_readings_less_than_a_gap_apart_are_one_episode() -> None:
    time = np.array([0.0, EPISODE_GAP - 1, 2 * EPISODE_GAP - 2, 3 * EPISODE_GAP - 2])
    assert count_episodes(np.full(4, 1.5), time)[0] == 2
    assert count_episodes(np.zeros(4), time).sum() == 0


@bounded
@given(seed=st.integers(0, 2**32 - 1))
def test_calibration_counts_episodes_by_their_definition(seed: int) -> None:
    random = np.random.default_rng(seed)
    time = T0 + np.cumsum(random.choice([60.0, 1800.0, EPISODE_GAP, 20_000.0], 300))
    strength = np.where(random.random(300) < 0.3, 0.5 * (1 + random.pareto(1.0, 300)), 0.0)
    devices = Devices(1)
    devices.see(np.zeros(300, np.intp), time, strength)
    assert np.array_equal(devices.calibration.state()["episodes"][0, 0], count_episodes(strength, time))


# Thresholds


def test_an_unknown_device_begins_where_the_prior_meets_the_budget() -> None:
    assert Calibration(Prior(0.5, 1.0), 0.25).start == 2.0
    assert Calibration(Prior(0.5, 1.0), 0.5).start == 1.0


@bounded
@given(seed=st.integers(0, 2**32 - 1), cuts=st.lists(st.integers(0, 600), max_size=12))
def test_any_split_into_batches_gives_the_same_thresholds(seed: int, cuts: list[int]) -> None:
    random = np.random.default_rng(seed)
    device = random.integers(0, 4, 600)
    time = T0 + np.cumsum(random.choice([1.0, 600.0, 4_000.0, 50_000.0], 600))
    strength = np.where(random.random(600) < 0.3, 0.5 * (1 + random.pareto(1.0, 600)), random.random(600))
    whole, split = Devices(4), Devices(4)
    once = whole.see(device, time, strength)
    parts = [split.see(device[a:b], time[a:b], strength[a:b]) for a, b in pairwise([0, *sorted(cuts), 600])]
    assert np.array_equal(once, np.concatenate(parts))
    assert len(set(once.tolist())) > 3


@bounded
@given(seed=st.integers(0, 2**32 - 1), low=st.floats(0.05, 5.0), factor=st.floats(1.0, 10.0))
def test_a_larger_budget_never_has_higher_thresholds(seed: int, low: float, factor: float) -> None:
    strict, lenient = (Devices(2, budget) for budget in (low, low * factor))
    said = [d.live(3, 2.0, seed, [0])[2] for d in (strict, lenient)]
    assert (said[0] >= said[1]).all()


def test_a_restless_device_alerts_less_and_less_until_its_budget_is_met() -> None:
    devices = Devices(1)
    devices.live(26, 4.0, 1, [0])
    _, strength, multiplier = devices.live(52, 4.0, 2, [0], T0 + 26 * 7 * DAY)
    # of its episodes half are taken to be true: twice the budget remain
    assert alerts(strength, multiplier) / 52 == pytest.approx(1.0, abs=0.4)


def test_a_quiet_device_becomes_more_sensitive_but_not_beyond_the_limit() -> None:
    devices = Devices(1)
    devices.live(300, 0.02, 1, [0])
    assert devices.see(np.array([0]), np.array([T0 + 301 * 7 * DAY]), np.array([9.0]))[0] == LOWEST


def test_a_device_like_any_other_realises_the_budget() -> None:
    devices = Devices(30)
    _, strength, multiplier = devices.live(8, 0.5, 3, list(range(30)))
    rate = alerts(strength, multiplier) / (8 * 30)
    assert rate == pytest.approx(0.5, rel=0.5)


def test_a_lasting_fault_is_one_episode_and_does_not_blind_its_device() -> None:
    devices = Devices(1)
    before = devices.live(2, 0.5, 1, [0])[2][-1, 0]
    count = 4 * 7 * 144
    time = T0 + 2 * 7 * DAY + 600.0 * np.arange(count)
    devices.see(np.zeros(count, np.intp), time, np.full(count, 6.0))
    after = devices.live(1, 0.5, 2, [0], T0 + 6 * 7 * DAY)[2][-1, 0]
    assert after <= 1.2 * before


@pytest.mark.parametrize(("prior", "highest"), [(Prior(0.5, 1.0), HIGHEST), (Prior(0.5, 4.0), 2.0)])
def test_thresholds_stay_within_reach_however_restless_a_device_is(prior: Prior, highest: float) -> None:
    devices = Devices(1, prior=prior)
    said = devices.live(52, 100.0, 1, [0])[2]
    assert said.max() == highest


def test_a_device_learns_from_the_others_of_its_fleet() -> None:
    alone, among = Devices(21), Devices(21)
    among.live(20, 3.0, 1, list(range(20)))
    now = T0 + 20 * 7 * DAY
    first = [d.see(np.array([20]), np.array([now]), np.array([1.5]))[0] for d in (alone, among)]
    assert first[0] == pytest.approx(1.0)
    assert first[1] > 1.5


def test_one_broken_device_does_not_make_the_others_deaf() -> None:
    devices = Devices(10)
    devices.live(20, 0.3, 1, list(range(1, 10)))
    calm = devices.live(1, 100.0, 2, [0], T0)[2]
    devices.live(19, 100.0, 2, [0], T0 + 7 * DAY)
    others = devices.see(np.array([5]), np.array([T0 + 21 * 7 * DAY]), np.array([1.5]))[0]
    assert calm[-1, 0] > 2.0
    assert others < 1.5
    assert devices.calibration.state()["shared"][0].max() <= 2 + FAIR_SHARE * 0.5 * 20


def test_what_is_below_the_lowest_threshold_moves_none() -> None:
    devices = Devices(1)
    devices.see(np.zeros(100, np.intp), T0 + 7_200.0 * np.arange(100), np.full(100, 0.99 * LOWEST))
    assert not devices.calibration.state()["episodes"].any()


def test_the_estimate_is_the_one_documented() -> None:
    devices = Devices(1, budget=0.6)
    time = T0 + DAY * np.arange(15)
    multiplier = devices.see(np.zeros(15, np.intp), time, np.full(15, 9.0))
    weeks, episodes = 2.0, 14
    rate = (PRIOR_WEEKS * 0.5 / multiplier[-1] + episodes) / (PRIOR_WEEKS + weeks)
    assert 1.0 < multiplier[-1] < 8.0
    assert rate == pytest.approx(0.6, rel=1e-3)


# State


def test_what_was_counted_goes_on_after_a_restart() -> None:
    before, after = Devices(3), Devices(5)
    before.live(4, 3.0, 1, [0, 1, 2])
    after.calibration.restore(before.calibration.state())
    after.exposure.restore(before.exposure.state())
    again = [d.live(2, 3.0, 2, [0, 1, 2], T0 + 4 * 7 * DAY)[2] for d in (before, after)]
    assert np.array_equal(*again)


def test_a_forgotten_device_begins_anew_and_the_fleet_forgets_it_too() -> None:
    devices = Devices(2)
    devices.live(10, 20.0, 1, [0])
    devices.calibration.forget(np.array([0]))
    devices.exposure.forget(np.array([0]))
    both = devices.see(np.array([0, 1]), np.full(2, T0 + 11 * 7 * DAY), np.full(2, 1.5))
    assert both == pytest.approx([1.0, 1.0], rel=0.1), "the second knows of the first one's new episode"


@pytest.mark.parametrize(
    ("name", "change", "match"),
    [
        ("episodes", -1, "count"),
        ("shared", 1, "count"),
        ("multiplier", 9.0, "within"),
        ("multiplier", math.nan, "within"),
    ],
)
def test_a_state_that_no_counting_leads_to_is_refused(name: str, change: float, match: str) -> None:
    state = Calibration(PRIOR, 0.5, 1).state()
    state[name] = (state[name] + change).astype(state[name].dtype)
    with pytest.raises(StateError, match=match):
        Calibration(PRIOR, 0.5, 1).restore(state)
