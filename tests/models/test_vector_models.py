"""Neighbours, kernels, scalers and surprises: the formulas, the slow way; digits; bounds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.models.ensembles import combination, ensemble
from tests.models.forests import complete_vectors, isolation_forest, normal_readings
from tests.models.vector_models import factors, kernel, lof, neighbours, one_class_svm
from vedette_models.detectors.ensemble import Surprise, combined
from vedette_models.detectors.scaler import FURTHEST, Scaler
from vedette_models.detectors.usual import Usual
from vedette_models.readings import ReadingBatch

WIDTH = 12
bounded = settings(max_examples=30, deadline=None, derandomize=True)


def some_vectors(seed: int, count: int = 300) -> np.ndarray:
    """Normal vectors, and some further and further away."""
    random = np.random.default_rng(seed)
    vectors = complete_vectors(normal_readings(3, count + 60, seed), WIDTH)[:count]
    return (
        vectors
        + random.normal(size=vectors.shape) * np.repeat([0.0, 1.0, 30.0], len(vectors) // 3 + 1)[: len(vectors), None]
    )


@bounded
@given(seed=st.integers(0, 2**32 - 1))
def test_factors_are_those_of_the_paper(seed: int) -> None:
    model, _ = neighbours(3, WIDTH)
    vectors = some_vectors(seed)
    expected = factors(model.scaler(vectors), model.prototypes.astype(np.float64), model.k)
    assert np.allclose(-model.offset - model.decision_function(vectors), expected, rtol=1e-10, atol=0.0)


@bounded
@given(seed=st.integers(0, 2**32 - 1))
def test_a_kernel_sums_up_its_centres(seed: int) -> None:
    model, _ = kernel(3, WIDTH)
    vectors = some_vectors(seed)
    apart = model.scaler(vectors)[:, None, :] - model.centres.astype(np.float64)
    expected = np.exp(-model.gamma * (apart**2).sum(axis=2)) @ model.coefficients - model.limit
    assert np.allclose(model.decision_function(vectors), expected, rtol=0.0, atol=1e-11)


@pytest.mark.parametrize("make", [neighbours, kernel, combination], ids=["neighbours", "kernel", "combination"])
def test_a_vector_scores_the_same_in_any_company(make) -> None:  # type: ignore[no-untyped-def]
    model, _ = make(3, WIDTH)
    vectors = some_vectors(3)
    together = model.decision_function(vectors)
    for count in (1, 2, 3, 15, 16, 17, 100):
        for first in (0, 7, 200):
            part = slice(first, first + count)
            assert np.array_equal(model.decision_function(vectors[part]), together[part])
    assert model.decision_function(vectors[:0]).shape == (0,)
    if make is not combination:
        with pytest.raises(ValueError, match="features"):
            model.decision_function(vectors[:, 1:])


def test_a_large_offset_costs_no_digits() -> None:
    vectors = some_vectors(1)
    far = vectors + 1e6
    assert np.allclose(Scaler.of(far)(far), Scaler.of(vectors)(vectors), rtol=0.0, atol=1e-6)


def test_what_never_varies_weighs_nothing_and_a_few_wild_vectors_do_not_count() -> None:
    random = np.random.default_rng(0)
    vectors = random.normal(1013.0, 2.0, (500, 3))
    vectors[:, 1] = 7.0
    plain = Scaler.of(vectors).weight
    vectors[:3] = 1e100
    vectors[:3, 1] = 7.0
    assert plain[1] == 0.0
    assert np.allclose(Scaler.of(vectors).weight, plain, rtol=0.1)
    assert np.abs(Scaler.of(vectors)(vectors)).max() == FURTHEST
    rare = np.zeros((1_000, 1))
    rare[::250] = 1.0
    assert 10.0 < Scaler.of(rare).weight[0] < 20.0


@pytest.mark.parametrize("make", [lof, one_class_svm, ensemble])
def test_scores_are_0_at_what_is_typical_1_at_the_boundary_and_rise_beyond(make) -> None:  # type: ignore[no-untyped-def]
    detector = make(3, 0, WIDTH)
    vectors = complete_vectors(normal_readings(3, 1_600), WIDTH)
    decision, score = detector.model.decision_function(vectors), detector.scale(vectors)
    assert np.array_equal(score >= 1.0, decision < 0.0)
    assert 0.005 < (score >= 1.0).mean() < 0.04
    assert np.median(score) < 1e-3
    order = np.argsort(decision)
    assert (np.diff(score[order]) <= 0.0).all()
    step = np.zeros((6, vectors.shape[1]))
    step[:, [0, 2, 3]] = np.array([0.0, 3.0, 6.0, 9.0, 15.0, 25.0])[:, None]
    rising = detector.scale(np.median(vectors, axis=0) + step)
    assert (np.diff(rising) >= 0.0).all()
    assert (np.diff(rising[:3]) > 0.0).all(), "further off is more anomalous, also beyond the boundary"
    assert rising[-1] > 3.0


@pytest.mark.parametrize("make", [lof, one_class_svm, ensemble])
def test_one_wild_channel_among_several_is_found_and_named(make) -> None:  # type: ignore[no-untyped-def]
    alarms = named = 0
    for seed in range(20):
        detector, channel = make(3, 4), seed % 3
        detector.score(normal_readings(3, 120, seed=5))
        batch = normal_readings(3, 8, seed=100 + seed)
        batch.values[-4:, channel] += 6.0
        scores = detector.score(batch)
        for row in range(4, 8):
            if scores.total[row] >= detector.default_threshold:
                alarms += 1
                named += int(scores.by_channel[row].argmax()) == channel
                assert scores.by_channel[row].sum() == pytest.approx(scores.total[row])
                finding = scores.finding(row, channel)
                assert finding is not None
                assert not finding.low <= finding.value <= finding.high
    assert alarms >= 76
    assert named >= 0.95 * alarms


@pytest.mark.parametrize("make", [lof, one_class_svm, ensemble])
def test_missing_data_never_raises_an_anomaly(make) -> None:  # type: ignore[no-untyped-def]
    detector = make(3, 4)
    detector.score(normal_readings(3, 120, seed=5))
    nothing = ReadingBatch.of([0, 1], [1.8e9] * 2, [[np.nan] * 3, [np.nan, np.nan, 2026.5]])
    assert (detector.score(nothing).total < detector.default_threshold).all()
    wild = ReadingBatch.of([2], [1.8e9], [[1e6, np.nan, 2026.5]])
    assert detector.score(wild).total[0] >= detector.default_threshold


def test_models_of_another_width_are_refused() -> None:
    for make in (neighbours, kernel, combination):
        detector = {neighbours: lof, kernel: one_class_svm, combination: ensemble}[make](3, 0)
        with pytest.raises(ValueError, match="channels"):
            type(detector)(*make(3, WIDTH), 2, WIDTH)


def test_a_boundary_among_typical_vectors_is_refused() -> None:
    model, _ = combination(3, WIDTH)
    vectors = complete_vectors(normal_readings(3, 400), WIDTH)
    with pytest.raises(ValueError, match="outliers"):
        Usual.of(vectors, type(model)(model.members, 1e-9))


@bounded
@given(seed=st.integers(0, 2**32 - 1))
def test_surprises_rise_with_scores_and_go_on_in_a_line(seed: int) -> None:
    random = np.random.default_rng(seed)
    scores, rises = np.cumsum(random.uniform(0.01, 1.0, 6)), np.cumsum(random.uniform(0.0, 1.0, 6))
    surprise = Surprise(scores, rises, 2.0)
    at = np.sort(random.uniform(-1.0, 12.0, 200))
    assert (np.diff(surprise(at)) >= 0.0).all()
    assert np.allclose(surprise(scores), rises)
    assert surprise(scores[-1:] + 3.0)[0] == pytest.approx(rises[-1] + 6.0)
    parts = random.uniform(0.0, 5.0, (3, 50))
    together = combined(list(parts))
    assert (together >= parts.max(axis=0)).all()
    assert (together <= parts.sum(axis=0)).all()
    assert np.array_equal(combined([np.zeros(3)] * 3), np.zeros(3))


def test_an_ensemble_finds_what_its_members_find() -> None:
    wild = normal_readings(3, 4, seed=6)
    wild.values[:, 1] += 12.0
    totals = []
    for make in (isolation_forest, lof, one_class_svm, ensemble):
        detector = make(3, 4)
        detector.score(normal_readings(3, 120, seed=5))
        totals.append(detector.score(wild).total >= 1.0)
    assert totals[-1][np.logical_or.reduce(totals[:-1])].all()
