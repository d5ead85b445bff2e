"""Scoring: the isolation forest as the gateway runs it beside scikit-learn's, of the same training.

    python -m benchmarks.scoring --json

The hub's own trainer makes the model (100 trees of 256 samples, 5 channels, synthetic readings) and its artefact; the
same data and seed give scikit-learn's. CPU time, both in turn, medians. Labels and scores are compared on 4,096 vectors
of which half score within 1 % of the boundary.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import sklearn
from sklearn.ensemble import IsolationForest as Sklearn

from vedette_hub.config import LearningSection
from vedette_hub.learning.datasets import build
from vedette_hub.learning.sources.synthetic import generate
from vedette_hub.learning.trainer import train
from vedette_models import artifact
from vedette_models.detectors.forest import Forest
from vedette_models.detectors.isolation_forest import IsolationForest

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

BATCHES = (1, 16, 128, 1_024)
COMPARED = 4_096
NEAR = 0.01
"""Share of the boundary within which half of the compared vectors score."""
READINGS, CHANNELS = 20_000, 5
SETTINGS = LearningSection(trees=100, samples_per_tree=256)
NOW = 1.8e9
SLICE = 0.005
"""Seconds of CPU that a measurement takes at least."""


def beside_the_boundary(model: Sklearn, vectors: NDArray[np.float64], count: int, seed: int = 0) -> NDArray[np.float64]:
    """`count` vectors that score within NEAR of scikit-learn's boundary: on lines from inliers to outliers."""
    random = np.random.default_rng(seed)
    beyond = vectors + random.normal(size=vectors.shape) * 6.0 * vectors.std(axis=0)
    decision = model.decision_function(beyond)
    outliers, inliers = beyond[decision < 0.0], vectors[model.decision_function(vectors) > 0.0]
    outside = outliers[random.integers(0, len(outliers), 2 * count)]
    inside = inliers[random.integers(0, len(inliers), 2 * count)]
    found = np.empty((0, vectors.shape[1]))
    for _ in range(40):
        middle = 0.5 * (outside + inside)
        decision = model.decision_function(middle)
        found = np.concatenate([found, middle[np.abs(decision) <= NEAR * abs(model.offset_)]])
        if len(found) >= count:
            return found[:count]
        beyond_it = (decision < 0.0)[:, None]
        outside, inside = np.where(beyond_it, middle, outside), np.where(beyond_it, inside, middle)
    raise ValueError(f"found {len(found)} vectors beside the boundary, {count} are needed")


def compared(model: Sklearn, vectors: NDArray[np.float64], seed: int = 0) -> NDArray[np.float64]:
    """COMPARED vectors: half beside the boundary, half from all over."""
    random = np.random.default_rng(seed)
    wide = vectors[random.integers(0, len(vectors), COMPARED // 2)]
    wide = wide + random.normal(size=wide.shape) * 3.0 * vectors.std(axis=0) * (random.random((len(wide), 1)) < 0.5)
    return np.concatenate([beside_the_boundary(model, vectors, COMPARED // 2, seed), wide])


def in_turn(functions: list[Callable[[], object]], rounds: int) -> list[float]:
    """Median CPU seconds of a call of each function, measured in turn."""
    repeats, seconds = [], [[] for _ in functions]  # type: list[int], list[list[float]]
    for function in functions:
        function()
        began = time.process_time()
        function()
        repeats.append(max(1, round(SLICE / max(1e-6, time.process_time() - began))))
    for _ in range(rounds):
        for function, repeat, spent in zip(functions, repeats, seconds, strict=True):
            began = time.process_time()
            for _ in range(repeat):
                function()
            spent.append((time.process_time() - began) / repeat)
    return [statistics.median(spent) for spent in seconds]


def fitted(vectors: NDArray[np.float64], seed: int, forest: Forest) -> Sklearn:
    """Scikit-learn's own forest of the same training."""
    model = Sklearn(n_estimators=forest.trees, max_samples=forest.max_samples, random_state=seed % 2**32).fit(vectors)
    model.offset_ = forest.offset
    return model


def run(rounds: int) -> dict[str, Any]:
    """All figures."""
    source = generate("pump", READINGS, CHANNELS)
    data = train(source, SETTINGS, NOW).data
    detector = artifact.load(data).detector
    if not isinstance(detector, IsolationForest):
        raise TypeError(f"the trainer made a {detector.name}")
    dataset = build(source, width=SETTINGS.window, at_least=1, at_most=SETTINGS.max_vectors)
    vectors = dataset.vectors.features[dataset.trained]
    forest, model = detector.forest, fitted(vectors, dataset.seed, detector.forest)

    samples = compared(model, vectors)
    theirs, ours = model.decision_function(samples), forest.decision_function(samples)
    result: dict[str, Any] = {}
    for batch in BATCHES:
        some = samples[:: COMPARED // batch][:batch]
        mine, sklearns = in_turn(
            [partial(forest.decision_function, some), partial(model.decision_function, some)], rounds
        )
        result[str(batch)] = {
            "us_per_sample": round(1e6 * mine / batch, 2),
            "sklearn_us_per_sample": round(1e6 * sklearns / batch, 2),
            "times_cheaper": round(sklearns / mine, 1),
        }
    (load,) = in_turn([lambda: artifact.load(data, expected=artifact.sha256(data))], rounds)
    return {
        **result,
        "max_error": float(np.abs(theirs - ours).max()),
        "label_flips": int(np.count_nonzero((theirs < 0.0) != (ours < 0.0))),
        "compared": len(samples),
        "beside_the_boundary": int(np.count_nonzero(np.abs(theirs) <= NEAR * abs(forest.offset))),
        "bytes": len(data),
        "load_ms": round(1e3 * load, 2),
        "conditions": {
            "trees": forest.trees,
            "samples_per_tree": forest.max_samples,
            "features": forest.width,
            "window": detector.width,
            "rounds": rounds,
            "python": platform.python_version(),
            "numpy": np.__version__,
            "scikit_learn": sklearn.__version__,
            "machine": platform.machine(),
            "processors": os.cpu_count(),
        },
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15, help="measurements of each, in turn")
    parser.add_argument("--json", action="store_true", help="print JSON only")
    arguments = parser.parse_args()
    result = run(arguments.rounds)
    if arguments.json:
        print(json.dumps(result))
        return
    for batch in map(str, BATCHES):
        figures = result.pop(batch)
        print(
            f"batch {batch:>5}: {figures['us_per_sample']:8.2f} µs a sample, "
            f"scikit-learn {figures['sklearn_us_per_sample']:9.2f}: {figures['times_cheaper']} times"
        )
    for key, value in result.items():
        print(f"{key:20} {value}")


if __name__ == "__main__":
    main()
