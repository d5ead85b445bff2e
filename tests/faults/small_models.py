"""A small valid artefact of every detector there is, to make mutants of: a few readings, a few numbers."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from tests.models import forecasts
from tests.models.baselines import mahalanobis
from tests.models.ensembles import ensemble_of
from tests.models.forests import DEVICES, normal_readings, trained
from tests.models.vector_models import kernel, neighbours
from vedette_models import artifact
from vedette_models.artifact import Artifact, Lineage
from vedette_models.detectors.isolation_forest import IsolationForest
from vedette_models.detectors.lof import LocalOutlierFactor
from vedette_models.detectors.one_class_svm import OneClassSVM
from vedette_models.golden import Golden

if TYPE_CHECKING:
    from vedette_models.detectors.learnt import LearntDetector

CHANNELS = ("flow", "pressure")
WIDTH = 2
GOLDEN = 3
"""Golden readings of each of two devices: as few as prove something, for a mutant is worth what it costs."""


def detectors() -> dict[str, LearntDetector]:
    """By name, each knowing no device."""
    forest = IsolationForest(*trained(2, WIDTH, trees=3, max_samples=8), 2, WIDTH)
    lof = LocalOutlierFactor(*neighbours(2, WIDTH, prototypes=6, k=2), 2, WIDTH)
    svm = OneClassSVM(*kernel(2, WIDTH, centres=4), 2, WIDTH)
    found: list[LearntDetector] = [
        forest,
        lof,
        svm,
        ensemble_of((forest, lof, svm), 2, WIDTH),
        forecasts.forecast(2, 0),
        mahalanobis(2, 0),
    ]
    return {detector.name: detector for detector in found}


@cache
def small_models() -> dict[str, bytes]:
    """The artefacts, by detector."""
    lineage = Lineage(samples=1_588, first=1.7e9, last=1.7e9 + 24_000, trained=1.8e9)
    made = {}
    for name, detector in detectors().items():
        readings = normal_readings(2, GOLDEN * DEVICES, seed=1)
        readings.values[DEVICES:] += 5.0 * np.arange(len(readings) - DEVICES)[:, None]
        readings = readings.take(np.flatnonzero(readings.device < 2))
        golden = Golden.recorded(detector, readings)
        made[name] = artifact.to_bytes(Artifact.of(detector, "pump", CHANNELS, lineage, golden))
    return made
