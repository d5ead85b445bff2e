"""Isolation forests: trained with scikit-learn, exported as arrays, proved equal."""

from __future__ import annotations

from typing import Any

import numpy as np
import sklearn.ensemble
from numpy.typing import NDArray

from vedette_hub.learning.datasets import Dataset
from vedette_hub.learning.errors import TrainingRefusedError
from vedette_hub.learning.training.golden import record
from vedette_hub.learning.training.parity import prove
from vedette_hub.learning.training.threshold import threshold
from vedette_hub.learning.training.trained import Settings, Tell, Trained
from vedette_models.columns import LARGEST
from vedette_models.detectors.forest import Forest, Nodes, Tree
from vedette_models.detectors.isolation_forest import IsolationForest
from vedette_models.detectors.usual import Usual
from vedette_models.features import FEATURES

AUTOMATIC_OFFSET = -0.5
"""Where scikit-learn draws the line by itself: the average path of a vector that is neither common nor rare."""


def train(dataset: Dataset, settings: Settings, tell: Tell) -> Trained:
    """Train on what is neither held out nor known to be anomalous.

    A channel that a vector does not have counts as its median, as on a gateway. `tell` is called with the share that is
    done, 0 to 1, and what is done now.

    Raises:
        TrainingRefusedError: nothing stands out against anything, or the exported forest scores differently.
    """
    tell(0.0, "training")
    channels = len(dataset.source.channels)
    median = _medians(dataset.vectors.features[dataset.trained])
    vectors = np.where(np.isnan(dataset.vectors.features), median, dataset.vectors.features)
    chosen = vectors[dataset.trained]
    fitted = sklearn.ensemble.IsolationForest(
        n_estimators=settings.trees,
        max_samples=min(settings.samples_per_tree, len(chosen)),
        random_state=dataset.seed % 2**32,
        n_jobs=1,
    ).fit(chosen)
    tell(0.4, "drawing the boundary")
    fitted.offset_ = _offset(dataset, settings, -fitted.score_samples(chosen))
    tell(0.6, "exporting")
    grown = zip(fitted.estimators_, fitted.estimators_features_, strict=True)
    nodes = Nodes.of([_tree(one.tree_, columns) for one, columns in grown])
    forest = Forest(nodes, settings.trees, fitted.max_samples_, float(fitted.offset_), channels * len(FEATURES))
    try:
        usual = _usual(chosen, dataset.vectors.features[dataset.trained], forest)
    except ValueError as error:
        raise TrainingRefusedError(f"profile {dataset.source.profile!r}: {error}") from error
    detector = IsolationForest(forest, usual, channels, dataset.width)
    tell(0.7, "proving that it scores like scikit-learn")
    parity = prove(fitted.decision_function, forest.decision_function, vectors, dataset.seed)
    golden = record(dataset, detector, *_usual_values(usual), full=dataset.width)
    tell(0.9, "evaluating")
    return Trained(detector, golden, parity, detector.scale(vectors), {"offset": forest.offset})


def _medians(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """(F,) of what each column has; 0 for one that has nothing."""
    known = ~np.isnan(vectors)
    return np.array(
        [np.median(column[has]) if has.any() else 0.0 for column, has in zip(vectors.T, known.T, strict=True)]
    )


def _offset(dataset: Dataset, settings: Settings, scores: NDArray[np.float64]) -> float:
    """Where the alert budget puts the boundary, never inside scikit-learn's own; or where a share asked for does."""
    offset = -threshold(dataset, settings, scores)
    return offset if settings.contamination is not None else min(AUTOMATIC_OFFSET, offset)


def _tree(tree: Any, columns: NDArray[np.intp]) -> Tree:
    return Tree(
        tree.children_left,
        tree.children_right,
        columns[np.maximum(tree.feature, 0)],
        tree.threshold,
        tree.n_node_samples,
    )


def _usual(vectors: NDArray[np.float64], found: NDArray[np.float64], forest: Forest) -> Usual:
    """What is usual; of a column that was never there, everything."""
    usual = Usual.of(vectors, forest)
    missing = np.isnan(found)
    low, high = usual.low.copy(), usual.high.copy()
    for column in np.flatnonzero(missing.any(axis=0)):
        has = found[~missing[:, column], column]
        low[column], high[column] = np.percentile(has, [1.0, 99.0]) if len(has) else (-LARGEST, LARGEST)
    return usual._replace(low=np.minimum(low, usual.median), high=np.maximum(high, usual.median))


def _usual_values(usual: Usual) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(C,) between which means each channel usually is; NaN for one that never reported."""
    mean = FEATURES.index("mean")
    low, high = usual.low[mean :: len(FEATURES)], usual.high[mean :: len(FEATURES)]
    return np.where(high < LARGEST, low, np.nan), np.where(high < LARGEST, high, np.nan)
