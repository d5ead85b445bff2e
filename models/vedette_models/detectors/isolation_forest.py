"""isolation_forest: a reading is suspicious when a few random splits separate its window from those seen in training.

The hub grows the trees with scikit-learn; here they are arrays. The score is 0 for what was typical in training, 1 at
the boundary that training has set, and grows with the distance from it in between and beyond.

A channel that a reading does not report, or whose window is not full yet, counts as its training median: missing data
never raises an anomaly. A reading of which no channel has a full window scores 0.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from vedette_models.calibration import Prior
from vedette_models.detectors.base import Finding
from vedette_models.detectors.forest import Forest, Nodes
from vedette_models.detectors.learnt import Learnt, check_names, vector
from vedette_models.features import FEATURES, WindowFeatures
from vedette_models.rejection import ArtifactRejected, Rejection

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from vedette_models.readings import ReadingBatch

EXPLAINED = 0.5
"""Score from which channels get their share of it: below, nobody asks, and it would cost the most."""
MAX_WIDTH = 1024
CLOSEST = 1e-6
"""The boundary lies at least this far from what is typical, so that scores stay finite."""
_LEAST = 1e-12
"""What a channel counts at least, so that a score always has a reason."""
_RANGE = (1.0, 99.0)
"""Percentiles of a feature in training between which it is usual."""
_PER_CHANNEL = len(FEATURES)
_MEAN, _LAST_MINUS_MEAN = FEATURES.index("mean"), FEATURES.index("last minus mean")
_WORDS = {
    "mean": "mean of the last {} readings",
    "deviation": "spread of the last {} readings",
    "minimum": "smallest of the last {} readings",
    "maximum": "largest of the last {} readings",
    "last minus mean": "value",
    "mean step": "average change over the last {} readings",
}


class Usual(NamedTuple):
    """What training vectors look like; (F,) for each feature."""

    median: NDArray[np.float64]
    low: NDArray[np.float64]
    """1st percentile."""
    high: NDArray[np.float64]
    """99th percentile."""
    typical: float
    """Median of the forest's decision function, at least CLOSEST."""

    @classmethod
    def of(cls, vectors: NDArray[np.float64], forest: Forest) -> Usual:
        """What is usual among training vectors (N, F), all finite.

        Raises:
            ValueError: no vectors, or the boundary lies among the typical ones.
        """
        if not len(vectors):
            raise ValueError("no training vectors")
        typical = float(np.median(forest.decision_function(vectors)))
        if not typical >= CLOSEST:
            raise ValueError(
                f"half of the training vectors are outliers at offset {forest.offset}; raise the threshold"
            )
        low, median, high = np.percentile(vectors, [_RANGE[0], 50.0, _RANGE[1]], axis=0)
        return cls(median, low, high, typical)


class IsolationForest:
    """Scores windows of `width` readings of `channels` channels with a trained forest.

    Raises:
        ValueError: the forest was grown on vectors of another length.
    """

    name: str = "isolation_forest"
    default_threshold: float = 1.0
    prior: Prior = Prior(per_week=0.5, exponent=4.0)
    # Training sets the boundary so that normal time exceeds it about half a time per device-week; the exponent is ours.

    def __init__(self, forest: Forest, usual: Usual, channels: int, width: int, devices: int = 0) -> None:
        if forest.width != channels * _PER_CHANNEL:
            raise ValueError(f"a forest of {forest.width} features for {channels} channels of {_PER_CHANNEL} each")
        self.forest, self.usual = forest, usual
        self._features = WindowFeatures(channels, width, devices)

    @classmethod
    def build(cls, channels: int, learnt: Learnt) -> IsolationForest:
        """The detector that `learnt` describes.

        Raises:
            ArtifactRejected: OTHER_FEATURES, OTHER_ARRAYS, SHAPES_DISAGREE, NOT_FINITE, WRONG_FIELD or
                BROKEN_STRUCTURE: it describes none.
        """
        if learnt.features != FEATURES or not 2 <= learnt.width <= MAX_WIDTH:
            raise ArtifactRejected(
                Rejection.OTHER_FEATURES,
                f"learnt from {learnt.features[:8]} of {learnt.width} readings, this release computes {FEATURES}",
            )
        parameters, arrays = learnt.parameters, learnt.arrays
        check_names("parameters", ("trees", "max_samples", "offset", "typical"), parameters)
        check_names("arrays", (*Nodes._fields, "median", "low", "high"), arrays)
        width = channels * _PER_CHANNEL
        nodes = Nodes(*(arrays[name] for name in Nodes._fields))
        trees, max_samples = _whole("trees", parameters), _whole("max_samples", parameters)
        forest = Forest(nodes, trees, max_samples, parameters["offset"], width)
        median, low, high = (
            vector(name, arrays[name], "f", width).astype(np.float64) for name in ("median", "low", "high")
        )
        if not CLOSEST <= parameters["typical"] <= 1.0 or (low > median).any() or (median > high).any():
            raise ArtifactRejected(Rejection.WRONG_FIELD, "what is usual is not in order: low, median, high, above 0")
        return cls(forest, Usual(median, low, high, parameters["typical"]), channels, learnt.width)

    @property
    def learnt(self) -> Learnt:
        """What it was built from."""
        forest, usual = self.forest, self.usual
        return Learnt(
            self._features.width,
            FEATURES,
            {
                "trees": forest.trees,
                "max_samples": forest.max_samples,
                "offset": forest.offset,
                "typical": usual.typical,
            },
            {**forest.nodes._asdict(), "median": usual.median, "low": usual.low, "high": usual.high},
        )

    @property
    def channels(self) -> int:
        """Channels of each reading."""
        return self._features.channels

    @property
    def width(self) -> int:
        """Readings in a window."""
        return self._features.width

    @property
    def devices(self) -> int:
        """Rows there is room for."""
        return self._features.devices

    def resize(self, devices: int) -> None:
        """Make room for `devices` rows; new rows know nothing.

        Raises:
            ValueError: fewer rows than now.
        """
        self._features.resize(devices)

    def forget(self, rows: NDArray[np.intp]) -> None:
        """Return these devices' rows to knowing nothing.

        Raises:
            ValueError: a row there is no room for; nothing is forgotten then.
        """
        self._features.forget(rows)

    def state(self) -> dict[str, NDArray[np.generic]]:
        """The devices' windows, as copies; a later version of the same width goes on with them."""
        return self._features.state()

    def restore(self, state: Mapping[str, NDArray[np.generic]]) -> None:
        """Take over what `state` returned, row by row; rows beyond the saved ones stay as they are.

        Raises:
            StateError: arrays missing, of another shape or type, or a negative count. Nothing is taken over then.
        """
        self._features.restore(state)

    def score(self, batch: ReadingBatch) -> IsolationForestScores:
        """Enter the readings into their devices' windows and score these. NaN marks a channel that was not reported.

        Raises:
            ValueError: another number of channels, an infinite value, or a device row there is no room for. Nothing is
                entered then.
        """
        vectors = self._features.update(batch)
        known = batch.values == batch.values
        known &= ~np.isnan(vectors[:, ::_PER_CHANNEL])
        if not known.all():
            vectors = np.where(known.repeat(_PER_CHANNEL, axis=1), vectors, self.usual.median)
        total = np.zeros(len(batch))
        rows = np.flatnonzero(known.any(axis=1))
        if len(rows):
            total[rows] = self.scale(vectors if len(rows) == len(batch) else vectors[rows])
        return IsolationForestScores(self, vectors, known, total)

    def scale(self, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        """(N, F) vectors, none missing -> (N,) scores; at least 1 exactly where scikit-learn says outlier."""
        decision = self.forest.decision_function(vectors)
        outlier = decision < 0.0
        decision /= -self.usual.typical
        decision += 1.0
        # Rounding must not carry a vector over the boundary.
        return np.where(outlier, np.maximum(decision, 1.0), np.clip(decision, 0.0, np.nextafter(1.0, 0.0)))


class IsolationForestScores:
    """Scores of a batch of N readings with C channels; shares and findings are worked out only when asked for."""

    def __init__(
        self,
        detector: IsolationForest,
        vectors: NDArray[np.float64],
        known: NDArray[np.bool_],
        total: NDArray[np.float64],
    ) -> None:
        self.total = total
        self._detector, self._vectors, self._known = detector, vectors, known

    @cached_property
    def by_channel(self) -> NDArray[np.float64]:
        """(N, C) each channel's share of scores from EXPLAINED on; 0 for lower ones.

        A channel counts as far as the score falls when it takes its training median, if something about it is unusual;
        where nothing is unusual about any channel, their combination is, and all count.
        """
        shares = np.zeros(self._known.shape)
        row, channel = np.nonzero(self._known & (self.total >= EXPLAINED)[:, None])
        if not len(row):
            return shares
        usual = self._detector.usual
        own = _columns(channel)
        without = self._vectors[row]
        values = np.take_along_axis(without, own, axis=1)
        np.put_along_axis(without, own, usual.median[own], axis=1)
        drop = np.maximum(self.total[row] - self._detector.scale(without), _LEAST)
        unusual = np.zeros(self._known.shape, np.bool_)
        unusual[row, channel] = _unusual(values, own, usual).any(axis=1)
        explained_by_some: NDArray[np.bool_] = np.asarray(unusual.any(axis=1))
        shares[row, channel] = np.where(unusual[row, channel] | ~explained_by_some[row], drop, 0.0)
        explained = np.unique(row)
        shares[explained] *= (self.total[explained] / shares[explained].sum(axis=1))[:, None]
        return shares

    def finding(self, row: int, channel: int) -> Finding | None:
        """Why `by_channel[row, channel]` is what it is; None where it is 0."""
        if self.by_channel[row, channel] == 0.0:
            return None
        usual, own = self._detector.usual, _columns(np.array([channel]))[0]
        vector = self._vectors[row]
        without = np.repeat(vector[None, :], _PER_CHANNEL, axis=0)
        without[np.arange(_PER_CHANNEL), own] = usual.median[own]
        drop = self.total[row] - self._detector.scale(without)
        unusual = _unusual(vector[own], own, usual)
        alone = bool(unusual.any())
        which = int(np.where(unusual, drop, -np.inf).argmax() if alone else drop.argmax())
        value, low, high = (float(part[own[which]]) for part in (vector, usual.low, usual.high))
        if which == _LAST_MINUS_MEAN:
            mean = float(vector[own[_MEAN]])
            value, low, high = mean + value, mean + low, mean + high
        aspect = _WORDS[FEATURES[which]].format(self._detector.width)
        return Finding(aspect if alone else f"{aspect}, together with the other channels", value, low, high)


def _columns(channel: NDArray[np.intp]) -> NDArray[np.intp]:
    """(R,) channels -> (R, features of each) their columns of a vector."""
    return channel[:, None] * _PER_CHANNEL + np.arange(_PER_CHANNEL)


def _unusual(values: NDArray[np.float64], columns: NDArray[np.intp], usual: Usual) -> NDArray[np.bool_]:
    """Which values, standing in these columns of a vector, are outside what was usual in training."""
    return (values < usual.low[columns]) | (values > usual.high[columns])


def _whole(name: str, parameters: Mapping[str, Any]) -> int:
    if type(parameters[name]) is not int:
        raise ArtifactRejected(Rejection.WRONG_FIELD, f'"{name}" is no whole number')
    return int(parameters[name])
