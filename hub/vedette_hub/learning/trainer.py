"""The trainer: a source of readings → an artefact that is proved, with its lineage and a report."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vedette_hub.config import LearningSection
from vedette_hub.learning.datasets import Dataset, Source, build
from vedette_hub.learning.errors import TrainingRefusedError
from vedette_hub.learning.training.algorithms import ALGORITHMS, DEFAULT, unknown
from vedette_hub.learning.training.boundary import WEEK
from vedette_hub.learning.training.evaluate import detection, quantiles
from vedette_hub.learning.training.trained import Settings, Tell, Trained
from vedette_hub.version import VERSION
from vedette_models.artifact import Artifact, Lineage, sha256, to_bytes
from vedette_models.rejection import ArtifactRejected

SHOWN_DEVICES = 100
"""Devices that a report names."""


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
    parent: str = "",
    by: str = "",
    tell: Tell = lambda done, what: None,
) -> TrainedModel:
    """Train a model by one of ALGORITHMS at time `now`; `parent` is the SHA-256 of the version before it.

    Raises:
        TrainingRefusedError: nothing sound can be learnt from this; says what was seen, and what is needed.
    """
    started = time.monotonic()
    profile = source.profile
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
    tell(0.95, "reporting")
    return TrainedModel(
        artifact,
        data,
        _lineage(dataset, settings, algorithm, contamination, parent, by),
        _report(dataset, trained, data, time.monotonic() - started),
    )


def _lineage(
    dataset: Dataset, settings: LearningSection, algorithm: str, contamination: float | None, parent: str, by: str
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
        "trees": settings.trees,
        "samples_per_tree": settings.samples_per_tree,
        "alerts_per_week": settings.alerts_per_week if contamination is None else None,
        "contamination": contamination,
        "seed": dataset.seed,
    }


def _report(dataset: Dataset, trained: Trained, data: bytes, seconds: float) -> dict[str, Any]:
    first, last = dataset.period
    scores = trained.scores
    chosen, held_out = scores[dataset.trained], scores[dataset.held_out & ~dataset.anomalous]
    report: dict[str, Any] = {
        "samples": len(scores),
        "trained": len(chosen),
        "held_out": len(held_out),
        "windows": dataset.windows,
        "readings": dataset.readings,
        "segments": len(dataset.series),
        "devices": len(dataset.devices),
        "device_names": list(dataset.devices[:SHOWN_DEVICES]),
        "device_weeks": round(dataset.device_seconds / WEEK, 4),
        "channels": list(dataset.source.channels),
        "first": first,
        "last": last,
        "dropped": [asdict(note) for note in dataset.notes],
        "threshold": trained.detector.default_threshold,
        **trained.figures,
        "scores": quantiles(chosen),
        "held_out_scores": quantiles(held_out),
        "above": _above(chosen),
        "held_out_above": _above(held_out),
        "parity": trained.parity._asdict(),
        "golden": len(trained.golden.scores),
        "bytes": len(data),
        "sha256": sha256(data),
        "seconds": round(seconds, 3),
    }
    if dataset.source.anomalous is not None:
        judged = dataset.held_out | dataset.anomalous
        found = detection(dataset.anomalous[judged], scores[judged] >= 1.0)
        report["detection"] = {"windows": int(judged.sum()), "anomalous": int(dataset.anomalous.sum()), **found}
    return report


def _above(scores: NDArray[np.float64]) -> float | None:
    """Share of scores beyond the boundary; None without scores."""
    return round(float((scores >= 1.0).mean()), 6) if len(scores) else None
