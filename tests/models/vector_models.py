"""Neighbours and kernels made with numpy alone from normal readings, and the same for the same seed."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from tests.models.forests import complete_vectors, normal_readings
from vedette_models.detectors.kernel import Kernel
from vedette_models.detectors.lof import LocalOutlierFactor
from vedette_models.detectors.neighbours import MAX_DENSITY, Neighbours
from vedette_models.detectors.one_class_svm import OneClassSVM
from vedette_models.detectors.scaler import Scaler
from vedette_models.detectors.usual import Usual

BEYOND = 0.02
"""Share of the vectors that the boundary leaves outside."""


def distances(some: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.sqrt(((some[:, None, :] - others[None, :, :]) ** 2).sum(axis=2))


def factors(vectors: NDArray[np.float64], points: NDArray[np.float64], k: int) -> NDArray[np.float64]:
    """Local outlier factors of vectors among points, the slow way, from the paper."""
    among = distances(points, points)
    np.fill_diagonal(among, np.inf)
    near = among.argsort(axis=1)[:, :k]
    reach = np.take_along_axis(among, near, 1)[:, -1]
    density = 1.0 / (np.maximum(np.take_along_axis(among, near, 1), reach[near]).mean(axis=1) + 1.0 / MAX_DENSITY)
    there = distances(vectors, points)
    near = there.argsort(axis=1)[:, :k]
    own = np.maximum(np.take_along_axis(there, near, 1), reach[near]).mean(axis=1) + 1.0 / MAX_DENSITY
    return density[near].mean(axis=1) * own


@lru_cache
def neighbours(channels: int, width: int, prototypes: int = 150, k: int = 10) -> tuple[Neighbours, Usual]:
    """Neighbours among every n-th training vector, and what is usual."""
    vectors = complete_vectors(normal_readings(channels, 1_600), width)
    scaler = Scaler.of(vectors)
    points = scaler(vectors[:: len(vectors) // prototypes]).astype(np.float32)
    exact = points.astype(np.float64)
    among = distances(exact, exact)
    np.fill_diagonal(among, np.inf)
    near = among.argsort(axis=1)[:, :k]
    reached = np.take_along_axis(among, near, 1)
    reach = reached[:, -1]
    density = 1.0 / (np.maximum(reached, reach[near]).mean(axis=1) + 1.0 / MAX_DENSITY)
    plain = Neighbours(scaler, points, reach, density, k, 0.0)
    model = Neighbours(scaler, points, reach, density, k, float(np.quantile(plain.decision_function(vectors), BEYOND)))
    return model, Usual.of(vectors, model)


@lru_cache
def kernel(channels: int, width: int, centres: int = 60) -> tuple[Kernel, Usual]:
    """A kernel with a coefficient of 1 on every n-th training vector, and what is usual."""
    vectors = complete_vectors(normal_readings(channels, 1_600), width)
    scaler = Scaler.of(vectors)
    points = scaler(vectors[:: len(vectors) // centres]).astype(np.float32)
    coefficients, gamma = np.ones(len(points)), 1.0 / points.shape[1]
    plain = Kernel(scaler, points, coefficients, gamma, 0.0)
    limit = float(np.quantile(plain.decision_function(vectors), BEYOND))
    model = Kernel(scaler, points, coefficients, gamma, limit)
    return model, Usual.of(vectors, model)


def lof(channels: int, devices: int, width: int = 12) -> LocalOutlierFactor:
    """A trained detector that knows no device."""
    return LocalOutlierFactor(*neighbours(channels, width), channels, width, devices)


def one_class_svm(channels: int, devices: int, width: int = 12) -> OneClassSVM:
    """A trained detector that knows no device."""
    return OneClassSVM(*kernel(channels, width), channels, width, devices)
