"""The report of a version: what it was trained with, what was left out, how it would have done, what has changed."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vedette_hub.learning import backtest, drift
from vedette_hub.learning.backtest import Judged
from vedette_hub.learning.cleaning import Note
from vedette_hub.learning.datasets import Dataset
from vedette_hub.learning.previous import Previous
from vedette_hub.learning.training.boundary import WEEK
from vedette_hub.learning.training.evaluate import detection, quantiles
from vedette_hub.learning.training.trained import Trained
from vedette_models.artifact import Artifact, load, sha256
from vedette_models.rejection import ArtifactRejected

SHOWN_DEVICES = 100
"""Devices that a report names."""
HISTOGRAM_BINS = 60
HISTOGRAM_END = 3.0
"""Scores are counted up to this; the last bin has all that is higher."""


@dataclass(frozen=True)
class Made:
    """A version as it has just been trained."""

    dataset: Dataset
    trained: Trained
    artifact: Artifact
    data: bytes


def channel_summary(dataset: Dataset) -> dict[str, dict[str, Any]]:
    """What the lineage remembers of the readings trained with, by channel."""
    return drift.summary(_trained_readings(dataset), dataset.source.channels)


def report(made: Made, previous: Previous | None, seconds: float) -> dict[str, Any]:
    """Everything, ready for JSON; `seconds` is how long the training took."""
    found = _training(made, seconds)
    found |= _judgement(made, previous)
    return found


def _training(made: Made, seconds: float) -> dict[str, Any]:
    dataset, trained = made.dataset, made.trained
    first, last = dataset.period
    scores = trained.scores
    chosen, held_out = scores[dataset.trained], scores[dataset.held_out & ~dataset.anomalous]
    found: dict[str, Any] = {
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
        "dropped": [asdict(note) for note in _notes(made)],
        "threshold": trained.detector.default_threshold,
        **trained.figures,
        "scores": quantiles(chosen),
        "held_out_scores": quantiles(held_out),
        "above": _above(chosen),
        "held_out_above": _above(held_out),
        "parity": trained.parity._asdict(),
        "golden": len(trained.golden.scores),
        "bytes": len(made.data),
        "sha256": sha256(made.data),
        "seconds": round(seconds, 3),
    }
    if dataset.source.anomalous is not None:
        judged = dataset.held_out | dataset.anomalous
        said = detection(dataset.anomalous[judged], scores[judged] >= 1.0)
        found["detection"] = {"windows": int(judged.sum()), "anomalous": int(dataset.anomalous.sum()), **said}
    return found


def _judgement(made: Made, previous: Previous | None) -> dict[str, Any]:
    dataset = made.dataset
    chosen = backtest.judged(dataset)
    devices = len(dataset.devices)
    scores = backtest.replay(load(made.data).detector, dataset, chosen)
    found: dict[str, Any] = {"this": backtest.figures(chosen, scores, devices)}
    versions = [scores]
    compared: dict[str, Any] | None = None
    if previous is not None:
        compared = {"version": previous.version, "sha256": previous.sha256, "problem": ""}
        try:
            before = backtest.replay(
                previous.detector(dataset.source.profile, dataset.source.channels), dataset, chosen
            )
        except ArtifactRejected as error:
            compared["problem"] = error.detail
        else:
            versions.append(before)
            found["previous"] = backtest.figures(chosen, before, devices)
            compared["flips"] = backtest.flips(scores, before)
        compared |= _data_drift(dataset, previous)
        compared["level"] = _level(compared)
    if len(chosen.time):
        found["timeline"] = backtest.timeline(chosen, versions)
    return {
        "backtest": found,
        "drift": compared,
        "labels": _labels(found["this"]),
        "histogram": _histogram(chosen, scores),
    }


def _data_drift(dataset: Dataset, previous: Previous) -> dict[str, Any]:
    before = previous.lineage.get("channels")
    if not isinstance(before, dict):
        return {"channels": []}
    return {"channels": drift.of_channels(before, _trained_readings(dataset), dataset.source.channels)}


def _level(compared: dict[str, Any]) -> drift.Level:
    levels: list[drift.Level] = [one["level"] for one in compared["channels"]]
    if "flips" in compared:
        levels.append(drift.level(compared["flips"]["share"], drift.FLIP_LIMITS))
    return drift.worst(levels)


def _labels(found: dict[str, Any]) -> dict[str, Any]:
    """What became of the wish to be silent where somebody said false, and to alert where somebody said true."""
    conflicts = []
    if loud := found["labelled_false_alerted"]:
        why = ": the boundary would have to lie above alerts labelled true" if found["labelled_true"] else ""
        conflicts.append(f"{loud} of {found['labelled_false']} alerts labelled false or normal would come again{why}")
    if missed := found["labelled_true"] - found["labelled_true_alerted"]:
        conflicts.append(f"{missed} of {found['labelled_true']} alerts labelled true would not be found by it")
    return {"true": found["labelled_true"], "false": found["labelled_false"], "conflicts": conflicts}


def _histogram(chosen: Judged, scores: NDArray[np.float64]) -> dict[str, Any]:
    edges = np.linspace(0.0, HISTOGRAM_END, HISTOGRAM_BINS + 1)
    clipped = np.minimum(scores, np.nextafter(HISTOGRAM_END, 0.0))

    def counts(rows: NDArray[np.bool_]) -> list[int]:
        found: list[int] = np.histogram(clipped[rows], edges)[0].tolist()
        return found

    return {
        "end": HISTOGRAM_END,
        "normal": counts(chosen.normal & ~chosen.excused),
        "labelled_false": counts(chosen.excused),
        "anomalous": counts(chosen.anomalous),
    }


def _trained_readings(dataset: Dataset) -> NDArray[np.float64]:
    return np.concatenate([one.values[rows] for one, rows in zip(dataset.series, dataset.learnable, strict=True)])


def _notes(made: Made) -> list[Note]:
    """What was left out of the dataset, and what the algorithm does not judge for reasons of its own."""
    said = {note.name for note in made.dataset.notes if "does not judge" in note.reason}
    return [*made.dataset.notes, *(note for note in made.trained.notes if note.name not in said)]


def _above(scores: NDArray[np.float64]) -> float | None:
    """Share of scores beyond the boundary; None without scores."""
    return round(float((scores >= 1.0).mean()), 6) if len(scores) else None
