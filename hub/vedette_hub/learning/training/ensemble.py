"""Ensembles: forest, local outlier factor, one-class SVM and T², with one boundary for what they say together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vedette_hub.learning.datasets import Dataset
from vedette_hub.learning.errors import TrainingRefusedError
from vedette_hub.learning.training import isolation_forest, lof, one_class_svm
from vedette_hub.learning.training.golden import record
from vedette_hub.learning.training.labels import with_labels
from vedette_hub.learning.training.parity import both, prove
from vedette_hub.learning.training.power import Faults, made_up, shifted
from vedette_hub.learning.training.threshold import threshold
from vedette_hub.learning.training.together import Follower, follow
from vedette_hub.learning.training.trained import Settings, Tell, Trained
from vedette_hub.learning.training.vector_model import Fitted, Prepared, prepared, unseen, usual_of, usual_values
from vedette_models.detectors.ensemble import STEEPEST, Combination, Ensemble, Member, Surprise, Together, combined
from vedette_models.detectors.mahalanobis import Mahalanobis

MEMBERS: tuple[ModuleType, ...] = (isolation_forest, lof, one_class_svm)
SHARES = (1.0, 0.5, 0.25, 0.1, 0.05, 0.025, 0.01, 0.005, 0.0025, 0.001, 0.0005, 0.00025, 0.0001)
"""Shares of normal vectors that score as much, at which a member's score is noted."""
FEWEST = 5
"""Vectors that a share has to stand for: rarer ones are a continuation."""
CONTINUED = 10.0
"""The line beyond the rarest share goes on as it came from a share so many times as large."""
DOUBT = 2.0
"""Standard deviations by which more windows that were held out may lie beyond the boundary of `mahalanobis`."""
LEFT_OUT = "with it, the others would find fewer of the made-up faults"


class _Part(NamedTuple):
    """A member, and how it scores vectors it has not seen, and by scikit-learn."""

    member: Member
    fitted: Fitted
    limit: float
    unseen: NDArray[np.float64]
    """(R,) scores."""
    faulty: NDArray[np.float64]
    """(D,) scores of made-up faults."""


class _Candidate(NamedTuple):
    """What tells whether a member is worth having: its surprise in normal time (R,), and by made-up faults (D,)."""

    unseen: NDArray[np.float64]
    faulty: NDArray[np.float64]


def train(dataset: Dataset, settings: Settings, tell: Tell) -> Trained:
    """Train all members on what is neither held out nor known to be anomalous, and one boundary for those worth it.

    Raises:
        TrainingRefusedError: nothing stands out against anything, or the export scores differently.
    """
    given = prepared(dataset)
    faults = made_up(given.chosen, dataset.seed)
    parts: dict[str, _Part] = {}
    rows = np.empty(0, np.intp)
    for number, module in enumerate(MEMBERS):
        name = module.__name__.rpartition(".")[2]
        tell(0.6 * number / (len(MEMBERS) + 1), f"training {name}")
        rows, parts[name] = _member(module, dataset, given, settings, shifted(given.chosen, faults))
    tell(0.45, f"training {Mahalanobis.name}")
    follower, together, problem = _follower(dataset, settings, faults, rows)
    tell(0.6, "choosing members")
    candidates = {name: _candidate(part) for name, part in parts.items()}
    if follower is not None and together is not None:
        unseen = together.surprises(follower.scores[dataset.trained][rows])
        candidates[Mahalanobis.name] = _Candidate(unseen, together.surprises(follower.faulty))
    names, found = choose(candidates, lambda surprise: _limit(dataset, settings, rows, surprise))
    chosen = [part for name, part in parts.items() if name in names]
    if Mahalanobis.name not in names:
        follower = together = None
    combination = Combination([part.member for part in chosen], 0.0)

    def surprise_of_all(some: NDArray[np.bool_]) -> NDArray[np.float64]:
        windows = combination.surprises(given.vectors[some])
        if follower is None or together is None:
            return windows
        return combined([windows, together.surprises(follower.scores[some])])

    tell(0.65, "drawing the boundary")
    if settings.contamination is None:
        surprise = combined([candidates[name].unseen for name in names])
        limit = threshold(dataset, settings, rows, surprise)
        limit = with_labels(dataset, limit, surprise_of_all, float(np.std(surprise)))
    else:
        rows = np.arange(len(given.chosen))
        limit = threshold(dataset, settings, rows, surprise_of_all(dataset.trained))
    combination = Combination(combination.members, limit)
    usual = usual_of(dataset, combination, given.chosen, given.found)
    detector = Ensemble(combination, usual, len(dataset.source.channels), dataset.width, together=together)
    tell(0.7, "proving that it scores like scikit-learn")

    def wanted(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        return combination.limit - combined([_surprise(part, vectors) for part in chosen])

    parity = prove(wanted, combination.decision_function, given.vectors, dataset.seed, combination.limit)
    if follower is not None:
        parity = both(parity, follower.trained.parity)
    golden = record(dataset, detector, *usual_values(usual, dataset.width), full=dataset.width)
    tell(0.9, "evaluating")
    members = {part.member.detector.name: {**part.fitted.figures, "boundary": -part.limit} for part in chosen}
    if follower is not None:
        members[Mahalanobis.name] = dict(follower.trained.figures)
    figures = {
        "boundary": combination.limit,
        "calibrated_on": len(rows),
        "found_of_made_up_faults": found,
        "members": members,
        "members_left_out": {
            **{name: LEFT_OUT for name in candidates if name not in names},
            **({Mahalanobis.name: problem} if problem else {}),
        },
    }
    every = np.ones(len(given.vectors), np.bool_)
    scores = detector.scores_of(combination.limit - surprise_of_all(every))
    return Trained(detector, golden, parity, scores, figures)


def choose(
    candidates: Mapping[str, _Candidate], limit: Callable[[NDArray[np.float64]], float]
) -> tuple[list[str], dict[str, float]]:
    """Names of the members that find most together, and the share of made-up faults that each finds, and they all.

    The best of MEMBERS begins; who helps most is added, as long as all together find no less than without. `limit`
    draws a boundary for the surprises (R,) of normal time, so that every choice has the same budget of false alerts.
    """

    def power(names: Sequence[str]) -> float:
        line = limit(combined([candidates[name].unseen for name in names]))
        return float((combined([candidates[name].faulty for name in names]) > line).mean())

    alone = {name: power([name]) for name in candidates}
    first = max((name for name in candidates if name != Mahalanobis.name), key=alone.__getitem__)
    names, best = [first], alone[first]
    while others := [name for name in candidates if name not in names]:
        found = {name: power([*names, name]) for name in others}
        helps = max(others, key=found.__getitem__)
        if found[helps] < best:
            break
        names, best = [*names, helps], found[helps]
    return names, {name: round(share, 4) for name, share in {**alone, "all together": best}.items()}


def _follower(
    dataset: Dataset, settings: Settings, faults: Faults, rows: NDArray[np.intp]
) -> tuple[Follower | None, Together | None, str]:
    """`mahalanobis` and what its scores mean; or why there is none."""
    try:
        found = follow(dataset, settings, faults)
    except TrainingRefusedError as refusal:
        return None, None, str(refusal)
    trained = found.scores[dataset.trained][rows]
    line = _limit(dataset, settings, rows, trained)
    held_out = found.scores[dataset.held_out & ~dataset.anomalous]
    # It has seen all that it was calibrated on: what it has not seen has to look the same to it.
    expected = float((trained > line).mean()) * len(held_out)
    beyond = int((held_out > line).sum())
    if beyond > expected + DOUBT * np.sqrt(max(expected, 1.0)):
        return None, None, f"{beyond} windows that were held out lie beyond its boundary, {expected:.1f} were expected"
    return found, Together(found.detector, surprise_of(trained)), ""


def _candidate(part: _Part) -> _Candidate:
    surprise = part.member.surprise
    return _Candidate(surprise(part.unseen), surprise(part.faulty))


def _limit(dataset: Dataset, settings: Settings, rows: NDArray[np.intp], surprise: NDArray[np.float64]) -> float:
    return threshold(dataset, settings._replace(contamination=None), rows, surprise)


def _member(
    module: ModuleType, dataset: Dataset, given: Prepared, settings: Settings, faulty: NDArray[np.float64]
) -> tuple[NDArray[np.intp], _Part]:
    fitted: Fitted = module.fit(given.chosen, settings, dataset.seed)
    rows, scores = unseen(fitted.again or module.fit, dataset, given.chosen, settings)
    # Its own boundary is the scale of its scores, and of what a report says of it.
    limit = -threshold(dataset, settings._replace(contamination=None), rows, scores)
    model = fitted.exported(limit)
    usual = usual_of(dataset, model, given.chosen, given.found)
    detector = module.detector(model, usual, len(dataset.source.channels), dataset.width)
    found = detector.scores_of(-scores - limit)
    return rows, _Part(Member(detector, surprise_of(found)), fitted, limit, found, detector.scale(faulty))


def surprise_of(scores: NDArray[np.float64]) -> Surprise:
    """What scores mean, from those (R,) of normal vectors that the model had not seen."""
    shares = np.array([share for share in SHARES if share == 1.0 or share * len(scores) >= FEWEST])
    at = np.quantile(scores, 1.0 - shares)
    rarest = shares[-1]
    rise = at[-1] - float(np.quantile(scores, 1.0 - min(1.0, CONTINUED * rarest)))
    slope = min(STEEPEST, np.log10(CONTINUED) / max(rise, 1.0 / STEEPEST))
    at, first = np.unique(at, return_index=True)
    surprises = -np.log10(shares[first])
    if len(at) < 2:
        at, surprises = np.array([at[0], at[0] + 1.0]), np.array([0.0, slope])
    return Surprise(at, surprises, float(slope))


def _surprise(part: _Part, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N,) as scikit-learn's own scores have it."""
    detector, surprise = part.member
    return surprise(detector.scores_of(part.fitted.normality(vectors) - part.limit))
