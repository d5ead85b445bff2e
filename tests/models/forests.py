"""Isolation forests grown with numpy alone: as the paper says, small, and the same for the same seed."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from vedette_models import artifact
from vedette_models.artifact import Artifact, Lineage
from vedette_models.detectors.forest import Forest, Nodes, Tree
from vedette_models.detectors.isolation_forest import IsolationForest
from vedette_models.detectors.usual import Usual
from vedette_models.features import FEATURES, WindowFeatures
from vedette_models.golden import Golden
from vedette_models.readings import ReadingBatch

DEVICES = 4


def grown_tree(vectors: NDArray[np.float64], random: np.random.Generator, deepest: int) -> Tree:
    """Split at random between the smallest and the largest value of a random feature, until alone or deep enough."""
    nodes: list[list[float]] = []

    def grow(rows: NDArray[np.intp], depth: int) -> int:
        node = len(nodes)
        nodes.append([-1, -1, 0, 0.0, len(rows)])
        feature = int(random.integers(vectors.shape[1]))
        column = vectors[rows, feature]
        if depth < deepest and column.min() < column.max():
            threshold = random.uniform(column.min(), column.max())
            left = column <= threshold
            children = grow(rows[left], depth + 1), grow(rows[~left], depth + 1)
            nodes[node][:4] = [*children, feature, threshold]
        return node

    grow(np.arange(len(vectors)), 0)
    left, right, feature, threshold, samples = np.array(nodes).T
    return Tree(*(part.astype(np.intp) for part in (left, right, feature)), threshold, samples.astype(np.intp))


def grown_trees(vectors: NDArray[np.float64], trees: int, max_samples: int, seed: int = 0) -> list[Tree]:
    """Trees on samples of the vectors, each as deep as isolating one of them takes on average."""
    random = np.random.default_rng(seed)
    deepest = int(np.ceil(np.log2(max_samples)))
    return [
        grown_tree(vectors[random.choice(len(vectors), max_samples, replace=False)], random, deepest)
        for _ in range(trees)
    ]


def normal_readings(channels: int, readings: int, seed: int = 0) -> ReadingBatch:
    """Readings of four devices in turn: noise around 0, 1013.25, 2026.5 …"""
    random = np.random.default_rng(seed)
    values = random.normal(size=(readings, channels)) + 1013.25 * np.arange(channels)
    return ReadingBatch.of(np.arange(readings) % DEVICES, 1.7e9 + 15.0 * np.arange(readings), values)


def complete_vectors(batch: ReadingBatch, width: int) -> NDArray[np.float64]:
    """The vectors of all full windows."""
    vectors = WindowFeatures(batch.values.shape[1], width, DEVICES).update(batch)
    return vectors[~np.isnan(vectors).any(axis=1)]


@lru_cache
def trained(channels: int, width: int, trees: int = 40, max_samples: int = 128) -> tuple[Forest, Usual]:
    """A forest with its boundary at the 2nd percentile of its own training vectors."""
    vectors = complete_vectors(normal_readings(channels, 1_600), width)
    nodes = Nodes.of(grown_trees(vectors, trees, max_samples))
    features = channels * len(FEATURES)
    scores = Forest(nodes, trees, max_samples, 0.0, features).decision_function(vectors)
    forest = Forest(nodes, trees, max_samples, float(np.quantile(scores, 0.02)), features)
    return forest, Usual.of(vectors, forest)


def isolation_forest(channels: int, devices: int, width: int = 12) -> IsolationForest:
    """A trained detector that knows no device."""
    return IsolationForest(*trained(channels, width), channels, width, devices)


def small_artifact(channels: tuple[str, ...] = ("flow", "pressure")) -> Artifact:
    """A model of a few hundred numbers."""
    width = 4
    detector = IsolationForest(*trained(len(channels), width, trees=5, max_samples=16), len(channels), width)
    readings = normal_readings(len(channels), 32, seed=1)
    readings.values[-DEVICES:] += 5.0 * np.arange(DEVICES)[:, None]
    lineage = Lineage(samples=1_588, first=1.7e9, last=1.7e9 + 24_000, trained=1.8e9, hub="0.1.0", parents=("0" * 64,))
    return Artifact.of(detector, "pump", channels, lineage, Golden.recorded(detector, readings))


@lru_cache
def small_bytes() -> bytes:
    """The same as bytes."""
    return artifact.to_bytes(small_artifact())
