"""Local outlier factors: trained with scikit-learn on prototypes, compared with all vectors, and exported."""

from __future__ import annotations

from typing import cast

import numpy as np
import sklearn.neighbors
from numpy.typing import NDArray

from vedette_hub.learning.datasets import Dataset
from vedette_hub.learning.training.prototypes import choose
from vedette_hub.learning.training.scaling import MAX_CELLS, scaled
from vedette_hub.learning.training.trained import Settings, Tell, Trained
from vedette_hub.learning.training.vector_model import Fitted, prepared, train_with
from vedette_models.detectors.lof import LocalOutlierFactor
from vedette_models.detectors.neighbours import Neighbours
from vedette_models.detectors.scaler import FURTHEST
from vedette_models.detectors.usual import Usual, VectorModel

PROTOTYPES = 500
"""Of a member of an ensemble; by itself, a model has as many as its training vectors ask for."""
NEIGHBOURS = 20
SMOOTHING = 0.05
"""Noise added to prototypes, in units of a feature's usual spread: what repeats itself then has a finite density."""


def train(dataset: Dataset, settings: Settings, tell: Tell) -> Trained:
    """Train on what is neither held out nor known to be anomalous.

    Raises:
        TrainingRefusedError: nothing stands out against anything, no few vectors can stand for all, or the export
            scores differently.
    """
    tell(0.0, "choosing prototypes")
    cut = choose(fit_to, prepared(dataset).chosen, dataset.seed)

    def fit_cut(vectors: NDArray[np.float64], settings: Settings, seed: int) -> Fitted:
        return fit_to(vectors, seed, cut.prototypes)

    trained = train_with(fit_cut, detector, dataset, settings, tell)
    scores = trained.detector.scale(cut.probes) if isinstance(trained.detector, LocalOutlierFactor) else np.empty(0)
    outliers = int((scores >= trained.detector.default_threshold).sum())
    compared = {"vectors": cut.vectors, "probes": len(cut.probes), "outliers": outliers}
    figures = {"full_model": {**compared, "label_flips": cut.flips(scores, outliers)}}
    return trained._replace(figures={**trained.figures, **figures})


def fit(vectors: NDArray[np.float64], settings: Settings, seed: int) -> Fitted:
    """Factors among PROTOTYPES of the vectors."""
    return fit_to(vectors, seed, min(PROTOTYPES, MAX_CELLS // vectors.shape[1]))


def fit_to(vectors: NDArray[np.float64], seed: int, most: int, wider: float = 1.0) -> Fitted:
    """Factors among at most so many of the vectors, taken at even steps; of `wider` times NEIGHBOURS neighbours."""
    scaler, points = scaled(vectors)
    most = min(len(points), most)
    picked = points[np.linspace(0, len(points) - 1, most).round().astype(np.intp)]
    noise = np.random.default_rng(seed).normal(0.0, SMOOTHING, picked.shape) * (scaler.weight > 0)
    prototypes = np.clip(picked + noise, -FURTHEST, FURTHEST).astype(np.float32)
    k = min(round(wider * NEIGHBOURS), max(1, (most - 1) // 2))
    model = sklearn.neighbors.LocalOutlierFactor(n_neighbors=k, novelty=True).fit(prototypes.astype(np.float64))
    reach = model._distances_fit_X_[:, k - 1]

    def exported(limit: float) -> Neighbours:
        return Neighbours(scaler, prototypes, reach, model._lrd, k, limit)

    return Fitted(
        lambda some: cast("NDArray[np.float64]", model.score_samples(scaler(some))),
        exported,
        {"prototypes": most, "neighbours": k},
    )


def detector(model: VectorModel, usual: Usual, channels: int, width: int) -> LocalOutlierFactor:
    """The detector of exported neighbours."""
    return LocalOutlierFactor(cast("Neighbours", model), usual, channels, width)
