"""The trainer: a source of readings → an artefact that is proved, with its lineage and a report."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from vedette_hub.config import LearningSection
from vedette_hub.learning.datasets import Dataset, Source, build
from vedette_hub.learning.errors import TrainingRefusedError
from vedette_hub.learning.previous import Previous
from vedette_hub.learning.report import Made, channel_summary, report
from vedette_hub.learning.training.algorithms import ALGORITHMS, DEFAULT, unknown
from vedette_hub.learning.training.trained import Settings, Tell
from vedette_hub.version import VERSION
from vedette_models.artifact import Artifact, Lineage, to_bytes
from vedette_models.detectors.learnt import LearntDetector
from vedette_models.detectors.vector_detector import VectorDetector
from vedette_models.rejection import ArtifactRejected


@dataclass(frozen=True)
class TrainedModel:
    """A model that is ready for the registry."""

    artifact: Artifact
    data: bytes
    lineage: dict[str, Any]
    report: dict[str, Any]


def train(
    source: Source,
    settings: LearningSection,
    now: float,
    *,
    algorithm: str = DEFAULT,
    contamination: float | None = None,
    previous: Previous | None = None,
    by: str = "",
    tell: Tell = lambda done, what: None,
) -> TrainedModel:
    """Train a model by one of ALGORITHMS at time `now`; `previous` is the version that it follows.

    Raises:
        TrainingRefusedError: nothing sound can be learnt from this; says what was seen, and what is needed.
    """
    started = time.monotonic()
    profile = source.profile
    parent = previous.sha256 if previous else ""
    if algorithm not in ALGORITHMS:
        raise TrainingRefusedError(f"profile {profile!r}: {unknown(algorithm)}")
    tell(0.1, "computing features")
    dataset = build(
        source,
        width=settings.window,
        at_least=settings.min_vectors,
        at_most=settings.max_vectors,
        tell=lambda done: tell(0.1 + 0.3 * done, "computing features"),
    )
    options = Settings(settings.trees, settings.samples_per_tree, settings.alerts_per_week, contamination)
    trained = ALGORITHMS[algorithm](dataset, options, lambda done, what: tell(0.4 + 0.5 * done, what))
    tell(0.9, "writing the artefact")
    first, last = dataset.period
    lineage = Lineage(
        samples=int(dataset.trained.sum()),
        first=float(np.clip(first, 0.0, 1e12)),
        last=float(np.clip(last, 0.0, 1e12)),
        trained=now,
        hub=VERSION,
        parents=(parent,) if parent else (),
        origin=source.origin,
    )
    artifact = Artifact.of(trained.detector, profile, source.channels, lineage, trained.golden)
    try:
        data = to_bytes(artifact)
    except ArtifactRejected as error:
        raise TrainingRefusedError(f"profile {profile!r}: no gateway would take this model: {error}") from error
    seconds = time.monotonic() - started
    tell(0.92, "judging it by data that was held out")
    return TrainedModel(
        artifact,
        data,
        _lineage(dataset, settings, algorithm, contamination, parent, by, _features(trained.detector)),
        report(Made(dataset, trained, artifact, data), previous, seconds),
    )


def _features(detector: LearntDetector) -> int:
    """Numbers of a vector that it judges; of one without vectors, its channels."""
    return detector.model.width if isinstance(detector, VectorDetector) else detector.channels


def _lineage(
    dataset: Dataset,
    settings: LearningSection,
    algorithm: str,
    contamination: float | None,
    parent: str,
    by: str,
    features: int,
) -> dict[str, Any]:
    source = dataset.source
    return {
        "algorithm": algorithm,
        "origin": source.origin,
        "source": source.name,
        "dataset": dataset.sha256,
        "through": source.through,
        "parent": parent,
        "by": by,
        "hub": VERSION,
        "window": dataset.width,
        "features": features,
        "trees": settings.trees,
        "samples_per_tree": settings.samples_per_tree,
        "alerts_per_week": settings.alerts_per_week if contamination is None else None,
        "contamination": contamination,
        "seed": dataset.seed,
        "channels": channel_summary(dataset),
    }
