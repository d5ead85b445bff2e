"""Golden readings: what a model must score, and what, to be the model that was trained."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from vedette_models.readings import ReadingBatch
from vedette_models.rejection import ArtifactRejected, Rejection

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vedette_models.detectors.base import Detector

MAX_READINGS = 4096
MAX_DEVICES = 256
MAX_STATE = 16 << 20
"""Bytes that the detector may keep of the golden devices: a few bytes can order wide windows of many channels."""
_AT_ONCE = 1 << 16
"""Readings x channels replayed together."""
TOLERANCE = 1e-9
"""By how much scores may differ: room for another processor's last digits, not for another model."""


class Golden(NamedTuple):
    """G readings of a few devices, and the scores of a detector that had seen nothing before them."""

    device: NDArray[np.intp]
    """(G,) row of the device."""
    time: NDArray[np.float64]
    """(G,) seconds since 1970 UTC."""
    values: NDArray[np.float64]
    """(G, C); NaN where a channel was not reported."""
    scores: NDArray[np.float64]
    """(G,)"""

    @classmethod
    def recorded(cls, detector: Detector, batch: ReadingBatch) -> Golden:
        """What `detector` says of these readings; it should know nothing, and forgets them again.

        Raises:
            ValueError: more than 4,096 readings or 256 devices, or every score is 0, so that nothing would be proved.
        """
        devices = int(batch.device.max(initial=-1)) + 1
        if not len(batch) <= MAX_READINGS or not devices <= MAX_DEVICES:
            raise ValueError(
                f"{len(batch)} golden readings of {devices} devices, at most {MAX_READINGS} of {MAX_DEVICES}"
            )
        scores = _replay(detector, batch, devices)
        if not scores.any():
            raise ValueError("all golden scores are 0: give enough readings to fill the windows, and unusual ones")
        return cls(batch.device, batch.time, batch.values, scores)

    def verify(self, detector: Detector) -> None:
        """Replay the readings through `detector`, which should know nothing, and forgets them again.

        Raises:
            ArtifactRejected: GOLDEN_MISMATCH; or TOO_LARGE, when that would take too much memory.
        """
        batch = ReadingBatch.of(self.device, self.time, self.values)
        devices = int(self.device.max()) + 1
        if detector.devices < 1:
            detector.resize(1)
        each = sum(array[:1].nbytes for array in detector.state().values())
        if devices * each > MAX_STATE:
            raise ArtifactRejected(
                Rejection.TOO_LARGE,
                f"{devices} golden devices of {each} bytes each: more than {MAX_STATE} bytes to replay them",
            )
        error = np.abs(_replay(detector, batch, devices) - self.scores)
        worst = int(error.argmax())
        if not error[worst] <= TOLERANCE:
            raise ArtifactRejected(
                Rejection.GOLDEN_MISMATCH,
                f"golden reading {worst} should score {self.scores[worst]:.9g}, it is {error[worst]:.3g} off",
            )


def _replay(detector: Detector, batch: ReadingBatch, devices: int) -> NDArray[np.float64]:
    if detector.devices < devices:
        detector.resize(devices)
    # In parts, which changes no score: vectors of all readings could take a hundred times their bytes.
    rows = max(16, _AT_ONCE // batch.values.shape[1])
    parts = [batch.take(slice(first, first + rows)) for first in range(0, len(batch), rows)]
    scores = np.concatenate([detector.score(part).total for part in parts])
    detector.forget(np.arange(devices))
    return scores
