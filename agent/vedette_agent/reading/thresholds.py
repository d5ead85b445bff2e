"""Thresholds: from which score on each device's readings are anomalous, by the alert budget of its profile. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vedette_models.calibration import Calibration
from vedette_models.exposure import Exposure, Rate

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from vedette_models.detectors.base import Detector
    from vedette_models.exposure import Watched
    from vedette_models.profile import Decisions
    from vedette_models.readings import ReadingBatch

EXPOSURE = "exposure"
"""Name of the exposure among the parts."""


class Thresholds:
    """Thresholds of the devices of one profile, for each detector that watches it.

    The budget is split evenly among the detectors, as each has false alerts of its own. A threshold that the operator
    has set is fixed: nothing is calibrated then.
    """

    def __init__(self, decisions: Decisions) -> None:
        self._decisions = decisions
        self._fixed: dict[str, float] = {}
        self._calibrations: dict[str, Calibration] = {}
        self.exposure = Exposure()

    @property
    def parts(self) -> dict[str, Calibration | Exposure]:
        """What grows, forgets and is saved with the devices, by name."""
        return {EXPOSURE: self.exposure} | {name_of(name): c for name, c in self._calibrations.items()}

    @property
    def rate(self) -> Rate:
        """Anomaly alerts of all devices so far, and the device-weeks in which they were raised."""
        return self.exposure.rate

    def use(self, own: Sequence[Detector], model: Detector | None) -> None:
        """Be asked for these detectors from now on; what is known of those that go on is kept, but of a new model's
        scores nothing is known, whatever its name.
        """
        decisions = self._decisions
        detectors = [*own] if model is None else [*own, model]
        if decisions.threshold is not None:
            # the operator's choice is for our own detectors: a model brings its own scale
            self._fixed = {d.name: decisions.threshold if d in own else d.default_threshold for d in detectors}
            return
        share = decisions.alerts_per_week / max(len(detectors), 1)
        known = self._calibrations
        self._calibrations = {
            d.name: known[d.name] if d is not model and d.name in known else Calibration(d.prior, share)
            for d in detectors
        }
        for calibration in self._calibrations.values():
            calibration.budget = share

    def watch(self, batch: ReadingBatch) -> Watched:
        """Take note of readings whose strengths will be asked for."""
        return self.exposure.watch(batch.device, batch.time)

    def strength(
        self, detector: Detector, device: NDArray[np.intp], score: NDArray[np.float64], watched: Watched
    ) -> NDArray[np.float64]:
        """(N,) scores → (N,) shares of their devices' thresholds; 1 and more is anomalous."""
        fixed = self._fixed.get(detector.name)
        if fixed is not None:
            return score / fixed
        strength = score / detector.default_threshold
        return strength / self._calibrations[detector.name].multipliers(device, strength, watched)

    def state(self, rows: int) -> dict[str, dict[str, NDArray[np.generic]]]:
        """Everything known of the first `rows` devices, as copies, by part and array."""
        return {name: {key: array[:rows] for key, array in part.state().items()} for name, part in self.parts.items()}

    def restore(self, states: Mapping[str, Mapping[str, NDArray[np.generic]]], detector: str | None = None) -> None:
        """Take over what `state` returned, or only what it says of one detector; what is not in it starts from nothing.

        Raises:
            StateError: a part does not fit.
        """
        for name, part in self.parts.items():
            if name in states and (detector is None or name == name_of(detector)):
                part.restore(states[name])


def name_of(detector: str) -> str:
    """Name of a detector's calibration among the parts."""
    return f"calibration of {detector}"
