"""ensemble: a reading is suspicious when what several detectors say of its window, taken together, is surprising.

Scores of different detectors do not compare: what counts is how rare a score is in normal time. Each member's score
becomes its surprise, the negative decimal logarithm of the share of normal vectors that score as much, measured in
training on vectors that the member had not seen and continued in a straight line beyond. The surprises are combined
into one as lengths of a vector are, and training draws one boundary for that, so that the budget is kept as a whole.

Members judge windows; beside them `mahalanobis` may be one, which judges smoothed readings, and learns nothing here:
one boundary holds only for scores that go on meaning what they meant in training.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from vedette_models.detectors.base import StateError
from vedette_models.detectors.ensemble_scores import EnsembleScores
from vedette_models.detectors.isolation_forest import IsolationForest
from vedette_models.detectors.learnt import Learnt, between, check_names, vector
from vedette_models.detectors.lof import LocalOutlierFactor
from vedette_models.detectors.mahalanobis import Mahalanobis
from vedette_models.detectors.mahalanobis_scores import EXPLAINED
from vedette_models.detectors.mahalanobis_start import Start
from vedette_models.detectors.one_class_svm import OneClassSVM
from vedette_models.detectors.usual import ARRAYS, CLOSEST, Usual
from vedette_models.detectors.vector_detector import VectorDetector, VectorScores, check_window
from vedette_models.rejection import ArtifactRejected, Rejection

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from vedette_models.readings import ReadingBatch

MEMBERS: Mapping[str, Callable[[int, Learnt], VectorDetector]] = {
    IsolationForest.name: IsolationForest.build,
    LocalOutlierFactor.name: LocalOutlierFactor.build,
    OneClassSVM.name: OneClassSVM.build,
}
"""What an ensemble can consist of, by name, beside `mahalanobis`."""
MAX_SURPRISE = 16.0
"""What normal time shows at most, as the negative logarithm of a share; and the largest limit."""
STEEPEST = 1e3
"""Surprise per score, beyond what normal time has shown."""
_OWN = ("scores", "surprises")
"""Arrays of a member that are the ensemble's, not its own."""
_KNOTS = 64
_TOGETHER = Mahalanobis.name
_POWER = 4.0
"""Between adding the surprises up (1) and taking the largest (infinity)."""


class Surprise(NamedTuple):
    """How rare a member's scores are in normal time: `surprises` (K,) at `scores` (K,), both rising, then a line."""

    scores: NDArray[np.float64]
    surprises: NDArray[np.float64]
    slope: float
    """Surprise per score beyond the last."""

    def __call__(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """(N,) scores -> (N,) surprises."""
        surprise = np.interp(scores, self.scores, self.surprises)
        surprise += self.slope * np.maximum(scores - self.scores[-1], 0.0)
        return surprise

    @classmethod
    def read(cls, arrays: Mapping[str, NDArray[Any]], slope: float) -> Surprise:
        """The surprise in an artefact.

        Raises:
            ArtifactRejected: OTHER_ARRAYS, SHAPES_DISAGREE, NOT_FINITE, WRONG_FIELD or BROKEN_STRUCTURE.
        """
        if not set(_OWN) <= set(arrays):
            raise ArtifactRejected(Rejection.OTHER_ARRAYS, "a member of which nobody knows what its scores mean")
        scores = vector("scores", arrays["scores"], "f").astype(np.float64)
        surprises = vector("surprises", arrays["surprises"], "f", len(scores)).astype(np.float64)
        if not 2 <= len(scores) <= _KNOTS or not 0.0 <= slope <= STEEPEST:
            raise ArtifactRejected(Rejection.WRONG_FIELD, f"{len(scores)} scores and a slope of {slope:g}: no surprise")
        rising = (np.diff(scores) > 0.0).all() and (np.diff(surprises) >= 0.0).all()
        if not rising or float(surprises[0]) < 0.0 or float(surprises[-1]) > MAX_SURPRISE:
            raise ArtifactRejected(Rejection.BROKEN_STRUCTURE, "surprises that do not rise with the score")
        return cls(scores, surprises, slope)


class Member(NamedTuple):
    """One of the detectors, and what its scores mean."""

    detector: VectorDetector
    surprise: Surprise


class Together(NamedTuple):
    """`mahalanobis` as a member, and what its scores mean; below EXPLAINED, where it gives no reasons, none counts."""

    detector: Mahalanobis
    surprise: Surprise

    def surprises(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """(N,) scores -> (N,) surprises."""
        return np.where(scores >= EXPLAINED, self.surprise(scores), 0.0)


class Combination:
    """The surprises of members, at least one, combined; an outlier is what surprises more than `limit`."""

    def __init__(self, members: Sequence[Member], limit: float) -> None:
        self.members, self.limit = tuple(members), float(limit)

    @property
    def width(self) -> int:
        """Features of a vector."""
        return self.members[0].detector.model.width

    def decision_function(self, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        """(N, width) vectors -> (N,): below 0 is an outlier, and lower is more so."""
        return self.limit - self.surprises(vectors)

    def surprises(self, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        """(N, width) vectors -> (N,) of all members."""
        return combined([one.surprise(one.detector.scale(vectors)) for one in self.members])


def combined(surprises: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """(N,) surprises of each member -> (N,) of all: between the largest and their sum, mostly the largest."""
    largest = np.maximum.reduce(surprises)
    scale = np.maximum(largest, 1e-300)
    total = sum((one / scale) ** _POWER for one in surprises)
    result: NDArray[np.float64] = largest * total ** (1.0 / _POWER)
    return result


class Ensemble(VectorDetector):
    """Scores windows of `width` readings of `channels` channels with all members.

    Raises:
        ValueError: the members were trained on vectors of another length.
    """

    name = "ensemble"

    def __init__(
        self,
        combination: Combination,
        usual: Usual,
        channels: int,
        width: int,
        devices: int = 0,
        together: Together | None = None,
    ) -> None:
        super().__init__(combination, usual, channels, width, devices)
        self.combination, self.together = combination, together
        if together is not None:
            together.detector.resize(devices)

    def resize(self, devices: int) -> None:
        """Make room for `devices` rows; new rows know nothing.

        Raises:
            ValueError: fewer rows than now.
        """
        super().resize(devices)
        if self.together is not None:
            self.together.detector.resize(devices)

    def forget(self, rows: NDArray[np.intp]) -> None:
        """Return these devices' rows to knowing nothing.

        Raises:
            ValueError: a row there is no room for; nothing is forgotten then.
        """
        super().forget(rows)
        if self.together is not None:
            self.together.detector.forget(rows)

    def state(self) -> dict[str, NDArray[np.generic]]:
        """The devices' windows and baselines, as copies; a later version with the same members goes on with them."""
        found = super().state()
        if self.together is not None:
            found |= {f"{_TOGETHER}.{name}": array for name, array in self.together.detector.state().items()}
        return found

    def restore(self, state: Mapping[str, NDArray[np.generic]]) -> None:
        """Take over what `state` returned, row by row; rows beyond the saved ones stay as they are.

        Raises:
            StateError: arrays missing, of another shape or type, or values that no reading leads to. Nothing is taken
                over then.
        """
        if self.together is None:
            super().restore(state)
            return
        if len({len(array) for array in state.values() if array.ndim}) > 1:
            raise StateError("saved windows and baselines differ in their number of devices")
        before = super().state()
        super().restore({name: array for name, array in state.items() if not name.startswith(f"{_TOGETHER}.")})
        try:
            self.together.detector.restore(_inside(_TOGETHER, state))
        except StateError:
            super().restore(before)
            raise

    def score(self, batch: ReadingBatch) -> VectorScores:
        """Enter the readings into their devices' windows and score these. NaN marks a channel that was not reported.

        Raises:
            ValueError: columns that do not fit together or another number of channels, an infinite value, a time that
                is not finite, or a device row there is no room for. Nothing is entered then.
        """
        if self.together is None:
            return super().score(batch)
        vectors, known = self._entered(batch)
        windows = np.zeros(len(batch))
        rows = np.flatnonzero(known.any(axis=1))
        if len(rows):
            windows[rows] = self.combination.surprises(vectors[rows])
        seen = self.together.detector.score(batch)
        said = np.where(seen.by_channel.any(axis=1), self.together.surprises(seen.total), 0.0)
        return EnsembleScores(self, vectors, known, windows, said, seen)

    def scale_together(self, windows: NDArray[np.float64], said: NDArray[np.float64]) -> NDArray[np.float64]:
        """(N,) surprises of the members that judge windows, and of `mahalanobis` -> (N,) scores."""
        return self.scores_of(self.combination.limit - combined([windows, said]))

    @classmethod
    def build(cls, channels: int, learnt: Learnt) -> Ensemble:
        """The detector that `learnt` describes; everything of a member has its name and a dot before it.

        Raises:
            ArtifactRejected: OTHER_FEATURES, OTHER_ARRAYS, SHAPES_DISAGREE, NOT_FINITE, WRONG_FIELD or
                BROKEN_STRUCTURE: it describes none, or one of its members does not.
        """
        each = check_window(learnt)
        known = [name for name in (*MEMBERS, _TOGETHER) if f"{name}.slope" in learnt.parameters]
        names = [name for name in known if name in MEMBERS]
        if not names:
            raise ArtifactRejected(Rejection.OTHER_ARRAYS, "an ensemble without members")
        check_names("parameters", ("limit", "typical"), _outside(known, learnt.parameters))
        check_names("arrays", ARRAYS, _outside(known, learnt.arrays))
        members = []
        for name in names:
            surprise, parameters, arrays = _part(name, learnt)
            part = Learnt(learnt.width, learnt.features, parameters, arrays)
            members.append(Member(MEMBERS[name](channels, part), surprise))
        together = None
        if _TOGETHER in known:
            surprise, parameters, arrays = _part(_TOGETHER, learnt)
            start = Start.of(Learnt(0, (), parameters, arrays), channels)
            together = Together(Mahalanobis(channels, start=start, learns=False), surprise)
        limit = between("limit", learnt.parameters, CLOSEST, MAX_SURPRISE)
        usual = Usual.read(learnt, channels * each, MAX_SURPRISE)
        return cls(Combination(members, limit), usual, channels, learnt.width, together=together)

    @property
    def learnt(self) -> Learnt:
        """What it was built from."""
        parameters: dict[str, float] = {"limit": self.combination.limit, "typical": self.usual.typical}
        arrays: dict[str, NDArray[Any]] = dict(self.usual.arrays)
        parts: list[tuple[VectorDetector | Mahalanobis, Surprise]] = [*self.combination.members]
        if self.together is not None:
            parts.append(self.together)
        for detector, surprise in parts:
            part = detector.learnt
            own = {"scores": surprise.scores, "surprises": surprise.surprises}
            parameters |= {f"{detector.name}.{key}": value for key, value in part.parameters.items()}
            parameters[f"{detector.name}.slope"] = surprise.slope
            arrays |= {f"{detector.name}.{key}": value for key, value in {**part.arrays, **own}.items()}
        return Learnt(self.width, self.features, parameters, arrays)


def _part(name: str, learnt: Learnt) -> tuple[Surprise, dict[str, float], dict[str, NDArray[Any]]]:
    """What the scores of a member mean, its parameters and its arrays."""
    parameters, arrays = _inside(name, learnt.parameters), _inside(name, learnt.arrays)
    surprise = Surprise.read(arrays, float(parameters.pop("slope")))
    for own in _OWN:
        del arrays[own]
    return surprise, parameters, arrays


def _inside(name: str, things: Mapping[str, Any]) -> dict[str, Any]:
    """What belongs to a member, by its names there."""
    return {key.removeprefix(f"{name}."): thing for key, thing in things.items() if key.startswith(f"{name}.")}


def _outside(names: Sequence[str], things: Mapping[str, Any]) -> dict[str, Any]:
    """What belongs to no member."""
    return {key: thing for key, thing in things.items() if key.partition(".")[0] not in names}
