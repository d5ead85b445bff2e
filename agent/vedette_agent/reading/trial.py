"""Trial: a model on probation scores the readings, the one before it scores them too, and both are compared. Pure.

The one before goes on unheard and loses nothing, so that it can take over between two batches. What is held against
the new one: an error, what is no score, scoring that costs more than it may, and exceeding its boundary more often than
the one before on the same readings.
"""

from __future__ import annotations

import contextlib
import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from vedette_models.detectors.base import StateError
from vedette_models.rejection import Rejection
from vedette_models.rounds import rounds

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from vedette_models.calibration import Prior
    from vedette_models.detectors.base import Finding, Scores
    from vedette_models.detectors.learnt import Learnt, LearntDetector
    from vedette_models.readings import ReadingBatch

BLOCK = 32
"""Consecutive readings of a device that count as one observation: those next to each other are much alike."""
SIGNIFICANCE = 0.01
"""Chance of leaving a model that exceeds no more often than the one before."""
FIRST_LOOK, LAST_LOOK = 8, 4_096
"""Blocks in which the two disagree, at which the test is made: 8, 16, 32 …"""
FEWEST_TIMED = 256
"""Readings from which on the cost of one says something."""
AT_ONCE = 128
"""Stored readings scored together."""


class Failure(NamedTuple):
    """Why a model is left."""

    reason: Rejection
    detail: str


def chance_of(heads: int, tosses: int) -> float:
    """Probability that a fair coin shows heads at least so often.

    The exact one-sided sign test (Dixon, Mood: The Statistical Sign Test, JASA 41, 1946). Where heads are the cases in
    which only the first of two judges says yes, and tosses those in which they disagree, it is McNemar's test in its
    exact form (McNemar, Psychometrika 12, 1947).

    >>> chance_of(8, 8)
    0.00390625
    """
    return sum(math.comb(tosses, k) for k in range(heads, tosses + 1)) / (1 << tosses)


class Evidence:
    """What is known of a new model beside the one before: blocks in which only one of them exceeds, and what it costs.

    The test is made each time the blocks in which they disagree have doubled, each time with half of the significance
    that is left, so that looking often does not condemn a good model (Bonferroni): 1 % in all.
    """

    def __init__(self, cost: float) -> None:
        """`cost`: seconds of processor time that scoring a reading may take."""
        self._cost = cost
        self._seen = np.zeros((3, 0), np.int64)
        """By device: readings in the block that has begun, and how many of them the new and the old one exceed at."""
        self._look, self._significance = FIRST_LOOK, SIGNIFICANCE / 2.0
        self.readings, self.seconds = 0, 0.0
        self.blocks = self.only_new = self.only_old = 0
        self.failure: Failure | None = None

    def begin_anew(self) -> None:
        """Other devices from now on; what has been counted counts."""
        self._seen = np.zeros((3, 0), np.int64)

    def forget(self, rows: NDArray[np.intp]) -> None:
        """These rows are other devices from now on."""
        self._seen[:, rows[rows < self._seen.shape[1]]] = 0

    def spent(self, readings: int, seconds: float) -> None:
        """Take note of what scoring has cost."""
        self.readings += readings
        self.seconds += seconds
        each = self.seconds / self.readings if self.readings >= FEWEST_TIMED else 0.0
        if each > self._cost and self.failure is None:
            self.failure = Failure(
                Rejection.TOO_SLOW,
                f"scoring takes {1e3 * each:.2f} ms a reading over {self.readings} readings, "
                f"the budget is {1e3 * self._cost:g} ms",
            )

    def compare(self, device: NDArray[np.intp], new: NDArray[np.bool_], old: NDArray[np.bool_]) -> None:
        """(N,) rows of devices in order of arrival, and whether each of the two models exceeds its boundary there."""
        if not len(device):
            return
        missing = int(device.max()) + 1 - self._seen.shape[1]
        if missing > 0:
            self._seen = np.concatenate([self._seen, np.zeros((3, missing), np.int64)], axis=1)
        for part in rounds(device):
            rows = device[part]
            self._seen[:, rows] += np.stack([np.ones(len(rows), np.int64), new[part], old[part]])
            full = rows[self._seen[0, rows] >= BLOCK]
            if len(full):
                newly, before = self._seen[1, full] > 0, self._seen[2, full] > 0
                self.blocks += len(full)
                self.only_new += int((newly & ~before).sum())
                self.only_old += int((before & ~newly).sum())
                self._seen[:, full] = 0
                self._test()

    def _test(self) -> None:
        disagree = self.only_new + self.only_old
        if self.failure is not None or not self._look <= disagree <= 2 * LAST_LOOK:
            return
        chance = chance_of(self.only_new, disagree)
        if chance < self._significance:
            self.failure = Failure(
                Rejection.TOO_MANY_ALERTS,
                f"of {self.blocks} stretches of {BLOCK} readings it alone exceeds its boundary in {self.only_new}, the "
                f"version before alone in {self.only_old}: chance {chance:.2g}",
            )
        while self._look <= disagree:
            self._look *= 2
        self._significance /= 2.0


class Silence:
    """Scores of N readings with C channels of which nothing is said."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.total, self.by_channel = np.zeros(shape[0]), np.zeros(shape)

    def finding(self, row: int, channel: int) -> Finding | None:
        """Nothing."""
        return None


class OnTrial:
    """A detector that is on probation, and the one before it, if there was one, as one detector.

    The new one is heard until it fails; from then on the old one is, and the new one is never asked again.
    """

    def __init__(
        self,
        new: LearntDetector,
        old: LearntDetector | None,
        evidence: Evidence,
        spent: Callable[[], float],
        failed: Callable[[], None] = lambda: None,
        *,
        resumed: bool = False,
    ) -> None:
        """`spent`: seconds of processor time so far; `failed` is called once, when the new one has failed.

        `resumed`: neither knows a device, since the agent has just started; what it knew is for both.
        """
        self.new, self.old, self.failure = new, old, evidence.failure
        self.name: str = new.name
        self.default_threshold: float = new.default_threshold
        self.prior: Prior = new.prior
        self.scored = 0
        """Readings that were scored on probation."""
        self._evidence: Evidence | None = evidence
        self._spent, self._failed, self._resumed = spent, failed, resumed

    def settle(self) -> None:
        """The probation is over: the new one stays, nobody is compared any more."""
        self.old, self._evidence = None, None

    @property
    def channels(self) -> int:
        """Channels of each reading."""
        return self.new.channels

    @property
    def learnt(self) -> Learnt:
        """What the new one was built from."""
        return self.new.learnt

    @property
    def devices(self) -> int:
        """Rows there is room for."""
        return self.new.devices if self.old is None else min(self.new.devices, self.old.devices)

    def resize(self, devices: int) -> None:
        """Make room for `devices` rows (never fewer than now); new rows know nothing."""
        for detector in self._both():
            if detector.devices < devices:
                detector.resize(devices)

    def forget(self, rows: NDArray[np.intp]) -> None:
        """Return these devices' rows to knowing nothing."""
        for detector in self._both():
            detector.forget(rows[rows < detector.devices])
        if self._evidence is not None:
            self._evidence.forget(rows)

    def state(self) -> dict[str, NDArray[np.generic]]:
        """Of the one that is heard; of the old one only where it goes by the same name."""
        if self.failure is not None and self.old is not None and self.old.name == self.name:
            return self.old.state()
        return self.new.state()

    def restore(self, state: Mapping[str, NDArray[np.generic]]) -> None:
        """Take over what `state` returned.

        Raises:
            StateError: it does not fit the new one.
        """
        if self._resumed and self.old is not None:
            with contextlib.suppress(StateError):  # then it begins with empty windows
                self.old.restore(state)
        self._resumed = False
        self.new.restore(state)

    def score(self, batch: ReadingBatch) -> Scores:
        """Scores of the new one, or of the old one from its failure on; both learn.

        Raises:
            ValueError: as the old one says; an error of the new one is a failure.
        """
        if self._evidence is None:
            return self.new.score(batch)
        before = None if self.old is None else self.old.score(batch)
        said = None if self.failure is not None else self._try(batch, before, self._evidence)
        if said is not None:
            return said
        return before if before is not None else Silence(batch.values.shape)

    def _try(self, batch: ReadingBatch, before: Scores | None, evidence: Evidence) -> Scores | None:
        """What the new one says; None: it says nothing that can be used."""
        began = self._spent()
        said: Scores | None
        try:
            said = self.new.score(batch)
            total = said.total
            if total.shape != (len(batch),) or not (np.isfinite(total) & (total >= 0.0)).all():
                raise ValueError("what it says is no score")  # noqa: TRY301  # ends as its other errors do
        except Exception as error:
            said = None
            self._fail(Failure(Rejection.CRASHED, f"while scoring: {type(error).__name__}: {error}"[:400]))
        else:
            self.scored += len(batch)
            evidence.spent(len(batch), self._spent() - began)
            if before is not None and self.old is not None:
                exceeds = total >= self.default_threshold
                evidence.compare(batch.device, exceeds, before.total >= self.old.default_threshold)
            if evidence.failure is not None:
                self._fail(evidence.failure)
        return said

    def _fail(self, failure: Failure) -> None:
        self.failure = failure
        self._failed()

    def _both(self) -> list[LearntDetector]:
        return [self.new] if self.old is None else [self.new, self.old]


def rehearse(
    new: LearntDetector,
    old: LearntDetector | None,
    batch: ReadingBatch,
    evidence: Evidence,
    spent: Callable[[], float],
) -> Failure | None:
    """Let two models that know no device score stored readings, device rows from 0 on; why the new one fails, if so.

    `evidence` is what the probation goes on with.
    """
    trial = OnTrial(new, old, evidence, spent)
    if len(batch):
        trial.resize(int(batch.device.max()) + 1)
    for first in range(0, len(batch), AT_ONCE):
        trial.score(batch.take(slice(first, first + AT_ONCE)))
        if trial.failure is not None:
            break
    evidence.begin_anew()
    return trial.failure
