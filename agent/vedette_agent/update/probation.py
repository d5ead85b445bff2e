"""Probation: what a new model has to show before it stays, beside the one that ran before it."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from vedette_agent.reading.trial import Evidence, Failure, OnTrial, rehearse
from vedette_models.rejection import ArtifactRejected, Rejection

if TYPE_CHECKING:
    from collections.abc import Callable

    from vedette_agent.clock import Clock
    from vedette_models.artifact import Model
    from vedette_models.readings import ReadingBatch


class Terms(NamedTuple):
    """What a probation asks for."""

    seconds: float
    """How long it lasts, in one go, from the start of the agent or of the model."""
    cost: float
    """Seconds of processor time that scoring a reading may take."""
    starts: int = 3
    """Starts of the agent that may end without being asked to before the probation is over."""


@dataclass
class Trial:
    """A model on probation, and the one to go back to."""

    detector: OnTrial
    new: Model
    old: Model | None
    until: float
    """By the clock that nobody sets."""


class Probation:
    """The models that are on probation now, by profile."""

    def __init__(
        self, terms: Terms, clock: Clock, failed: Callable[[], None], spent: Callable[[], float] = time.thread_time
    ) -> None:
        """`failed` is called when one has failed; `spent`: seconds of processor time so far."""
        self.terms, self._clock, self._failed, self._spent = terms, clock, failed, spent
        self.trials: dict[str, Trial] = {}

    def rehearse(self, new: Model, old: Model | None, readings: ReadingBatch | None) -> tuple[Evidence, Failure | None]:
        """Let both score stored readings as if they had just come; what that showed, and why the new one fails."""
        evidence = Evidence(self.terms.cost)
        if readings is None:
            return evidence, None
        before = None if old is None else old.artifact.build()
        return evidence, rehearse(new.artifact.build(), before, readings, evidence, self._spent)

    def begin(
        self, profile: str, new: Model, old: Model | None, evidence: Evidence | None = None, *, resumed: bool = False
    ) -> Model:
        """The model to run from now on: the new one with the one before at its side.

        `resumed`: after a start of the agent, when neither knows a device.
        """
        evidence = Evidence(self.terms.cost) if evidence is None else evidence
        before = None if old is None else old.detector
        detector = OnTrial(new.detector, before, evidence, self._spent, self._failed, resumed=resumed)
        self.trials[profile] = Trial(detector, new, old, self._clock.uptime() + self.terms.seconds)
        return replace(new, detector=detector)

    def wait(self) -> float | None:
        """Seconds until the next is over; None: none is on probation."""
        ends = [trial.until for trial in self.trials.values() if trial.detector.scored]
        idle = [self.terms.seconds] if len(ends) < len(self.trials) else []  # looked at again then
        left = [max(0.0, end - self._clock.uptime()) for end in ends] + idle
        return min(left) if left else None

    def is_over(self, profile: str) -> bool:
        """Whether a model has been on probation for long enough: it must have been asked something, too."""
        trial = self.trials[profile]
        return self._clock.uptime() >= trial.until and trial.detector.scored > 0


def drifted(model: Model) -> Failure | None:
    """Whether a model does not score its golden readings any more as it did when it was read; why it fails then."""
    try:
        model.artifact.golden.verify(model.artifact.build())
    except ArtifactRejected as error:
        return Failure(Rejection.GOLDEN_MISMATCH, f"at the end of its probation: {error.detail}")
    return None
