"""Ensembles of the small models that tests make with numpy alone."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from tests.models.baselines import normal_start
from tests.models.forests import complete_vectors, isolation_forest, normal_readings
from tests.models.vector_models import lof, one_class_svm
from vedette_models.detectors.ensemble import Combination, Ensemble, Member, Surprise, Together
from vedette_models.detectors.mahalanobis import Mahalanobis
from vedette_models.detectors.usual import Usual
from vedette_models.detectors.vector_detector import VectorDetector

SHARES = np.array([1.0, 0.5, 0.1, 0.02])


@lru_cache
def combination(channels: int, width: int) -> tuple[Combination, Usual]:
    """All members, with what their scores mean among their own training vectors, and what is usual."""
    return combined_of([make(channels, 0, width) for make in (isolation_forest, lof, one_class_svm)], channels, width)


def combined_of(detectors: Sequence[VectorDetector], channels: int, width: int) -> tuple[Combination, Usual]:
    """The same of these members."""
    vectors = complete_vectors(normal_readings(channels, 1_600), width)
    members = []
    for detector in detectors:
        scores = np.quantile(detector.scale(vectors), 1.0 - SHARES) + 1e-6 * np.arange(len(SHARES))
        members.append(Member(detector, Surprise(scores, -np.log10(SHARES), 4.0)))
    surprise = -Combination(members, 0.0).decision_function(vectors)
    model = Combination(members, float(np.quantile(surprise, 0.98)))
    return model, Usual.of(vectors, model)


def ensemble_of(detectors: Sequence[VectorDetector], channels: int, width: int) -> Ensemble:
    """A trained detector of these members that knows no device."""
    return Ensemble(*combined_of(detectors, channels, width), channels, width)


def ensemble(channels: int, devices: int, width: int = 12) -> Ensemble:
    """A trained detector that knows no device."""
    return Ensemble(*combination(channels, width), channels, width, devices)


def ensemble_with_mahalanobis(channels: int, devices: int, width: int = 12) -> Ensemble:
    """One that has `mahalanobis` as a member too, and knows no device."""
    surprise = Surprise(np.array([0.0, 0.6, 1.0]), np.array([0.0, 1.0, 2.0]), 3.0)
    together = Together(Mahalanobis(channels, start=normal_start(channels), learns=False), surprise)
    return Ensemble(*combination(channels, width), channels, width, devices, together)
