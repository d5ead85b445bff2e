"""One-class SVMs: trained with scikit-learn, exactly or for large sets with a fixed number of centres, and exported."""

from __future__ import annotations

import warnings
from typing import cast

import numpy as np
import sklearn.kernel_approximation
import sklearn.linear_model
import sklearn.svm
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning

from vedette_hub.learning.datasets import Dataset
from vedette_hub.learning.errors import TrainingRefusedError
from vedette_hub.learning.training.scaling import MAX_CELLS, scaled
from vedette_hub.learning.training.trained import Settings, Tell, Trained
from vedette_hub.learning.training.vector_model import Fitted, train_with
from vedette_models.detectors.kernel import Kernel
from vedette_models.detectors.one_class_svm import SMALLEST_LIMIT, OneClassSVM
from vedette_models.detectors.usual import Usual, VectorModel

NU = 0.01
"""Share of the training vectors that may lie outside the region: those are ignored, whatever they are."""
EXACT_AT_MOST = 20_000
"""Vectors that support vectors are looked for among; of more, the fixed-size variant learns."""
CENTRES = 128
"""Of the fixed-size variant, half of them the farthest from each other, half drawn."""
MAPPED = 50_000
"""Vectors that the fixed-size variant learns from, at most: they take 50 MB."""
_SEARCHED = 10_000
"""Vectors among which the farthest are looked for."""


def train(dataset: Dataset, settings: Settings, tell: Tell) -> Trained:
    """Train on what is neither held out nor known to be anomalous.

    Raises:
        TrainingRefusedError: nothing stands out against anything, or the export scores differently.
    """
    return train_with(fit, detector, dataset, settings, tell)


def fit(vectors: NDArray[np.float64], settings: Settings, seed: int) -> Fitted:
    """The exact machine of up to EXACT_AT_MOST vectors; of more, or where it keeps too many, the fixed-size one."""
    if len(vectors) <= EXACT_AT_MOST:
        fitted = exact(vectors, seed)
        if fitted.figures["centres"] * vectors.shape[1] <= MAX_CELLS:
            return fitted._replace(again=lambda others, settings, seed: exact(others, seed))
    return nystroem(vectors, seed)._replace(again=lambda others, settings, seed: nystroem(others, seed))


def exact(vectors: NDArray[np.float64], seed: int) -> Fitted:
    """A machine with support vectors, of all vectors."""
    scaler, points = scaled(vectors)
    gamma = _gamma(points)
    nu = max(NU, 2.0 / len(points))
    machine = sklearn.svm.OneClassSVM(kernel="rbf", gamma=gamma, nu=nu, tol=1e-4, cache_size=200).fit(points)
    centres = machine.support_vectors_.astype(np.float32)
    total = float(machine.dual_coef_.sum())  # grows with the number of vectors; scores should not
    coefficients = machine.dual_coef_[0] / total

    def exported(limit: float) -> Kernel:
        return Kernel(scaler, centres, coefficients, gamma, _positive(limit))

    return Fitted(
        lambda some: cast("NDArray[np.float64]", machine.score_samples(scaler(some)) / total),
        exported,
        {"variant": "exact", "centres": len(centres), "gamma": gamma, "nu": nu},
        loosest=SMALLEST_LIMIT,
    )


def nystroem(vectors: NDArray[np.float64], seed: int) -> Fitted:
    """A linear machine on a Nystroem map of CENTRES vectors, from all of them."""
    scaler, points = scaled(vectors)
    gamma = _gamma(points)
    chosen = _centres(points, max(2, min(CENTRES, len(points), MAX_CELLS // points.shape[1])), seed)
    transform = sklearn.kernel_approximation.Nystroem(
        kernel="rbf", gamma=gamma, n_components=len(chosen), random_state=seed % 2**32
    ).fit(chosen)
    mapped = transform.transform(points[:: -(-len(points) // MAPPED)])
    machine = sklearn.linear_model.SGDOneClassSVM(nu=NU, average=True, max_iter=50, tol=1e-5, random_state=seed % 2**32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # what it has not reached, the figures show
        machine.fit(mapped)
    centres = transform.components_.astype(np.float32)
    coefficients = transform.normalization_.T @ machine.coef_

    def exported(limit: float) -> Kernel:
        return Kernel(scaler, centres, coefficients, gamma, _positive(limit))

    return Fitted(
        lambda some: cast("NDArray[np.float64]", machine.score_samples(transform.transform(scaler(some)))),
        exported,
        {"variant": "nystroem", "centres": len(centres), "gamma": gamma, "nu": NU},
        loosest=SMALLEST_LIMIT,
    )


def _positive(limit: float) -> float:
    if limit < SMALLEST_LIMIT:
        raise TrainingRefusedError(
            "the vectors fill no region that could have a border: more readings are needed, or another algorithm"
        )
    return limit


def _centres(points: NDArray[np.float64], most: int, seed: int) -> NDArray[np.float64]:
    """Half of them farthest-first (Gonzalez, 1985), which reaches what is rare; half drawn: wild ones cannot be all."""
    some = points[:: -(-len(points) // _SEARCHED)]
    farthest = [0]
    distance = ((some - some[0]) ** 2).sum(axis=1)
    while len(farthest) < most // 2:
        farthest.append(int(distance.argmax()))
        distance = np.minimum(distance, ((some - some[farthest[-1]]) ** 2).sum(axis=1))
    drawn = np.random.default_rng(seed).permutation(len(points))[: most - len(farthest)]
    return cast("NDArray[np.float64]", np.unique(np.concatenate([some[farthest], points[drawn]]), axis=0))


def detector(model: VectorModel, usual: Usual, channels: int, width: int) -> OneClassSVM:
    """The detector of an exported kernel."""
    return OneClassSVM(cast("Kernel", model), usual, channels, width)


def _gamma(points: NDArray[np.float64]) -> float:
    """One over features times their variance, as scikit-learn's "scale"; features that are left out have none."""
    spread = np.minimum(points.var(axis=0), 1.0).sum()
    return float(1.0 / max(spread, 1e-3))
