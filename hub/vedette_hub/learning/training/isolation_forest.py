"""Isolation forests: trained with scikit-learn, exported as arrays, proved equal."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import sklearn.ensemble
from numpy.typing import NDArray

from vedette_hub.learning.cleaning import Series
from vedette_hub.learning.datasets import Dataset, shortened
from vedette_hub.learning.errors import TrainingRefusedError
from vedette_hub.learning.training.boundary import boundary
from vedette_hub.learning.training.parity import Parity, prove
from vedette_models.columns import LARGEST
from vedette_models.detectors.forest import Forest, Nodes, Tree
from vedette_models.detectors.isolation_forest import IsolationForest, Usual
from vedette_models.features import FEATURES
from vedette_models.golden import Golden
from vedette_models.readings import ReadingBatch

AUTOMATIC_OFFSET = -0.5
"""Where scikit-learn draws the line by itself: the average path of a vector that is neither common nor rare."""
MOST_BEYOND = 0.01
"""At most this share of the training vectors lies beyond the boundary, however few alerts they would make."""
GOLDEN_SERIES = 4
GOLDEN_VALUES = 8_192
"""Readings x channels that an artefact carries as proof, at most."""
_UNUSUAL = (3.0, 10.0, 30.0)
"""Golden readings beyond the usual range by so many times its width, which normal data does not have."""

Tell = Callable[[float, str], None]


class Settings(NamedTuple):
    """How a forest is grown, and where its boundary lies."""

    trees: int
    samples_per_tree: int
    alerts_per_week: float
    """Alerts per device-week that the training time may cause."""
    contamination: float | None = None
    """Share of the training vectors beyond the boundary, in place of the budget; None: the budget decides."""


class Trained(NamedTuple):
    """A forest as a detector, with the proof that it is the one that was trained."""

    detector: IsolationForest
    golden: Golden
    parity: Parity
    scores: NDArray[np.float64]
    """(N,) of all vectors of the dataset, as on a gateway: 1 and more is anomalous."""


def train(dataset: Dataset, settings: Settings, tell: Tell) -> Trained:
    """Train on what is neither held out nor known to be anomalous.

    A channel that a vector does not have counts as its median, as on a gateway. `tell` is called with the share that is
    done, 0 to 1, and what is done now.

    Raises:
        TrainingRefusedError: nothing stands out against anything, or the exported forest scores differently.
    """
    tell(0.0, "training")
    channels = len(dataset.source.channels)
    median = _medians(dataset.vectors.features[dataset.trained])
    vectors = np.where(np.isnan(dataset.vectors.features), median, dataset.vectors.features)
    chosen = vectors[dataset.trained]
    fitted = sklearn.ensemble.IsolationForest(
        n_estimators=settings.trees,
        max_samples=min(settings.samples_per_tree, len(chosen)),
        random_state=dataset.seed % 2**32,
        n_jobs=1,
    ).fit(chosen)
    tell(0.4, "drawing the boundary")
    fitted.offset_ = _offset(dataset, settings, -fitted.score_samples(chosen))
    tell(0.6, "exporting")
    grown = zip(fitted.estimators_, fitted.estimators_features_, strict=True)
    nodes = Nodes.of([_tree(one.tree_, columns) for one, columns in grown])
    forest = Forest(nodes, settings.trees, fitted.max_samples_, float(fitted.offset_), channels * len(FEATURES))
    try:
        usual = _usual(chosen, dataset.vectors.features[dataset.trained], forest)
    except ValueError as error:
        raise TrainingRefusedError(f"profile {dataset.source.profile!r}: {error}") from error
    detector = IsolationForest(forest, usual, channels, dataset.width)
    tell(0.7, "proving that it scores like scikit-learn")
    parity = prove(fitted.decision_function, forest.decision_function, vectors, dataset.seed)
    golden = _golden(dataset, detector)
    tell(0.9, "evaluating")
    return Trained(detector, golden, parity, detector.scale(vectors))


def _medians(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """(F,) of what each column has; 0 for one that has nothing."""
    known = ~np.isnan(vectors)
    return np.array(
        [np.median(column[has]) if has.any() else 0.0 for column, has in zip(vectors.T, known.T, strict=True)]
    )


def _offset(dataset: Dataset, settings: Settings, scores: NDArray[np.float64]) -> float:
    """Where the alert budget puts the boundary, never inside scikit-learn's own; or where a share asked for does."""
    if settings.contamination is not None:
        return -float(np.quantile(scores, 1.0 - settings.contamination))
    vectors = dataset.vectors
    chosen = np.flatnonzero(dataset.trained)
    names = {name: number for number, name in enumerate(dataset.devices)}
    device = np.array([names[one.device] for one in dataset.series])
    first = np.cumsum([0, *(len(one) for one in dataset.series)])[:-1]
    times = np.concatenate([one.times for one in dataset.series])
    time = times[first[vectors.series[chosen]] + vectors.position[chosen]]
    watched = dataset.device_seconds * len(chosen) / dataset.windows
    limit = boundary(scores, device[vectors.series[chosen]], time, watched, settings.alerts_per_week)
    return min(AUTOMATIC_OFFSET, -limit, -float(np.quantile(scores, 1.0 - MOST_BEYOND)))


def _tree(tree: Any, columns: NDArray[np.intp]) -> Tree:
    return Tree(
        tree.children_left,
        tree.children_right,
        columns[np.maximum(tree.feature, 0)],
        tree.threshold,
        tree.n_node_samples,
    )


def _usual(vectors: NDArray[np.float64], found: NDArray[np.float64], forest: Forest) -> Usual:
    """What is usual; of a column that was never there, everything."""
    usual = Usual.of(vectors, forest)
    missing = np.isnan(found)
    low, high = usual.low.copy(), usual.high.copy()
    for column in np.flatnonzero(missing.any(axis=0)):
        has = found[~missing[:, column], column]
        low[column], high[column] = np.percentile(has, [1.0, 99.0]) if len(has) else (-LARGEST, LARGEST)
    return usual._replace(low=np.minimum(low, usual.median), high=np.maximum(high, usual.median))


def _golden(dataset: Dataset, detector: IsolationForest) -> Golden:
    """Readings of the longest series, each with unusual ones at its end, and what the detector says of them."""
    channels = len(dataset.source.channels)
    each = 2 * dataset.width
    room = max(1, GOLDEN_VALUES // (channels * (each + len(_UNUSUAL))))
    longest = sorted(dataset.series, key=lambda one: (-len(one), one.device, float(one.times[0])))
    parts = [
        _with_unusual(_window(one, dataset.width, each), detector.usual) for one in longest[: min(GOLDEN_SERIES, room)]
    ]
    batch = ReadingBatch.of(
        np.repeat(np.arange(len(parts)), [len(part) for part in parts]),
        np.concatenate([part.times for part in parts]),
        # Rounded, which takes nothing from the proof, and half of the bytes.
        np.concatenate([part.values for part in parts]).astype(np.float32),
    )
    try:
        return Golden.recorded(detector, batch)
    except ValueError as error:
        raise TrainingRefusedError(f"profile {dataset.source.profile!r}: {error}") from error


def _window(series: Series, width: int, at_most: int) -> Series:
    """The newest readings in which every channel has a full window and a little more.

    Not one more than that: a gateway replays them one after the other at every activation.
    """
    reported = np.cumsum(~np.isnan(series.values[::-1]), axis=0)
    readings = max(int(np.searchsorted(column, width + 2)) + 1 for column in reported.T)
    return shortened(series, min(readings, at_most))


def _with_unusual(series: Series, usual: Usual) -> Series:
    newest = FEATURES.index("mean")
    low, high = usual.low[newest :: len(FEATURES)], usual.high[newest :: len(FEATURES)]
    known = high < LARGEST
    # A channel that never reported has nothing to be unusual against, and goes on not reporting.
    beyond = [np.where(known, high + far * (high - low + 1e-6 * np.abs(high)), np.nan) for far in _UNUSUAL]
    times = series.times[-1] + np.arange(1.0, 1.0 + len(beyond))
    return Series(series.device, np.concatenate([series.times, times]), np.concatenate([series.values, beyond]))
