"""Vector detectors: what all detectors share that judge the features of each device's last readings as one vector.

A model tells typical vectors from others (`VectorModel`); the rest is the same for all: sliding windows, missing data,
a score that is 0 for what was typical in training, 1 at the boundary that training has set and grows with the distance
from it in between and beyond, shares by channel, and reasons.

A channel that a reading does not report, or whose window is not full yet, counts as its training median: missing data
never raises an anomaly. A reading of which no channel has a full window scores 0.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from vedette_models.aspects import AVERAGE, STEP, VALUE
from vedette_models.calibration import Prior
from vedette_models.detectors.base import Finding
from vedette_models.features import FEATURES, WindowFeatures, features_of
from vedette_models.rejection import ArtifactRejected, Rejection

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from vedette_models.detectors.learnt import Learnt
    from vedette_models.detectors.usual import Usual, VectorModel
    from vedette_models.readings import ReadingBatch

EXPLAINED = 0.5
"""Score from which channels get their share of it: below, nobody asks, and it would cost the most."""
MAX_WIDTH = 1024
_LEAST = 1e-12
"""What a channel counts at least, so that a score always has a reason."""
_MEAN, _LAST_MINUS_MEAN = FEATURES.index("mean"), FEATURES.index("last minus mean")
_WORDS = {
    "mean": f"{AVERAGE} over the last {{}} readings",
    "deviation": "spread of the last {} readings",
    "minimum": "smallest of the last {} readings",
    "maximum": "largest of the last {} readings",
    "last minus mean": VALUE,
    "mean step": f"{STEP} over the last {{}} readings",
    "value": VALUE,
}


class VectorDetector(ABC):
    """Scores windows of `width` readings of `channels` channels with a trained model.

    Raises:
        ValueError: the model was trained on vectors of another length.
    """

    name: str
    default_threshold: float = 1.0
    prior: Prior = Prior(per_week=0.5, exponent=4.0)
    # Training sets the boundary so that normal time exceeds it about half a time per device-week; the exponent is ours.

    def __init__(self, model: VectorModel, usual: Usual, channels: int, width: int, devices: int = 0) -> None:
        each = len(features_of(width))
        if model.width != channels * each:
            raise ValueError(f"a model of {model.width} features for {channels} channels of {each} each")
        self.model, self.usual = model, usual
        self._features = WindowFeatures(channels, width, devices)

    @property
    @abstractmethod
    def learnt(self) -> Learnt:
        """What it was built from."""

    @property
    def features(self) -> tuple[str, ...]:
        """What is computed of each channel's window."""
        return self._features.features

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

    def score(self, batch: ReadingBatch) -> VectorScores:
        """Enter the readings into their devices' windows and score these. NaN marks a channel that was not reported.

        Raises:
            ValueError: another number of channels, an infinite value, or a device row there is no room for. Nothing is
                entered then.
        """
        vectors, known = self._entered(batch)
        total = np.zeros(len(batch))
        rows = np.flatnonzero(known.any(axis=1))
        if len(rows):
            total[rows] = self.scale(vectors if len(rows) == len(batch) else vectors[rows])
        return VectorScores(self, vectors, known, total)

    def _entered(self, batch: ReadingBatch) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """(N, F) vectors after these readings, none missing, and (N, C) of which channels they know something."""
        vectors = self._features.update(batch)
        known = batch.values == batch.values
        each = len(self.features)
        known &= ~np.isnan(vectors[:, ::each])
        if not known.all():
            vectors = np.where(known.repeat(each, axis=1), vectors, self.usual.median)
        return vectors, known

    def scale(self, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        """(N, F) vectors, none missing -> (N,) scores; at least 1 exactly where scikit-learn says outlier."""
        return self.scores_of(self.model.decision_function(vectors))

    def scores_of(self, decision: NDArray[np.float64]) -> NDArray[np.float64]:
        """(N,) of the model's decision function -> (N,) scores."""
        outlier = decision < 0.0
        score = self._unbounded(decision)
        # Rounding must not carry a vector over the boundary.
        return np.where(outlier, np.maximum(score, 1.0), np.clip(score, 0.0, np.nextafter(1.0, 0.0)))

    def _unbounded(self, decision: NDArray[np.float64]) -> NDArray[np.float64]:
        """(N,) -> (N,) falling, 0 where `decision` is typical, 1 where it is 0."""
        score = decision / -self.usual.typical
        score += 1.0
        return score


class VectorScores:
    """Scores of a batch of N readings with C channels; shares and findings are worked out only when asked for."""

    def __init__(
        self,
        detector: VectorDetector,
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
        return self._window_shares()

    def _window_shares(self) -> NDArray[np.float64]:
        shares = np.zeros(self._known.shape)
        row, channel = np.nonzero(self._known & (self.total >= EXPLAINED)[:, None])
        if not len(row):
            return shares
        usual = self._detector.usual
        own = _columns(channel, len(self._detector.features))
        without = self._vectors[row]
        values = np.take_along_axis(without, own, axis=1)
        np.put_along_axis(without, own, usual.median[own], axis=1)
        drop = np.maximum(self.total[row] - self._scale(without, row), _LEAST)
        unusual = np.zeros(self._known.shape, np.bool_)
        unusual[row, channel] = _unusual(values, own, usual).any(axis=1)
        explained_by_some: NDArray[np.bool_] = np.asarray(unusual.any(axis=1))
        shares[row, channel] = np.where(unusual[row, channel] | ~explained_by_some[row], drop, 0.0)
        explained = np.unique(row)
        shares[explained] *= (self.total[explained] / shares[explained].sum(axis=1))[:, None]
        return shares

    def _scale(self, vectors: NDArray[np.float64], rows: NDArray[np.intp]) -> NDArray[np.float64]:
        """Scores of (R, F) vectors in the place of those of these rows (R,) of the batch."""
        return self._detector.scale(vectors)

    def finding(self, row: int, channel: int) -> Finding | None:
        """Why `by_channel[row, channel]` is what it is; None where it is 0."""
        if self.by_channel[row, channel] == 0.0:
            return None
        features = self._detector.features
        usual, own = self._detector.usual, _columns(np.array([channel]), len(features))[0]
        vector = self._vectors[row]
        without = np.repeat(vector[None, :], len(features), axis=0)
        without[np.arange(len(features)), own] = usual.median[own]
        drop = self.total[row] - self._detector.scale(without)
        unusual = _unusual(vector[own], own, usual)
        alone = bool(unusual.any())
        which = int(np.where(unusual, drop, -np.inf).argmax() if alone else drop.argmax())
        value, low, high = (float(part[own[which]]) for part in (vector, usual.low, usual.high))
        if features is FEATURES and which == _LAST_MINUS_MEAN:
            mean = float(vector[own[_MEAN]])
            value, low, high = mean + value, mean + low, mean + high
        aspect = _WORDS[features[which]].format(self._detector.width)
        return Finding(aspect if alone else f"{aspect}, together with the other channels", value, low, high)


def check_window(learnt: Learnt) -> int:
    """How many features a channel has, if this release computes what was learnt from.

    Raises:
        ArtifactRejected: OTHER_FEATURES.
    """
    computed = features_of(learnt.width)
    if learnt.features != computed or not 1 <= learnt.width <= MAX_WIDTH:
        raise ArtifactRejected(
            Rejection.OTHER_FEATURES,
            f"learnt from {learnt.features[:8]} of {learnt.width} readings, this release computes {computed}",
        )
    return len(computed)


def _columns(channel: NDArray[np.intp], each: int) -> NDArray[np.intp]:
    """(R,) channels -> (R, each) their columns of a vector."""
    return channel[:, None] * each + np.arange(each)


def _unusual(values: NDArray[np.float64], columns: NDArray[np.intp], usual: Usual) -> NDArray[np.bool_]:
    """Which values, standing in these columns of a vector, are outside what was usual in training."""
    return (values < usual.low[columns]) | (values > usual.high[columns])
