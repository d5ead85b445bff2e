"""The forest as arrays: the same paths as the trees it was made of, and nothing that is no forest."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.models.forests import complete_vectors, grown_trees, normal_readings
from vedette_models.detectors.forest import MAX_DEPTH, Forest, Nodes, Tree
from vedette_models.rejection import ArtifactRejected, Rejection

VECTORS = complete_vectors(normal_readings(2, 1_200), 8)
WIDTH = VECTORS.shape[1]


def walked(trees: list[Tree], vectors: NDArray[np.float64], max_samples: int) -> NDArray[np.float64]:
    """Score samples as the paper says, one vector and one tree at a time."""

    def usual_length(n: float) -> float:
        return 0.0 if n <= 1 else 1.0 if n == 2 else 2.0 * (np.log(n - 1.0) + np.euler_gamma) - 2.0 * (n - 1.0) / n

    depths = np.zeros(len(vectors))
    for i, vector in enumerate(vectors.astype(np.float32)):
        for tree in trees:
            node, depth = 0, 0
            while tree.left[node] >= 0:
                goes_left = np.float64(vector[tree.feature[node]]) <= tree.threshold[node]
                node = int(tree.left[node] if goes_left else tree.right[node])
                depth += 1
            depths[i] += depth + usual_length(float(tree.samples[node]))
    return -(2.0 ** -(depths / (len(trees) * usual_length(max_samples))))


def test_scores_are_those_of_the_trees() -> None:
    trees = grown_trees(VECTORS, 20, 64)
    forest = Forest(Nodes.of(trees), 20, 64, -0.5, WIDTH)
    some = np.concatenate([VECTORS[:80], VECTORS[:20] * 3.0, np.zeros((1, WIDTH)), np.full((1, WIDTH), 1e300)])
    with np.errstate(over="ignore"):
        assert np.abs(forest.decision_function(some) - (walked(trees, some, 64) + 0.5)).max() < 1e-12


def test_values_beside_a_threshold_go_where_float64_sends_them() -> None:
    trees = grown_trees(VECTORS, 10, 64)
    forest = Forest(Nodes.of(trees), 10, 64, -0.5, WIDTH)
    vectors = []
    for tree in trees:
        for node in np.flatnonzero(tree.left >= 0):
            nearest = np.float32(tree.threshold[node])
            for value in (
                np.nextafter(nearest, np.float32(-np.inf)),
                nearest,
                np.nextafter(nearest, np.float32(np.inf)),
            ):
                vector = VECTORS[node % len(VECTORS)].copy()
                vector[tree.feature[node]] = value
                vectors.append(vector)
    beside = np.array(vectors)
    assert np.abs(forest.decision_function(beside) - (walked(trees, beside, 64) + 0.5)).max() < 1e-12


def test_a_vector_scores_the_same_alone_and_among_many() -> None:
    forest = Forest(Nodes.of(grown_trees(VECTORS, 30, 64)), 30, 64, -0.5, WIDTH)
    together = forest.decision_function(VECTORS)
    assert len(VECTORS) > 1_000
    assert np.array_equal(together[:50], [forest.decision_function(vector[None, :])[0] for vector in VECTORS[:50]])


def test_a_tree_that_never_splits_says_nothing() -> None:
    stump = Tree(np.array([-1]), np.array([-1]), np.array([0]), np.array([0.0]), np.array([4]))
    forest = Forest(Nodes.of([stump, stump]), 2, 4, -0.5, 3)
    assert np.ptp(forest.decision_function(np.array([[0.0, 1.0, 2.0], [9.0, 9.0, 9.0]]))) == 0.0


def test_vectors_of_another_width_are_refused() -> None:
    forest = Forest(Nodes.of(grown_trees(VECTORS, 2, 16)), 2, 16, -0.5, WIDTH)
    with pytest.raises(ValueError, match="features"):
        forest.decision_function(np.zeros((3, WIDTH + 1)))


def nodes(**changes: Any) -> Nodes:
    """Two trees: one that splits twice, and a leaf; with some arrays replaced."""
    splits, samples = np.array([1, 0, 0, 1, 0, 0], np.uint8), np.array([8, 3, 2, 3], np.uint8)
    good = Nodes(splits, np.array([0, 1], np.uint8), np.array([0.5, 1.5], np.float32), samples)
    return good._replace(**changes)


def chain(depth: int) -> Nodes:
    """One tree that splits off a leaf at each depth."""
    splits = np.array([1] + [0, 1] * (depth - 1) + [0, 0], np.uint8)
    return Nodes(splits, np.zeros(depth, np.uint8), np.arange(depth, dtype=np.float32), np.ones(depth + 1, np.uint8))


def test_what_the_broken_forests_are_made_of_is_a_forest() -> None:
    forest = Forest(nodes(), 2, 8, -0.5, 2)
    assert len(set(forest.decision_function(np.array([[0.0, 0.0], [1.0, 1.0], [1.0, 2.0]])).tolist())) == 3
    assert Forest(chain(MAX_DEPTH), 1, 32, -0.5, 1).decision_function(np.zeros((1, 1))).shape == (1,)


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (nodes(splits=np.array([1, 0, 0, 1, 0], np.uint8)), Rejection.BROKEN_STRUCTURE),
        (nodes(splits=np.array([1, 0, 0, 1, 0, 0, 0], np.uint8)), Rejection.BROKEN_STRUCTURE),
        (nodes(splits=np.array([1, 1, 1, 1, 1, 1], np.uint8)), Rejection.BROKEN_STRUCTURE),
        (nodes(splits=np.array([], np.uint8)), Rejection.BROKEN_STRUCTURE),
        (nodes(splits=np.array([1.0, 0, 0, 1, 0, 0])), Rejection.OTHER_ARRAYS),
        (nodes(splits=np.zeros((2, 3), np.uint8)), Rejection.SHAPES_DISAGREE),
        (nodes(features=np.array([0, 2], np.uint8)), Rejection.BROKEN_STRUCTURE),
        (nodes(features=np.array([0, -1], np.int8)), Rejection.OTHER_ARRAYS),
        (nodes(features=np.array([0], np.uint8), thresholds=np.ones(1, np.float32)), Rejection.SHAPES_DISAGREE),
        (nodes(thresholds=np.array([0.5], np.float32)), Rejection.SHAPES_DISAGREE),
        (nodes(thresholds=np.array([0.5, np.nan], np.float32)), Rejection.NOT_FINITE),
        (nodes(thresholds=np.array([0.5, np.inf], np.float32)), Rejection.NOT_FINITE),
        (nodes(thresholds=np.array([0.5, 1.5])), Rejection.OTHER_ARRAYS),
        (nodes(samples=np.array([8, 3, 2], np.uint8)), Rejection.SHAPES_DISAGREE),
        (nodes(samples=np.array([8, 0, 2, 3], np.uint8)), Rejection.BROKEN_STRUCTURE),
        (nodes(samples=np.array([9, 3, 2, 3], np.uint8)), Rejection.BROKEN_STRUCTURE),
    ],
)
def test_what_is_no_forest_is_refused(broken: Nodes, reason: Rejection) -> None:
    with pytest.raises(ArtifactRejected) as refused:
        Forest(broken, 2, 8, -0.5, 2)
    assert refused.value.reason is reason


@pytest.mark.parametrize(
    ("trees", "max_samples", "offset"),
    [(0, 8, -0.5), (2**40, 8, -0.5), (2, 1, -0.5), (2, 2**40, -0.5), (2, 8, 0.5), (2, 8, float("nan"))],
)
def test_numbers_that_no_training_gives_are_refused(trees: int, max_samples: int, offset: float) -> None:
    with pytest.raises(ArtifactRejected) as refused:
        Forest(nodes(), trees, max_samples, offset, 2)
    assert refused.value.reason is Rejection.WRONG_FIELD


def test_a_tree_that_is_too_deep_is_refused() -> None:
    with pytest.raises(ArtifactRejected) as refused:
        Forest(chain(MAX_DEPTH + 1), 1, 32, -0.5, 1)
    assert refused.value.reason is Rejection.BROKEN_STRUCTURE
