"""The forest as arrays says what scikit-learn says: the same numbers, the same labels, beside the boundary too."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.ensemble import IsolationForest as Sklearn

from benchmarks.scoring import COMPARED, NEAR, compared
from tests.models.forests import complete_vectors, normal_readings
from vedette_models.detectors.forest import Forest, Nodes, Tree
from vedette_models.detectors.isolation_forest import IsolationForest
from vedette_models.detectors.usual import Usual


def exported(model: Sklearn, width: int) -> Forest:
    trees = [
        Tree(t.children_left, t.children_right, columns[np.maximum(t.feature, 0)], t.threshold, t.n_node_samples)
        for t, columns in zip((e.tree_ for e in model.estimators_), model.estimators_features_, strict=True)
    ]
    return Forest(Nodes.of(trees), len(trees), model._max_samples, float(model.offset_), width)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"contamination": 0.05},
        {"max_samples": 1_000, "max_features": 0.5},
        {"bootstrap": True, "max_samples": 64},
        {"n_estimators": 30, "max_samples": 8},
    ],
    ids=str,
)
def test_scores_and_labels_are_those_of_scikit_learn(options: dict[str, object]) -> None:
    vectors = complete_vectors(normal_readings(5, 2_400), 12)
    model = Sklearn(**{"n_estimators": 100, "random_state": 0, **options}).fit(vectors)
    forest = exported(model, vectors.shape[1])
    samples = compared(model, vectors)
    theirs, ours = model.decision_function(samples), forest.decision_function(samples)
    assert len(samples) == COMPARED
    assert np.count_nonzero(np.abs(theirs) <= NEAR * abs(model.offset_)) >= COMPARED // 2
    assert np.abs(theirs - ours).max() <= 1e-12
    assert np.count_nonzero((model.predict(samples) == -1) != (ours < 0.0)) == 0


def test_the_detector_alarms_where_scikit_learn_does() -> None:
    vectors = complete_vectors(normal_readings(3, 2_400), 12)
    model = Sklearn(contamination=0.03, random_state=0).fit(vectors)
    forest = exported(model, vectors.shape[1])
    detector = IsolationForest(forest, Usual.of(vectors, forest), 3, 12)
    samples = np.concatenate([vectors, compared(model, vectors)])
    alarms = detector.scale(samples) >= detector.default_threshold
    assert np.array_equal(alarms, model.predict(samples) == -1)
    assert 0 < np.count_nonzero(alarms[: len(vectors)]) < 0.05 * len(vectors)
