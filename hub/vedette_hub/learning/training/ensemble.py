"""Ensembles: isolation forest, local outlier factor and one-class SVM, with one boundary for what they say together."""

from __future__ import annotations

from types import ModuleType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vedette_hub.learning.datasets import Dataset
from vedette_hub.learning.training import isolation_forest, lof, one_class_svm
from vedette_hub.learning.training.golden import record
from vedette_hub.learning.training.labels import with_labels
from vedette_hub.learning.training.parity import prove
from vedette_hub.learning.training.power import shifted
from vedette_hub.learning.training.threshold import threshold
from vedette_hub.learning.training.trained import Settings, Tell, Trained
from vedette_hub.learning.training.vector_model import Fitted, Prepared, prepared, unseen, usual_of, usual_values
from vedette_models.detectors.ensemble import STEEPEST, Combination, Ensemble, Member, Surprise, combined

MEMBERS: tuple[ModuleType, ...] = (isolation_forest, lof, one_class_svm)
SHARES = (1.0, 0.5, 0.25, 0.1, 0.05, 0.025, 0.01, 0.005, 0.0025, 0.001, 0.0005, 0.00025, 0.0001)
"""Shares of normal vectors that score as much, at which a member's score is noted."""
FEWEST = 5
"""Vectors that a share has to stand for: rarer ones are a continuation."""
CONTINUED = 10.0
"""The line beyond the rarest share goes on as it came from a share so many times as large."""

WEAK = 1.0 / 3.0
"""A member that finds less than so much of what the best one finds of made-up faults would only spend the budget."""


class _Part(NamedTuple):
    """A member, and how it scores vectors it has not seen, and by scikit-learn."""

    member: Member
    fitted: Fitted
    limit: float
    unseen: NDArray[np.float64]
    """(R,) scores."""
    power: float
    """Share of made-up faults that it finds at its own boundary."""


def train(dataset: Dataset, settings: Settings, tell: Tell) -> Trained:
    """Train all members on what is neither held out nor known to be anomalous, and one boundary for those worth it.

    Raises:
        TrainingRefusedError: nothing stands out against anything, or the export scores differently.
    """
    given = prepared(dataset)
    parts: list[_Part] = []
    rows = np.empty(0, np.intp)
    for number, module in enumerate(MEMBERS):
        tell(0.6 * number / len(MEMBERS), f"training {module.__name__.rpartition('.')[2]}")
        rows, part = _member(module, dataset, given, settings)
        parts.append(part)
    tell(0.6, "drawing the boundary")
    strongest = max(part.power for part in parts)
    found = {part.member.detector.name: round(part.power, 4) for part in parts}
    parts = [part for part in parts if part.power >= WEAK * strongest]
    members = [part.member for part in parts]
    if settings.contamination is None:
        surprise = combined([part.member.surprise(part.unseen) for part in parts])
    else:
        rows = np.arange(len(given.chosen))
        surprise = -Combination(members, 0.0).decision_function(given.chosen)
    limit = threshold(dataset, settings, rows, surprise)
    if settings.contamination is None:

        def surprise_at(some: NDArray[np.bool_]) -> NDArray[np.float64]:
            return -Combination(members, 0.0).decision_function(given.vectors[some])

        limit = with_labels(dataset, limit, surprise_at, float(np.std(surprise)))
    combination = Combination(members, limit)
    usual = usual_of(dataset, combination, given.chosen, given.found)
    detector = Ensemble(combination, usual, len(dataset.source.channels), dataset.width)
    tell(0.7, "proving that it scores like scikit-learn")

    def wanted(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        return combination.limit - combined([_surprise(part, vectors) for part in parts])

    parity = prove(wanted, combination.decision_function, given.vectors, dataset.seed, combination.limit)
    golden = record(dataset, detector, *usual_values(usual), full=dataset.width)
    tell(0.9, "evaluating")
    figures = {
        "boundary": combination.limit,
        "calibrated_on": len(rows),
        "found_of_made_up_faults": found,
        "members": {part.member.detector.name: {**part.fitted.figures, "boundary": -part.limit} for part in parts},
    }
    return Trained(detector, golden, parity, detector.scale(given.vectors), figures)


def _member(
    module: ModuleType, dataset: Dataset, given: Prepared, settings: Settings
) -> tuple[NDArray[np.intp], _Part]:
    fitted: Fitted = module.fit(given.chosen, settings, dataset.seed)
    rows, scores = unseen(fitted.again or module.fit, dataset, given.chosen, settings)
    # Its own boundary is the scale of its scores, and of what a report says of it.
    limit = -threshold(dataset, settings._replace(contamination=None), rows, scores)
    model = fitted.exported(limit)
    usual = usual_of(dataset, model, given.chosen, given.found)
    detector = module.detector(model, usual, len(dataset.source.channels), dataset.width)
    found = detector.scores_of(-scores - limit)
    power = float((detector.scale(shifted(given.chosen, dataset.seed)) >= detector.default_threshold).mean())
    return rows, _Part(Member(detector, surprise_of(found)), fitted, limit, found, power)


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
