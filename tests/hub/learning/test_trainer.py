"""What is trained here is what a gateway runs: proved against scikit-learn, reproducible, and reported."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import sklearn.ensemble

from tests.hub.learning.readings import START, series, source
from vedette_hub.config import LearningSection
from vedette_hub.learning import trainer
from vedette_hub.learning.datasets import Source, build
from vedette_hub.learning.errors import TrainingRefusedError
from vedette_hub.learning.previous import Previous
from vedette_hub.learning.sources import synthetic
from vedette_hub.learning.trainer import TrainedModel
from vedette_hub.learning.training import isolation_forest, parity
from vedette_hub.learning.training.trained import Settings
from vedette_models.artifact import load
from vedette_models.detectors.isolation_forest import IsolationForest
from vedette_models.readings import ReadingBatch

SETTINGS = LearningSection(trees=50)


def train(found: Source, **options: object) -> TrainedModel:
    return trainer.train(found, SETTINGS, START, **options)  # type: ignore[arg-type]  # each test knows its options


def test_a_gateway_scores_as_scikit_learn_does() -> None:
    dataset = build(source(), width=16, at_least=200, at_most=10**6)
    trained = isolation_forest.train(dataset, Settings(30, 64, 0.5, contamination=0.05), lambda done, what: None)
    fitted = sklearn.ensemble.IsolationForest(
        n_estimators=30, max_samples=64, random_state=dataset.seed % 2**32, contamination=0.05
    ).fit(dataset.vectors.features[dataset.trained])
    decided = fitted.decision_function(dataset.vectors.features)
    found = trained.detector.forest.decision_function(dataset.vectors.features)
    assert np.abs(found - decided).max() < 1e-9
    assert ((found < 0) == (decided < 0)).all()
    assert ((trained.scores >= 1.0) == (decided < 0)).all()
    assert (trained.parity.inputs, trained.parity.flips) == (4096, 0)


def test_an_artefact_runs_and_tells_unusual_from_usual() -> None:
    model = load(train(source()).data, profile="pump", channels=("pressure", "flow"))
    usual, unusual = series(9, 200), series(9, 200)
    unusual.values[100:] += 60.0
    scores = []
    for part in (usual, unusual):
        model.detector.resize(2)
        scores.append(model.detector.score(ReadingBatch.of([0] * 200, part.times, part.values)).total)
        model.detector.forget(np.array([0]))
    assert (scores[0][120:] < 1.0).mean() > 0.95
    assert scores[1][100:103].max() >= 1.0


def test_an_unknown_algorithm_is_refused_with_those_there_are() -> None:
    with pytest.raises(TrainingRefusedError, match=r'"oracle"; there are .*isolation_forest'):
        train(source(), algorithm="oracle")


def test_the_same_data_gives_the_same_bytes() -> None:
    first, second = (train(source()) for _ in range(2))
    assert first.data == second.data
    assert first.lineage == second.lineage
    assert train(source(series(3))).data != first.data


def test_an_export_that_scores_differently_is_refused() -> None:
    vectors = np.random.default_rng(1).normal(size=(500, 6))

    def wanted(pool: np.ndarray) -> np.ndarray:
        return pool[:, 0]

    assert parity.prove(wanted, wanted, vectors, 1).max_error == 0.0
    with pytest.raises(TrainingRefusedError, match="labels differ"):
        parity.prove(wanted, lambda pool: pool[:, 0] + 2e-6, vectors, 1)


def test_half_of_the_inputs_of_the_proof_lie_at_the_boundary() -> None:
    seen: list[np.ndarray] = []

    def decision(pool: np.ndarray) -> np.ndarray:
        seen.append(pool)
        return pool[:, 0] - 1.0

    proved = parity.prove(decision, decision, np.random.default_rng(1).normal(size=(500, 6)), 1, 1.0)
    decided = np.abs(seen[-1][:, 0] - 1.0)
    assert proved.inputs == len(decided) == 4096
    assert proved.near == (decided <= 0.01).sum() >= 2048


def test_a_channel_that_never_reports_is_dropped_said_and_harmless() -> None:
    parts = []
    for number in (1, 2):
        one = series(number, 600, 3)
        one.values[:, 1] = np.nan
        one.values[:, 2] = 5.0
        parts.append(one)
    trained = train(source(*parts, channels=3))
    notes = {note["name"]: note["reason"] for note in trained.report["dropped"]}
    assert "never reported" in notes["flow"]
    assert "always 5" in notes["current"]
    detector = load(trained.data).detector
    detector.resize(2)
    one = series(5, 100, 3)
    one.values[:, 2] = 5.0
    scores = detector.score(ReadingBatch.of([0] * 100, one.times, one.values))
    assert np.isfinite(scores.total).all()
    one.values[:, 1] = np.nan
    detector.forget(np.array([0]))
    np.testing.assert_array_equal(
        scores.total[30:], detector.score(ReadingBatch.of([0] * 100, one.times, one.values)).total[30:]
    )


def test_channels_that_report_in_turn_are_learnt_as_a_gateway_sees_them() -> None:
    one = series(1, 1600)
    one.values[::2, 0] = np.nan
    one.values[1::2, 1] = np.nan
    trained = train(source(one))
    detector = load(trained.data).detector
    assert isinstance(detector, IsolationForest)
    detector.resize(2)
    scores = detector.score(ReadingBatch.of([0] * 1600, one.times, one.values)).total
    assert scores.max() <= 1.5
    assert (scores >= 1.0).mean() < 0.01


def test_the_report_says_what_was_learnt_from_and_how_it_went() -> None:
    told: list[tuple[float, str]] = []
    first = train(source(series(3)))
    before = Previous(1, "0" * 64, first.data, first.lineage)
    trained = train(
        source(series(1), replace(series(2), times=START + 120.0 * (np.arange(600) // 2))),
        previous=before,
        by="ana",
        tell=lambda done, what: told.append((done, what)),
    )
    report = json.loads(json.dumps(trained.report, allow_nan=False))
    assert (report["devices"], report["channels"], report["readings"]) == (2, ["pressure", "flow"], 900)
    assert report["samples"] == report["trained"] + report["held_out"]
    assert (report["first"], report["last"]) == (START, START + 599 * 60.0)
    assert report["dropped"][0]["count"] == 300
    assert report["parity"]["flips"] == 0
    assert report["bytes"] == len(trained.data) < 61_440
    assert 0.0 <= report["held_out_above"] <= 0.05
    assert list(report["scores"]) == ["0.5", "0.9", "0.99", "0.999", "1"]
    assert trained.artifact.lineage.parents == ("0" * 64,)
    assert (trained.lineage["by"], trained.lineage["origin"]) == ("ana", "csv")
    assert [done for done, _ in told] == sorted(done for done, _ in told)


def test_the_boundary_follows_the_budget_within_reason() -> None:
    reports = [
        trainer.train(
            source(series(1, 2000)), LearningSection(trees=30, samples_per_tree=64, alerts_per_week=budget), START
        ).report
        for budget in (0.0, 12.0, 1000.0)
    ]
    assert reports[0]["above"] == 0.0
    assert reports[1]["above"] <= reports[2]["above"] <= 0.02
    assert reports[0]["offset"] < reports[1]["offset"] < reports[2]["offset"] <= -0.5


def test_labelled_data_tells_precision_and_recall() -> None:
    trained = train(synthetic.generate("generated", 4000, 3))
    found = trained.report["detection"]
    assert found["anomalous"] > 50
    assert found["precision"] > 0.9
    assert found["recall"] > 0.7
    again = synthetic.generate("generated", 4000, 3, seed=1)
    assert not np.array_equal(again.series[0].values, synthetic.generate("generated", 4000, 3).series[0].values)
