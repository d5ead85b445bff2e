"""Algorithms of window vectors: a gateway gets what scikit-learn trained; bad input is refused, or said."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import sklearn.neighbors
import sklearn.svm

from tests.hub.learning.readings import START, series, source
from vedette_hub.config import LearningSection
from vedette_hub.learning import trainer
from vedette_hub.learning.cleaning import Series
from vedette_hub.learning.datasets import Dataset, Source, build
from vedette_hub.learning.errors import TrainingRefusedError
from vedette_hub.learning.sources import synthetic
from vedette_hub.learning.trainer import TrainedModel
from vedette_hub.learning.training import ensemble, lof, one_class_svm, prototypes
from vedette_hub.learning.training.ensemble import choose, surprise_of
from vedette_hub.learning.training.power import made_up, shifted
from vedette_hub.learning.training.trained import Settings
from vedette_hub.learning.training.vector_model import FOLD_WINDOWS, Fitted, prepared, unseen
from vedette_models.artifact import load
from vedette_models.readings import ReadingBatch

ALGORITHMS = ("isolation_forest", "lof", "one_class_svm", "ensemble")
algorithms = pytest.mark.parametrize("algorithm", ALGORITHMS)


def train(found: Source, algorithm: str, **options: object) -> TrainedModel:
    return trainer.train(found, LearningSection(trees=30), START, algorithm=algorithm, **options)  # type: ignore[arg-type]


def dataset(*parts: Series) -> Dataset:
    return build(source(*parts), width=16, at_least=200, at_most=10**6)


@algorithms
def test_labelled_faults_are_found_and_the_proof_is_exact(algorithm: str) -> None:
    trained = train(synthetic.generate("generated", 3000, 3), algorithm)
    report = json.loads(json.dumps(trained.report, allow_nan=False))
    assert trained.artifact.detector == algorithm
    assert report["parity"]["flips"] == 0
    assert report["parity"]["max_error"] <= 1e-8
    assert report["parity"]["inputs"] == 4096
    assert report["parity"]["near"] >= 2048
    assert report["detection"]["precision"] > 0.9
    assert report["detection"]["recall"] > (0.6 if algorithm == "isolation_forest" else 0.95)
    assert report["bytes"] < 1 << 18


@algorithms
def test_bad_input_is_left_out_and_said_so(algorithm: str) -> None:
    parts = []
    for number in (1, 2):
        one = series(number, 600, 4)
        one.values[:, 1] = np.nan
        one.values[:, 2] = 5.0
        one.values[50:60] = np.nan
        one.values[100:110, 0] = np.nan
        one.values[120, 0] = np.inf
        order = np.arange(600)
        order[200:300] = order[200:300][::-1]
        times = one.times.copy()
        times[400:420] = times[399]
        parts.append(Series(one.device, times[order], one.values[order]))
    trained = train(source(*parts, channels=4), algorithm)
    said = " ".join(f"{note['name']} {note['reason']}" for note in trained.report["dropped"])
    for words in (
        "flow never reported",
        "current",
        "always 5",
        "not finite",
        "reports no channel",
        "sorted",
        "another reading",
    ):
        assert words in said
    detector = load(trained.data).detector
    detector.resize(8)
    later = series(3, 300, 4)
    later.values[:, 2] = 5.0
    later.values[250:, [0, 3]] += 60.0
    totals = []
    for flow in (np.nan, 1e6):
        later.values[:, 1] = flow
        scores = detector.score(ReadingBatch.of([0] * 300, later.times, later.values))
        totals.append(scores.total)
        assert np.isfinite(scores.total).all()
        assert (scores.total[30:250] < 1.0).mean() > 0.97
        assert scores.total[260] >= 1.0
        assert scores.by_channel[260].argmax() in (0, 3)
        detector.forget(np.array([0]))
    np.testing.assert_array_equal(totals[0][30:], totals[1][30:])


@algorithms
def test_nothing_to_learn_from_is_refused(algorithm: str) -> None:
    with pytest.raises(TrainingRefusedError, match="at least"):
        train(source(series(1, 100)), algorithm)
    flat, silent = series(1), series(1)
    flat.values[:] = 3.0
    silent.values[:] = np.nan
    for nothing in (flat, silent):
        with pytest.raises(TrainingRefusedError, match="at least one must report and change"):
            train(source(nothing), algorithm)


@algorithms
def test_one_of_two_channels_never_reports(algorithm: str) -> None:
    one = series(1, 900)
    one.values[:, 1] = np.nan
    trained = train(source(one), algorithm)
    assert [note["name"] for note in trained.report["dropped"]] == ["flow"]
    golden = trained.artifact.golden
    assert golden.scores.max() > 0.5
    assert np.isnan(golden.values[:, 1]).all()


@pytest.mark.slow
@algorithms
def test_the_boundary_follows_the_budget_or_the_share_asked_for(algorithm: str) -> None:
    parts = [series(1, 900)]
    strict = trainer.train(source(*parts), LearningSection(alerts_per_week=0.0), START, algorithm=algorithm).report
    loose = trainer.train(source(*parts), LearningSection(alerts_per_week=200.0), START, algorithm=algorithm).report
    assert strict["boundary"] > loose["boundary"]
    assert strict["above"] <= 0.002
    share = train(source(*parts), algorithm, contamination=0.1).report
    assert share["above"] == pytest.approx(0.1, abs=0.003)


def test_vectors_are_judged_by_models_that_have_not_seen_their_readings() -> None:
    made = dataset(series(1, 3000))
    chosen = prepared(made).chosen
    where = np.flatnonzero(made.trained)
    seen: list[np.ndarray] = []

    def fit(vectors: np.ndarray, settings: Settings, seed: int) -> Fitted:
        seen.append(vectors)
        number = len(seen) - 1
        return Fitted(lambda some: np.full(len(some), -float(number)), lambda limit: None, {})  # type: ignore[arg-type, return-value]

    rows, scores = unseen(fit, made, chosen, Settings())
    assert len(rows) > 0.8 * len(chosen)
    stretch = FOLD_WINDOWS * made.width
    for fold, own in enumerate(seen):
        judged = rows[scores == fold]
        assert not (chosen[judged][:, None, :2] == own[None, :, :2]).all(axis=2).any()
        position = made.vectors.position[where[judged]]
        assert ((position % stretch >= made.width - 1) | (position < stretch)).all()


def test_factors_are_those_of_scikit_learn() -> None:
    made = dataset()
    trained = lof.train(made, Settings(contamination=0.05), lambda done, what: None)
    found = trained.detector.neighbours  # type: ignore[attr-defined]
    model = sklearn.neighbors.LocalOutlierFactor(n_neighbors=found.k, novelty=True, algorithm="brute")
    model.fit(found.prototypes.astype(np.float64))
    vectors = prepared(made).vectors
    assert (
        np.abs(found.decision_function(vectors) - model.score_samples(found.scaler(vectors)) + found.offset).max()
        < 1e-8
    )


def test_the_cut_to_prototypes_is_measured_and_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    made = dataset(series(1, 1600))
    figures = lof.train(made, Settings(), lambda done, what: None).figures
    assert figures["prototypes"] in prototypes.SIZES
    full = figures["full_model"]
    assert full["vectors"] == made.trained.sum()
    assert 0 < full["outliers"] < full["probes"] == 4096
    assert 0 < full["label_flips"] <= prototypes.MOST * full["probes"]
    monkeypatch.setattr(prototypes, "GOOD_ENOUGH", 0.0)
    monkeypatch.setattr(prototypes, "MOST", 0.0)
    with pytest.raises(TrainingRefusedError, match="labels change"):
        lof.train(made, Settings(), lambda done, what: None)
    few = lof.train(dataset(series(1, 300)), Settings(), lambda done, what: None)
    assert few.figures["full_model"]["label_flips"] == 0


def test_support_vectors_are_those_of_scikit_learn_and_large_sets_have_a_fixed_number(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = dataset()
    trained = one_class_svm.train(made, Settings(), lambda done, what: None)
    kernel = trained.detector.kernel  # type: ignore[attr-defined]
    points = kernel.scaler(prepared(made).chosen).astype(np.float32).astype(np.float64)
    model = sklearn.svm.OneClassSVM(gamma=kernel.gamma, nu=trained.figures["nu"], tol=1e-4).fit(points)
    theirs = model.score_samples(points) / model.dual_coef_.sum() - kernel.limit
    assert np.abs(kernel.decision_function(prepared(made).chosen) - theirs).max() < 1e-6
    assert trained.figures["variant"] == "exact"
    monkeypatch.setattr(one_class_svm, "EXACT_AT_MOST", 100)
    large = one_class_svm.train(made, Settings(), lambda done, what: None)
    assert large.figures["variant"] == "nystroem"
    assert large.figures["centres"] <= one_class_svm.CENTRES
    assert large.parity.max_error <= 1e-8
    agree = (large.scores >= 1.0) == (trained.scores >= 1.0)
    assert agree.mean() > 0.99


def test_a_fit_that_is_repeated_on_other_vectors_takes_the_same_variant(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = prepared(dataset()).chosen
    monkeypatch.setattr(one_class_svm, "EXACT_AT_MOST", len(vectors) - 1)
    large = one_class_svm.fit(vectors, Settings(), 1)
    assert large.again is not None
    assert large.again(vectors[::2], Settings(), 1).figures["variant"] == large.figures["variant"] == "nystroem"
    monkeypatch.setattr(one_class_svm, "EXACT_AT_MOST", len(vectors))
    assert one_class_svm.fit(vectors, Settings(), 1).figures["variant"] == "exact"
    monkeypatch.setattr(one_class_svm, "MAX_CELLS", 12 * 10)
    few = one_class_svm.fit(vectors, Settings(), 1)
    assert (few.figures["variant"], few.figures["centres"]) == ("nystroem", 10)


def test_wild_vectors_in_training_do_not_spoil_the_model() -> None:
    one, two = series(1, 1500), series(2, 1500)
    one.values[::200] *= 1e6
    for algorithm in ("lof", "one_class_svm", "ensemble"):
        detector = load(train(source(one, replace(two)), algorithm).data).detector
        detector.resize(8)
        later = series(3, 200)
        later.values[150:] += 1e4
        scores = detector.score(ReadingBatch.of([0] * 200, later.times, later.values)).total
        assert (scores[20:150] < 1.0).all()
        assert np.isfinite(scores).all()


def test_made_up_faults_shift_one_channel_and_a_blind_member_is_left_out() -> None:
    made = dataset(series(1, 900))
    chosen = prepared(made).chosen
    faults = shifted(chosen, made_up(chosen, 1))
    assert ((faults[:, 2::6] <= faults[:, 0::6] + 1e-9) & (faults[:, 0::6] <= faults[:, 3::6] + 1e-9)).all()

    figures = ensemble.train(made, Settings(), lambda done, what: None).figures
    found = figures["found_of_made_up_faults"]
    assert set(found) == {"isolation_forest", "lof", "one_class_svm", "all together"}
    left_out = figures["members_left_out"]
    assert {*figures["members"], *left_out} == {*found, "mahalanobis"} - {"all together"}
    assert "drifting" in left_out["mahalanobis"]
    best = max(set(found) - {"all together", "mahalanobis"}, key=found.__getitem__)
    assert best in figures["members"]
    assert found["all together"] >= found[best]
    assert "isolation_forest" in left_out


def coupled(number: int, readings: int = 900) -> Series:
    """Channels that follow one load, which is never the same for long."""
    draw = np.random.default_rng(number)
    values = np.outer(10.0 * draw.normal(size=readings), [1.0, -2.0, 0.5, 3.0]) + draw.normal(0.0, 0.3, (readings, 4))
    return Series(f"pump-{number}", START + 60.0 * np.arange(readings), values)


def test_where_channels_move_together_mahalanobis_is_a_member() -> None:
    trained = train(source(coupled(1), coupled(2), channels=4), "ensemble")
    assert "mahalanobis" in trained.report["members"]
    assert trained.report["parity"]["flips"] == 0
    found = trained.report["found_of_made_up_faults"]
    assert found["mahalanobis"] > 1.5 * max(found["lof"], found["one_class_svm"])
    detector = load(trained.data, profile="pump").detector
    detector.resize(4)
    later = coupled(3, 500)
    later.values[400:, 3] = -later.values[400:, 3]
    scores = detector.score(ReadingBatch.of([0] * 500, later.times, later.values))
    assert (scores.total[50:400] < 1.0).all()
    assert (scores.total[430:] >= 1.0).all()
    assert scores.by_channel[450:].sum(axis=0).argmax() == 3
    finding = scores.finding(499, 3)
    assert finding is not None
    assert "what the other channels show" in finding.aspect


def test_a_channel_that_mahalanobis_leaves_out_is_named_among_what_was_dropped() -> None:
    parts = [coupled(1), coupled(2)]
    for one in parts:
        one.values[:, 2] += np.linspace(0.0, 100.0, len(one))
        one.values[::3, 3] = np.nan
    trained = train(source(*parts, channels=4), "mahalanobis")
    said = {note["name"]: note["reason"] for note in trained.report["dropped"]}
    assert said["current"] == "drifting: it moved more than it scatters: left out"
    assert said["speed"] == "not reported in 600 of 1800 readings"
    assert set(said) == {"current", "speed"}


def test_a_single_channel_has_an_ensemble_without_mahalanobis_and_the_report_says_why() -> None:
    one = series(1, 900, 1)
    figures = ensemble.train(
        build(source(one, channels=1), width=16, at_least=200, at_most=10**6), Settings(), lambda done, what: None
    ).figures
    assert "mahalanobis" not in figures["members"]
    assert "T² needs 2 channels" in figures["members_left_out"]["mahalanobis"]


def test_members_are_those_that_find_most_together_at_the_same_budget() -> None:
    draw = np.random.default_rng(0)

    def candidate(found: slice) -> ensemble._Candidate:
        faulty = np.zeros(1_000)
        faulty[found] = 9.0
        return ensemble._Candidate(draw.exponential(size=10_000), faulty)

    def limit(surprise: np.ndarray) -> float:
        return float(np.quantile(surprise, 0.999))

    whole = {
        "lof": candidate(slice(0, 600)),
        "one_class_svm": candidate(slice(0, 500)),
        "mahalanobis": candidate(slice(500, 1_000)),
    }
    names, found = choose(whole, limit)
    assert names[:2] == ["lof", "mahalanobis"]
    assert found["all together"] == 1.0
    noisy = whole["mahalanobis"]._replace(unseen=100.0 * draw.exponential(size=10_000))
    assert choose({**whole, "mahalanobis": noisy}, limit)[0][0] == "lof"
    assert "mahalanobis" not in choose({**whole, "mahalanobis": noisy}, limit)[0]


def test_surprise_is_the_rarity_of_a_score() -> None:
    scores = np.random.default_rng(0).exponential(size=50_000)
    surprise = surprise_of(scores)
    at = np.array([1.0, 3.0, 6.0, 20.0])
    assert np.allclose(surprise(at), at * np.log10(np.e), rtol=0.25)
    assert surprise_of(np.zeros(100))(np.array([0.0]))[0] == 0.0
