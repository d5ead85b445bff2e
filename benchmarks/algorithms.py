"""Algorithms: every detector on generated fleets, and scikit-learn's own scoring of the same models beside it.

    python -m benchmarks.algorithms --json

Each fleet of `benchmarks.scenarios` reports for two weeks, from which the hub's own trainers learn, and is then watched
for four. What is trained passes through its artefact, as on its way to a gateway; what learns online has streamed the
same two weeks. Thresholds are the detectors' defaults: nothing is chosen by the faults.

An alert is a run of readings at or above the threshold that are less than an hour apart. It is right when it overlaps a
fault, or the time after it in which the window still holds one of its readings. Times are of the processor.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import sklearn

from benchmarks.algorithms_plot import draw
from benchmarks.scenarios import DEVICES, INTERVAL, LEARNT_WEEKS, SCENARIOS, WATCHED_WEEKS, Scenario, generate
from benchmarks.scoring import in_turn
from vedette_hub.config import LearningSection
from vedette_hub.learning.datasets import Dataset, build
from vedette_hub.learning.errors import TrainingRefusedError
from vedette_hub.learning.training import isolation_forest, lof, one_class_svm
from vedette_hub.learning.training.algorithms import ALGORITHMS
from vedette_hub.learning.training.trained import Settings, Trained
from vedette_hub.learning.training.vector_model import Fitted, prepared, train_with
from vedette_models.artifact import Artifact, Lineage, load, to_bytes
from vedette_models.detectors.ensemble import MEMBERS
from vedette_models.detectors.mahalanobis import Mahalanobis
from vedette_models.detectors.rangebreak import RangeBreak
from vedette_models.readings import ReadingBatch

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from numpy.typing import NDArray

    from vedette_models.detectors.base import Detector

BATCH = 128
"""Readings, each of another device, that times are taken with."""
STREAMED = 512
"""Readings scored at a time where only scores count."""
GAP = round(3_600.0 / INTERVAL)
"""Readings of a device from which two alerts are two."""
WINDOW = LearningSection().window
NOW = 1.8e9


class Judged(NamedTuple):
    """How the alerts of a detector hold against the faults."""

    precision: float
    recall: float
    f1: float
    false_alerts: int


def _exact(vectors: NDArray[np.float64], settings: Settings, seed: int) -> Fitted:
    return one_class_svm.exact(vectors, seed)


def _nystroem(vectors: NDArray[np.float64], settings: Settings, seed: int) -> Fitted:
    return one_class_svm.nystroem(vectors, seed)


def trainers() -> dict[str, Callable[[Dataset], Trained]]:
    """By name, every algorithm of the hub; the one-class SVM in both variants, whatever the size."""
    settings = Settings()
    found: dict[str, Callable[[Dataset], Trained]] = {}
    for name, train in ALGORITHMS.items():
        if name == "one_class_svm":
            found["one_class_svm"] = lambda of: train_with(_exact, one_class_svm.detector, of, settings, _quiet)
            found["one_class_svm_nystroem"] = lambda of: train_with(
                _nystroem, one_class_svm.detector, of, settings, _quiet
            )
        else:
            found[name] = partial(_train, train, settings)
    return found


def _train(train: Any, settings: Settings, dataset: Dataset) -> Trained:
    trained: Trained = train(dataset, settings, _quiet)
    return trained


def _quiet(done: float, what: str) -> None:
    """Nobody watches."""


def judge(scenario: Scenario, flags: NDArray[np.bool_], after: int = WINDOW) -> Judged:
    """Flags (readings, devices) held against the faults; a fault may be found until `after` readings after it."""
    found = false = 0
    for device, flagged in enumerate(flags.T):
        near = np.zeros(len(flagged), bool)
        for event in scenario.events:
            if event.device == device:
                near[event.start : event.end + after] = True
                found += bool(flagged[event.start : event.end + after].any())
        rows = np.flatnonzero(flagged)
        runs = np.split(rows, np.flatnonzero(np.diff(rows) >= GAP) + 1) if len(rows) else []
        false += sum(not near[run].any() for run in runs)
    recall = found / len(scenario.events)
    precision = found / (found + false) if found else 0.0
    f1 = 2.0 * precision * recall / (precision + recall) if found else 0.0
    return Judged(round(precision, 4), round(recall, 4), round(f1, 4), false)


def watched(detector: Detector, scenario: Scenario) -> NDArray[np.bool_]:
    """(readings, devices): what is flagged while the fleet is watched, after it has streamed what was learnt from."""
    detector.resize(DEVICES)
    for batch in (scenario.history(), scenario.batch()):
        scores = [
            detector.score(batch.take(slice(first, first + STREAMED))).total for first in range(0, len(batch), STREAMED)
        ]
    flags: NDArray[np.bool_] = (np.concatenate(scores) >= detector.default_threshold).reshape(-1, DEVICES)
    return flags


def microseconds(detector: Detector, scenario: Scenario) -> float:
    """CPU per reading in batches of BATCH devices, whose windows are full; the least of several passes."""
    values = np.concatenate(scenario.watched)
    readings = min(160, len(values) // BATCH)
    values = values[: BATCH * readings].reshape(BATCH, readings, -1)
    detector.forget(np.arange(detector.devices))
    detector.resize(max(BATCH, detector.devices))
    rows = np.arange(BATCH)
    passes = []
    for first in range(0, readings, 40):
        began = time.process_time()
        for number in range(first, first + 40):
            times = np.full(BATCH, NOW + INTERVAL * number)
            detector.score(ReadingBatch.of(rows, times, values[:, number])).total  # noqa: B018  # what is timed
        passes.append(time.process_time() - began)
    return round(1e6 * min(passes[1:]) / (40 * BATCH), 2)


def of_scenario(
    scenario: Scenario, told: Callable[[str], None], only: Collection[str] = ()
) -> dict[str, dict[str, Any]]:
    """By detector, its figures on this scenario; of all, or `only` of these."""
    dataset = build(scenario.learnt, width=WINDOW, at_least=200, at_most=LearningSection().max_vectors)
    figures: dict[str, dict[str, Any]] = {}
    online: Mapping[str, Callable[[int], Detector]] = {"rangebreak": RangeBreak, "mahalanobis_online": Mahalanobis}
    for name, make in online.items():
        if only and name not in only:
            continue
        detector = make(scenario.channels)
        figures[name] = {**judge(scenario, watched(detector, scenario))._asdict()}
        figures[name] |= {"train_s": 0.0, "us_per_reading": microseconds(detector, scenario)}
        told(f"{scenario.name}: {name}")
    first, last = dataset.period
    lineage = Lineage(samples=int(dataset.trained.sum()), first=first, last=last, trained=NOW)
    for name, train in trainers().items():
        if only and name not in only:
            continue
        began = time.process_time()
        try:
            trained = train(dataset)
        except TrainingRefusedError as refusal:
            figures[name] = {"refused": str(refusal)}
            continue
        spent = time.process_time() - began
        channels = scenario.learnt.channels
        data = to_bytes(Artifact.of(trained.detector, scenario.name, channels, lineage, trained.golden))
        detector = load(data).detector
        figures[name] = {
            **judge(scenario, watched(detector, scenario))._asdict(),
            "train_s": round(spent, 2),
            "us_per_reading": microseconds(detector, scenario),
            "bytes": len(data),
            "parity": trained.parity._asdict(),
            "figures": dict(trained.figures),
        }
        told(f"{scenario.name}: {name}")
    return figures


def beside_sklearn(scenario: Scenario, rounds: int) -> dict[str, dict[str, float]]:
    """By algorithm, CPU per vector in batches of BATCH by the arrays and by scikit-learn's own model, in turn."""
    dataset = build(scenario.learnt, width=WINDOW, at_least=200, at_most=LearningSection().max_vectors)
    vectors = prepared(dataset).chosen
    some = np.ascontiguousarray(vectors[:: len(vectors) // BATCH][:BATCH])
    figures = {}
    for name, fit in {
        "isolation_forest": isolation_forest.fit,
        "lof": lof.fit,
        "one_class_svm": _exact,
        "one_class_svm_nystroem": _nystroem,
    }.items():
        fitted = fit(vectors, Settings(), dataset.seed)
        model = fitted.exported(float(np.quantile(fitted.normality(vectors), 0.01)))
        ours, theirs = in_turn([partial(model.decision_function, some), partial(fitted.normality, some)], rounds)
        figures[name] = {
            "us_per_vector": round(1e6 * ours / BATCH, 2),
            "sklearn_us_per_vector": round(1e6 * theirs / BATCH, 2),
            "times_cheaper": round(theirs / ours, 1),
        }
    return figures


def margin(figures: Mapping[str, Mapping[str, Any]]) -> float | None:
    """F1 of the ensemble less that of the best of what may be its members; None where not all were asked for."""
    members = (*MEMBERS, Mahalanobis.name)
    if not {"ensemble", *members} <= figures.keys():
        return None
    return round(float(figures["ensemble"]["f1"] - max(figures[member].get("f1", 0.0) for member in members)), 4)


def worst(proofs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What is worst about proofs of parity; nothing where there are none."""
    if not proofs:
        return {}
    return {
        "max_error": max(proof["max_error"] for proof in proofs),
        "label_flips": sum(proof["flips"] for proof in proofs),
        "compared_each": min(proof["inputs"] for proof in proofs),
    }


def run(
    names: list[str], seed: int, rounds: int, told: Callable[[str], None], only: Collection[str] = ()
) -> dict[str, Any]:
    """All figures."""
    scenarios = {name: of_scenario(generate(name, seed), told, only) for name in names}
    proofs = [one["parity"] for figures in scenarios.values() for one in figures.values() if "parity" in one]
    return {
        "scenarios": scenarios,
        "ensemble_less_best_member": {name: margin(figures) for name, figures in scenarios.items()},
        "scikit_learn": {} if only else beside_sklearn(generate(names[0], seed), rounds),
        "parity": worst(proofs),
        "conditions": {
            "seed": seed,
            "devices": DEVICES,
            "weeks_learnt": LEARNT_WEEKS,
            "weeks_watched": WATCHED_WEEKS,
            "interval_s": INTERVAL,
            "window": WINDOW,
            "batch": BATCH,
            "alerts_per_week": Settings().alerts_per_week,
            "rounds": rounds,
            "python": platform.python_version(),
            "numpy": np.__version__,
            "scikit_learn": sklearn.__version__,
            "machine": platform.machine(),
            "processors": os.cpu_count(),
        },
    }


def table(result: dict[str, Any]) -> str:
    """The figures for people."""
    lines = []
    for name, figures in result["scenarios"].items():
        lines.append(f"{name:24} precision  recall     F1  false  train s  µs/reading")
        for detector, one in figures.items():
            if "refused" in one:
                lines.append(f"  {detector:22} refused: {one['refused'][:90]}")
                continue
            lines.append(
                f"  {detector:22} {one['precision']:9.3f} {one['recall']:7.3f} {one['f1']:6.3f} "
                f"{one['false_alerts']:6} {one['train_s']:8.1f} {one['us_per_reading']:11.1f}"
            )
        if (less := result["ensemble_less_best_member"][name]) is not None:
            lines.append(f"  ensemble less its best member: {less:+.3f}\n")
    for name, one in result["scikit_learn"].items():
        lines.append(
            f"{name:24} {one['us_per_vector']:8.2f} µs a vector, scikit-learn {one['sklearn_us_per_vector']:8.2f}: "
            f"{one['times_cheaper']} times"
        )
    lines += [f"{key:24} {value}" for key, value in (*result["parity"].items(), *result["conditions"].items())]
    return "\n".join(lines)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--scenario", action="append", choices=list(SCENARIOS), help="only this one; may be repeated")
    parser.add_argument("--detector", action="append", metavar="NAME", help="only this one; may be repeated")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=9, help="measurements of each time, in turn")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="write F1 as a picture, SVG or PNG by its name")
    parser.add_argument("--json", action="store_true", help="print JSON only")
    arguments = parser.parse_args()
    told: Callable[[str], None] = (lambda what: None) if arguments.json else partial(print, flush=True)
    result = run(
        arguments.scenario or list(SCENARIOS), arguments.seed, arguments.rounds, told, arguments.detector or ()
    )
    if arguments.plot:
        draw(arguments.plot, result["scenarios"])
    print(json.dumps(result) if arguments.json else table(result))


if __name__ == "__main__":
    main()
