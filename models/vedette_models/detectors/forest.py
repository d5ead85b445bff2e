"""Forest: the trees of an isolation forest as arrays, and their scores, equal to scikit-learn's bit by bit.

Liu, Ting, Zhou: Isolation Forest, ICDM 2008. A reading that few splits separate from all others is anomalous.

Trees are kept level by level: first the root of each tree, then the children of those that split, left before right,
and so on. So nothing has to point anywhere, and what is no tree cannot be written down. For scoring, each level becomes
a table in which the children of node i are nodes 2i and 2i + 1, and all trees take a step at the same time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from vedette_models.detectors.learnt import vector
from vedette_models.rejection import ArtifactRejected, Rejection

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

MAX_DEPTH = 16
MAX_TREES = 4_096
MAX_CELLS = 1 << 19
"""Trees x 2^depth: bounds the memory of the tables to about 16 MiB."""
_CHUNK = 256
"""Vectors scored at a time, at most: few enough that what is gathered for them stays near the processor."""
_CHUNK_CELLS = 1 << 18
"""Vectors x trees scored at a time."""


class Tree(NamedTuple):
    """A fitted tree, with a row for each node, as scikit-learn's `tree_` has it."""

    left: NDArray[np.intp]
    """(N,) row of the left child, where a feature is not above the threshold; negative in a leaf."""
    right: NDArray[np.intp]
    """(N,) row of the right child."""
    feature: NDArray[np.intp]
    """(N,) column of the vector."""
    threshold: NDArray[np.float64]
    """(N,)"""
    samples: NDArray[np.intp]
    """(N,) training samples that reached the node."""


class Nodes(NamedTuple):
    """The nodes of all trees, level by level."""

    splits: NDArray[Any]
    """(nodes,) 1 where a node splits, 0 in a leaf."""
    features: NDArray[Any]
    """(splits,) column of the vector that is looked at."""
    thresholds: NDArray[np.float32]
    """(splits,) a vector goes right where its feature is greater."""
    samples: NDArray[Any]
    """(leaves,) training samples in each leaf."""

    @classmethod
    def of(cls, trees: Sequence[Tree]) -> Nodes:
        """The nodes of fitted trees.

        Features are compared as float32 with thresholds in float64, so the largest float32 not above a threshold
        decides the same.
        """
        first = np.cumsum([0, *(len(tree.left) for tree in trees)])
        nodes = Tree(*(np.concatenate(column) for column in zip(*trees, strict=True)))
        start = np.repeat(first[:-1], np.diff(first))
        left, right = nodes.left + start, nodes.right + start
        level = first[:-1]
        order: list[NDArray[np.intp]] = []
        while len(level):
            order.append(level)
            inner = level[nodes.left[level] >= 0]
            level = np.stack([left[inner], right[inner]], axis=1).reshape(-1)
        by_level = np.concatenate(order)
        splits = nodes.left[by_level] >= 0
        inner, leaves = by_level[splits], by_level[~splits]
        return cls(
            splits.astype(np.uint8),
            _smallest(nodes.feature[inner]),
            _not_above(nodes.threshold[inner]),
            _smallest(nodes.samples[leaves]),
        )


class Forest:
    """Scores vectors of `width` features; `max_samples` is the size of the sample each tree was grown on.

    `offset` is where scikit-learn draws the line: `decision_function` is below 0 for an outlier.

    Raises:
        ArtifactRejected: BROKEN_STRUCTURE, SHAPES_DISAGREE, OTHER_ARRAYS, NOT_FINITE or WRONG_FIELD: no forest.
    """

    def __init__(self, nodes: Nodes, trees: int, max_samples: int, offset: float, width: int) -> None:
        if not 1 <= trees <= MAX_TREES or not 2 <= max_samples <= 2**31 or not -1.0 <= offset <= 0.0:
            raise ArtifactRejected(
                Rejection.WRONG_FIELD, f"{trees} trees of {max_samples} samples with offset {offset}: no forest"
            )
        self.nodes, self.trees, self.max_samples, self.offset, self.width = nodes, trees, max_samples, offset, width
        splits = vector("splits", nodes.splits, "bu")
        features = vector("features", nodes.features, "u")
        thresholds = vector("thresholds", nodes.thresholds, "f", len(features))
        if thresholds.dtype != np.float32:
            raise ArtifactRejected(Rejection.OTHER_ARRAYS, f'"thresholds" holds {thresholds.dtype}, not float32')
        samples = vector("samples", nodes.samples, "u")
        levels = _levels(splits, trees)
        inner, leaves = int(np.count_nonzero(splits)), int(np.count_nonzero(splits == 0))
        if len(features) != inner or len(samples) != leaves:
            raise ArtifactRejected(
                Rejection.SHAPES_DISAGREE,
                f"{inner} splits with {len(features)} features, {leaves} leaves with {len(samples)} sizes",
            )
        if inner and int(features.max()) >= width:
            raise ArtifactRejected(
                Rejection.BROKEN_STRUCTURE, f"a split looks at feature {features.max()}, there are {width}"
            )
        self._tables: list[tuple[NDArray[np.intp], NDArray[np.float32]]] = []
        self._values = np.zeros(trees << len(levels) - 1)
        grown, rest = np.zeros(trees), _average_path_length(samples)
        inner = leaves = 0
        for depth, level in enumerate(levels):
            cell = (level.tree << depth) + level.place
            here, ends = cell[level.splits], cell[~level.splits]
            feature, threshold = np.zeros(trees << depth, np.intp), np.full(trees << depth, np.inf, np.float32)
            feature[here] = features[inner : inner + len(here)]
            threshold[here] = thresholds[inner : inner + len(here)]
            those = slice(leaves, leaves + len(ends))
            self._tables.append((feature, threshold))  # below a leaf everything goes left
            self._values[ends << len(levels) - 1 - depth] = (depth + 1) + rest[those] - 1.0
            grown += np.bincount(level.tree[~level.splits], samples[those], trees)
            inner, leaves = inner + len(here), leaves + len(ends)
        self._tables.pop()  # of the deepest level, where nothing splits
        if int(samples.min()) < 1 or float(grown.max()) > max_samples:
            raise ArtifactRejected(
                Rejection.BROKEN_STRUCTURE, f"a tree of {grown.max():.0f} samples, at most {max_samples}, none empty"
            )
        self._normal = trees * float(_average_path_length(np.array([max_samples]))[0])

    def decision_function(self, vectors: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """(N, width) vectors -> (N,) as scikit-learn's: below 0 is an outlier, and lower is more so.

        Raises:
            ValueError: vectors of another width.
        """
        if vectors.ndim != 2 or vectors.shape[1] != self.width:
            raise ValueError(f"vectors need {self.width} features, got {vectors.shape}")
        path = np.empty(len(vectors))
        chunk = min(_CHUNK, _CHUNK_CELLS // self.trees)
        for first in range(0, len(vectors), chunk):
            part = vectors[first : first + chunk]
            # A single column numpy would add pairwise, not tree by tree as scikit-learn does.
            path[first : first + chunk] = self._path_lengths(part if len(part) > 1 else part.repeat(2, axis=0))[
                : len(part)
            ]
        score: NDArray[np.float64] = -(2.0 ** -(path / self._normal))
        score -= self.offset
        return score

    def _path_lengths(self, vectors: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """(B, width) -> (B,) sums over all trees."""
        with np.errstate(over="ignore"):  # what is too large for float32 is beyond every threshold
            flat = vectors.T.astype(np.float32, order="C").reshape(-1)
        rows = len(vectors)
        column = np.arange(rows)
        node = np.repeat(np.arange(self.trees)[:, None], rows, axis=1)
        # Places are right by construction: "clip" only spares numpy the question.
        for features, thresholds in self._tables:
            place = features.take(node, mode="clip")
            place *= rows
            place += column
            right = flat.take(place, mode="clip") > thresholds.take(node, mode="clip")
            node += node
            node += right
        lengths: NDArray[np.float64] = np.add.reduce(self._values.take(node, mode="clip"), axis=0)
        return lengths


class _Level(NamedTuple):
    """The nodes of one level: tree, place within it (as if all nodes above split), and which of them split."""

    tree: NDArray[np.int32]
    place: NDArray[np.int32]
    splits: NDArray[np.bool_]


def _levels(splits: NDArray[Any], trees: int) -> list[_Level]:
    """Find the place of every node.

    Raises:
        ArtifactRejected: BROKEN_STRUCTURE: too few or too many nodes, or too deep.
    """
    levels: list[_Level] = []
    roots = min(trees, len(splits) + 1)  # one more than there can be is enough to refuse
    tree, place, start = np.arange(roots, dtype=np.int32), np.zeros(roots, np.int32), 0  # cells fit easily
    while len(tree):
        if len(levels) > MAX_DEPTH or trees << len(levels) > MAX_CELLS:
            raise ArtifactRejected(
                Rejection.BROKEN_STRUCTURE,
                f"{trees} trees deeper than {len(levels) - 1}; at most depth {MAX_DEPTH} and {MAX_CELLS} cells",
            )
        here = splits[start : start + len(tree)].astype(bool)
        if len(here) < len(tree):
            raise ArtifactRejected(Rejection.BROKEN_STRUCTURE, f"{len(splits)} nodes are too few for {trees} trees")
        start += len(here)
        levels.append(_Level(tree, place, here))
        tree, place = tree[here].repeat(2), place[here].repeat(2) * 2
        place[1::2] += 1
    if start != len(splits):
        raise ArtifactRejected(Rejection.BROKEN_STRUCTURE, f"{len(splits) - start} nodes belong to no tree")
    return levels


def _average_path_length(samples: NDArray[Any]) -> NDArray[np.float64]:
    """Splits that it takes on average to isolate one of so many: c(n) of the paper, with Euler's constant."""
    n = samples.astype(np.float64)
    length = np.zeros(len(n))
    length[n == 2] = 1.0
    many = n[n > 2]
    length[n > 2] = 2.0 * (np.log(many - 1.0) + np.euler_gamma) - 2.0 * (many - 1.0) / many
    return length


def _smallest(numbers: NDArray[np.intp]) -> NDArray[Any]:
    """The same in the smallest unsigned type that holds them."""
    return numbers.astype(np.min_scalar_type(int(numbers.max(initial=0))))


def _not_above(numbers: NDArray[np.float64]) -> NDArray[np.float32]:
    """The largest float32 that is not above each number."""
    nearest = numbers.astype(np.float32)
    return np.where(nearest > numbers, np.nextafter(nearest, np.float32(-np.inf)), nearest)
