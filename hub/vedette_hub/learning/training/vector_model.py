"""Vector models: what all algorithms share that learn from window vectors, from the dataset to the proof."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vedette_hub.learning.datasets import Dataset
from vedette_hub.learning.errors import TrainingRefusedError
from vedette_hub.learning.training.golden import record
from vedette_hub.learning.training.labels import with_labels
from vedette_hub.learning.training.parity import Decision, prove
from vedette_hub.learning.training.threshold import threshold
from vedette_hub.learning.training.trained import Settings, Tell, Trained
from vedette_models.columns import LARGEST
from vedette_models.detectors.usual import Usual, VectorModel
from vedette_models.detectors.vector_detector import VectorDetector
from vedette_models.features import features_of

FOLDS = 4
"""Vectors are judged, for the boundary, by a model of the other three quarters."""
FOLD_WINDOWS = 8
"""Windows in a stretch of time that goes to one fold."""


class Fitted(NamedTuple):
    """A model that has been fitted, but has no boundary yet."""

    normality: Decision
    """(N, F) -> (N,) as scikit-learn works it out: high is usual."""
    exported: Callable[[float], VectorModel]
    """The same as arrays, with an outlier being what is less normal than so much."""
    figures: Mapping[str, Any]
    strictest: float = np.inf
    """The boundary is never drawn at more normality than this, whatever the budget."""
    loosest: float = -np.inf
    """Nor moved to this little by what people said of alerts: a model has nothing to say any more there."""
    again: Fit | None = None
    """How to fit other vectors in the very same way, so that scores compare; None: as these were."""


Fit = Callable[[NDArray[np.float64], Settings, int], Fitted]
"""Fit vectors (N, F), all finite, with a seed."""

Make = Callable[[VectorModel, Usual, int, int], VectorDetector]
"""A detector of a model, what is usual, channels, and window width."""


class Prepared(NamedTuple):
    """The vectors of a dataset with nothing missing."""

    vectors: NDArray[np.float64]
    """(N, F); what is missing is its column's median, as on a gateway."""
    chosen: NDArray[np.float64]
    """Those to train with."""
    found: NDArray[np.float64]
    """The same before; NaN where something is missing."""


def prepared(dataset: Dataset) -> Prepared:
    """The vectors of a dataset with what is missing filled in."""
    found = dataset.vectors.features[dataset.trained]
    known = ~np.isnan(found)
    median = np.array([np.median(one[has]) if has.any() else 0.0 for one, has in zip(found.T, known.T, strict=True)])
    vectors = np.where(np.isnan(dataset.vectors.features), median, dataset.vectors.features)
    return Prepared(vectors, vectors[dataset.trained], found)


def train_with(fit: Fit, make: Make, dataset: Dataset, settings: Settings, tell: Tell) -> Trained:
    """Train on what is neither held out nor known to be anomalous.

    The boundary follows from scores of vectors by a model that has not seen them, nor their neighbours in time; where a
    share of the training vectors is asked for instead, from those by this model.

    Raises:
        TrainingRefusedError: nothing stands out against anything, or the export scores differently.
    """
    tell(0.0, "training")
    vectors, chosen, found = prepared(dataset)
    fitted = fit(chosen, settings, dataset.seed)
    tell(0.3, "drawing the boundary")
    if settings.contamination is None:
        rows, scores = unseen(fitted.again or fit, dataset, chosen, settings)
        limit = min(-threshold(dataset, settings, rows, scores), fitted.strictest)
        limit = -with_labels(
            dataset, -limit, lambda some: -fitted.normality(vectors[some]), float(np.std(scores)), -fitted.loosest
        )
    else:
        rows = np.arange(len(chosen))
        limit = -threshold(dataset, settings, rows, -fitted.normality(chosen))
    tell(0.6, "exporting")
    model = fitted.exported(limit)
    usual = usual_of(dataset, model, chosen, found)
    detector = make(model, usual, len(dataset.source.channels), dataset.width)
    tell(0.7, "proving that it scores like scikit-learn")
    parity = prove(lambda some: fitted.normality(some) - limit, model.decision_function, vectors, dataset.seed, limit)
    golden = record(dataset, detector, *usual_values(usual, dataset.width), full=dataset.width)
    tell(0.9, "evaluating")
    figures = {**fitted.figures, "boundary": -limit, "offset": limit, "calibrated_on": len(rows)}
    return Trained(detector, golden, parity, detector.scale(vectors), figures)


def unseen(
    fit: Fit, dataset: Dataset, chosen: NDArray[np.float64], settings: Settings
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Anomaly scores of vectors by models that have not seen them: rows among those trained with, and their scores.

    Stretches of time go to the folds in turn. A vector that shares readings with the stretch
    before its own has no score.
    """
    trained = np.flatnonzero(dataset.trained)
    position, series = dataset.vectors.position[trained], dataset.vectors.series[trained]
    number, place = np.divmod(position, FOLD_WINDOWS * dataset.width)
    fold = (number + series) % FOLDS
    apart = (place >= dataset.width - 1) | (number == 0)
    scores = np.full(len(trained), np.nan)
    for one in range(FOLDS):
        others, own = np.flatnonzero(fold != one), np.flatnonzero((fold == one) & apart)
        if not len(others) or not len(own):
            continue
        scores[own] = -fit(chosen[others], settings, dataset.seed).normality(chosen[own])
    rows = np.flatnonzero(~np.isnan(scores))
    return rows, scores[rows]


def usual_of(dataset: Dataset, model: VectorModel, vectors: NDArray[np.float64], found: NDArray[np.float64]) -> Usual:
    """What is usual among the vectors trained with; of a column that was never found, everything.

    Raises:
        TrainingRefusedError: nothing stands out against anything.
    """
    try:
        usual = Usual.of(vectors, model)
    except ValueError as error:
        raise TrainingRefusedError(f"profile {dataset.source.profile!r}: {error}") from error
    missing = np.isnan(found)
    low, high = usual.low.copy(), usual.high.copy()
    for column in np.flatnonzero(missing.any(axis=0)):
        has = found[~missing[:, column], column]
        low[column], high[column] = np.percentile(has, [1.0, 99.0]) if len(has) else (-LARGEST, LARGEST)
    return usual._replace(low=np.minimum(low, usual.median), high=np.maximum(high, usual.median))


def usual_values(usual: Usual, width: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(C,) between which means (or values) each channel usually is; NaN for one that never reported."""
    features = features_of(width)
    level = features.index("mean") if "mean" in features else 0
    low, high = usual.low[level :: len(features)], usual.high[level :: len(features)]
    return np.where(high < LARGEST, low, np.nan), np.where(high < LARGEST, high, np.nan)
