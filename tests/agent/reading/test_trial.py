"""The test that condemns a model: exact, seldom wrong about a good one, and the same however readings are cut."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.models.forests import isolation_forest, normal_readings
from vedette_agent.reading.trial import BLOCK, FEWEST_TIMED, SIGNIFICANCE, Evidence, OnTrial, chance_of
from vedette_models.rejection import Rejection

WEEK_OF_BLOCKS = 800


def evidence_of(new: np.ndarray, old: np.ndarray, device: np.ndarray | None = None) -> Evidence:
    evidence = Evidence(1.0)
    evidence.compare(np.zeros(len(new), np.intp) if device is None else device, new, old)
    return evidence


@given(st.integers(1, 60), st.integers(0, 60))
def test_the_chance_is_that_of_a_fair_coin(tosses: int, heads: int) -> None:
    heads = min(heads, tosses)
    exact = sum(math.comb(tosses, k) for k in range(heads, tosses + 1)) / 2**tosses
    assert chance_of(heads, tosses) == pytest.approx(exact)
    assert chance_of(0, tosses) == 1.0


def test_one_that_exceeds_where_the_other_does_not_is_condemned_at_eight_stretches() -> None:
    always, never = np.ones(8 * BLOCK, np.bool_), np.zeros(8 * BLOCK, np.bool_)
    assert evidence_of(always[:-1], never[:-1]).failure is None
    failure = evidence_of(always, never).failure
    assert failure is not None
    assert failure.reason is Rejection.TOO_MANY_ALERTS


def test_one_that_exceeds_less_often_or_as_often_is_not() -> None:
    always, never = np.ones(200 * BLOCK, np.bool_), np.zeros(200 * BLOCK, np.bool_)
    assert evidence_of(never, always).failure is None
    assert evidence_of(always, always).failure is None


def test_a_long_event_that_both_see_is_held_against_nobody() -> None:
    event = np.zeros(400 * BLOCK, np.bool_)
    event[50 * BLOCK : 300 * BLOCK] = True
    late = np.roll(event, 3)
    found = evidence_of(event, late)
    assert found.failure is None
    assert found.only_new + found.only_old <= 2


def test_a_good_model_is_left_in_one_case_of_a_hundred_at_most() -> None:
    chance = np.random.default_rng(5)
    left = 0
    for _ in range(150):
        exceeds = chance.random((2, WEEK_OF_BLOCKS)) < 0.05
        readings = np.repeat(exceeds, BLOCK, axis=1) & (np.arange(WEEK_OF_BLOCKS * BLOCK) % BLOCK == 0)
        # every other device: rounds of many are quick
        device = np.arange(WEEK_OF_BLOCKS * BLOCK) // BLOCK % 200
        order = np.argsort(
            np.arange(len(device)) % BLOCK + BLOCK * (np.arange(len(device)) // (200 * BLOCK)), kind="stable"
        )
        left += evidence_of(readings[0][order], readings[1][order], device[order]).failure is not None
    assert left / 150 <= 2 * SIGNIFICANCE


def test_a_model_that_exceeds_twice_as_often_is_found() -> None:
    chance = np.random.default_rng(6)
    exceeds = chance.random((2, 4_000)) < np.array([[0.1], [0.05]])
    readings = np.repeat(exceeds, BLOCK, axis=1)
    assert evidence_of(readings[0], readings[1]).failure is not None


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.integers(0, 2**32), st.lists(st.integers(1, 200), max_size=8))
def test_how_readings_are_cut_into_batches_changes_nothing(seed: int, cuts: list[int]) -> None:
    chance = np.random.default_rng(seed)
    device = chance.integers(0, 5, 1_500)
    new, old = chance.random((2, 1_500)) < np.array([[0.08], [0.01]])
    whole = evidence_of(new, old, device)
    parted = Evidence(1.0)
    for part in np.split(np.arange(1_500), np.cumsum(cuts)):
        parted.compare(device[part], new[part], old[part])
    assert (parted.blocks, parted.only_new, parted.only_old) == (whole.blocks, whole.only_new, whole.only_old)


def test_a_device_that_is_forgotten_begins_its_stretch_anew() -> None:
    evidence = Evidence(1.0)
    most = np.ones(BLOCK - 1, np.bool_)
    evidence.compare(np.zeros(BLOCK - 1, np.intp), most, ~most)
    evidence.forget(np.array([0, 9]))
    evidence.compare(np.zeros(1, np.intp), most[:1], ~most[:1])
    assert evidence.blocks == 0


def test_cost_counts_when_enough_was_scored() -> None:
    evidence = Evidence(0.01)
    evidence.spent(FEWEST_TIMED - 1, 100.0)
    assert evidence.failure is None
    evidence.spent(1, 0.0)
    assert evidence.failure is not None
    assert evidence.failure.reason is Rejection.TOO_SLOW


def test_on_trial_the_new_one_is_heard_and_afterwards_nothing_has_changed() -> None:
    alone, new, old = (isolation_forest(2, 4) for _ in range(3))
    trial = OnTrial(new, old, Evidence(1e9), lambda: 0.0)
    for seed in range(3):
        batch = normal_readings(2, 100, seed)
        assert trial.score(batch).total.tolist() == alone.score(batch).total.tolist()
    trial.settle()
    batch = normal_readings(2, 100, 9)
    assert trial.score(batch).total.tolist() == alone.score(batch).total.tolist()
    assert {name: array.tolist() for name, array in trial.state().items()} == {
        name: array.tolist() for name, array in alone.state().items()
    }


def test_rows_grow_and_are_forgotten_in_both() -> None:
    trial = OnTrial(isolation_forest(2, 1), isolation_forest(2, 3), Evidence(1e9), lambda: 0.0)
    assert trial.devices == 1
    trial.resize(8)
    assert trial.devices == 8
    batch = normal_readings(2, 200)
    said = trial.score(batch).total
    trial.forget(np.arange(4))
    assert trial.score(batch).total.tolist() == said.tolist()
