"""Pipeline: a batch of readings of one profile → verdicts, columnar and pure.

Sensor health comes before learning: what it withholds is neither scored nor learnt.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from vedette_agent.reading.health.faults import Faults
from vedette_agent.reading.thresholds import Thresholds
from vedette_models.detectors.base import Finding
from vedette_models.messages import ChannelReason

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from vedette_models.detectors.base import Detector, Scores
    from vedette_models.profile import Profile
    from vedette_models.readings import ReadingBatch


TINY = 1e-12
REASONS = 8
"""Channels named by an alert at most."""


class Scored(NamedTuple):
    """What one detector said of a batch."""

    detector: str
    strength: NDArray[np.float64]
    """(N,) score / threshold of the reading's device."""
    scores: Scores
    exponent: float = 1.0
    """How fast the detector's alerts get rarer with strength in normal time: of its prior."""


class Verdicts(NamedTuple):
    """What the pipeline says of a batch of N readings with C channels; 1 and more is anomalous, or a fault."""

    batch: ReadingBatch
    """As received, faulty values included."""
    anomaly: NDArray[np.float64]
    """(N,) the largest score of any detector, divided by its threshold."""
    faults: Faults
    """What is wrong with sensors and devices."""
    scored: tuple[Scored, ...]

    def log_rarity(self, row: int) -> float:
        """Logarithm of how many times more seldom a reading like `row` is than one at the threshold; 0 there.

        Strengths of different detectors do not compare: twice the threshold is much for one and little for another.
        """
        return max(s.exponent * math.log(max(float(s.strength[row]), TINY)) for s in self.scored)

    def reasons(self, row: int, profile: Profile) -> tuple[str, tuple[ChannelReason, ...]]:
        """(detector, reasons by channel, the largest share first) of the detector that said most of reading `row`."""
        said = max(self.scored, key=lambda s: float(s.strength[row]))
        by_channel = said.scores.by_channel[row]
        total = float(by_channel.sum())
        reasons = []
        for c in np.argsort(-by_channel, kind="stable")[:REASONS]:
            finding = said.scores.finding(row, int(c))
            if finding is None or total <= 0.0:
                continue
            channel = profile.channels[c]
            reasons.append(_reason(channel.name, channel.unit, finding, float(by_channel[c]) / total))
        return said.detector, tuple(reasons)


def _reason(channel: str, unit: str, finding: Finding, share: float) -> ChannelReason:
    return ChannelReason(channel, finding.value, finding.low, finding.high, round(share, 4), finding.aspect, unit)


class Pipeline:
    """The detectors of one profile, and what they have learnt of its devices."""

    def __init__(
        self,
        profile: Profile,
        detectors: Sequence[Detector],
        model: Detector | None = None,
        thresholds: Thresholds | None = None,
    ) -> None:
        """With the `detectors` that need no hub, the `model` that came from it, and what `thresholds` know already."""
        self.profile = profile
        self.own = tuple(detectors)
        self.model = model
        # a model stands in for our own detector of its name
        running = self.own if model is None else tuple(d for d in self.own if d.name != model.name)
        self.detectors = running if model is None else (*running, model)
        self.thresholds = Thresholds(profile.decisions) if thresholds is None else thresholds
        self.thresholds.use(running, model)

    def judge(self, batch: ReadingBatch, devices: int, faults: Faults | None = None) -> Verdicts:
        """Score every reading against what came before it, then learn it, but for what `faults` withhold.

        `devices`: rows the device table has.
        """
        self.make_room(devices)
        faults = Faults() if faults is None else faults
        credible = faults.credible(batch)
        watched = self.thresholds.watch(batch)
        scored = tuple(
            Scored(d.name, self.thresholds.strength(d, batch.device, scores.total, watched), scores, d.prior.exponent)
            for d, scores in ((d, d.score(credible)) for d in self.detectors)
        )
        anomaly = np.zeros(len(batch))
        for said in scored:
            np.maximum(anomaly, said.strength, out=anomaly)
        return Verdicts(batch, anomaly, faults, scored)

    def make_room(self, devices: int) -> None:
        """Grow by a sixteenth: copied seldom enough, and little memory waits for devices that never come."""
        for part in (*self.detectors, *self.thresholds.parts.values()):
            if part.devices < devices:
                part.resize(max(devices, part.devices + max(16, part.devices // 16)))

    def forget(self, row: int) -> None:
        """Return a device's row to knowing nothing."""
        for part in (*self.detectors, *self.thresholds.parts.values()):
            if row < part.devices:
                part.forget(np.array([row], np.intp))
