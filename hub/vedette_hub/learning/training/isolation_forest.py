"""Isolation forests: trained with scikit-learn, and exported as arrays."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import sklearn.ensemble
from numpy.typing import NDArray

from vedette_hub.learning.datasets import Dataset
from vedette_hub.learning.training.trained import Settings, Tell, Trained
from vedette_hub.learning.training.vector_model import Fitted, train_with
from vedette_models.detectors.forest import Forest, Nodes, Tree
from vedette_models.detectors.isolation_forest import IsolationForest
from vedette_models.detectors.usual import Usual, VectorModel

AUTOMATIC_OFFSET = -0.5
"""Where scikit-learn draws the line by itself: the average path of a vector that is neither common nor rare."""


def train(dataset: Dataset, settings: Settings, tell: Tell) -> Trained:
    """Train on what is neither held out nor known to be anomalous.

    Raises:
        TrainingRefusedError: nothing stands out against anything, or the export scores differently.
    """
    return train_with(fit, detector, dataset, settings, tell)


def fit(vectors: NDArray[np.float64], settings: Settings, seed: int) -> Fitted:
    """A forest; its boundary is never inside scikit-learn's own."""
    fitted = sklearn.ensemble.IsolationForest(
        n_estimators=settings.trees,
        max_samples=min(settings.samples_per_tree, len(vectors)),
        random_state=seed % 2**32,
        n_jobs=1,
    ).fit(vectors)
    grown = zip(fitted.estimators_, fitted.estimators_features_, strict=True)
    nodes = Nodes.of([_tree(one.tree_, columns) for one, columns in grown])

    def exported(offset: float) -> Forest:
        return Forest(nodes, settings.trees, fitted.max_samples_, offset, vectors.shape[1])

    return Fitted(
        lambda some: cast("NDArray[np.float64]", fitted.score_samples(some)), exported, {}, strictest=AUTOMATIC_OFFSET
    )


def detector(model: VectorModel, usual: Usual, channels: int, width: int) -> IsolationForest:
    """The detector of an exported forest."""
    return IsolationForest(cast("Forest", model), usual, channels, width)


def _tree(tree: Any, columns: NDArray[np.intp]) -> Tree:
    return Tree(
        tree.children_left,
        tree.children_right,
        columns[np.maximum(tree.feature, 0)],
        tree.threshold,
        tree.n_node_samples,
    )
