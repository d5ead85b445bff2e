"""What the hub teaches `mahalanobis`: where a device that is new begins."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from vedette_models.detectors.learnt import Learnt, check_names, vector
from vedette_models.rejection import ArtifactRejected, Rejection

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_CHANNELS = 64
"""More would cost each device more memory than everything else does."""
_LARGEST = 1e150
_LEAST_EIGENVALUE = 1e-6


class Start(NamedTuple):
    """A baseline that training has found, for C channels."""

    location: NDArray[np.float64]
    """(C,) mean of smoothed readings."""
    scale: NDArray[np.float64]
    """(C,) their standard deviation; 0 for a channel that is left out on every device, for good."""
    scatter: NDArray[np.float64]
    """(C,) standard deviation of the readings themselves."""
    wander: NDArray[np.float64]
    """(C,) standard deviation of the means of stretches of a device's past: how far it drifts."""
    correlation: NDArray[np.float64]
    """(C, C) shrunk correlations of smoothed readings; channels that are left out stand alone."""
    readings: int
    """Readings that it is made of."""
    reach: float
    """The largest smoothed T² per channel that normal time has shown, or may show for the alert budget."""

    @classmethod
    def of(cls, learnt: Learnt, channels: int) -> Start:
        """What `learnt` says.

        Raises:
            ArtifactRejected: OTHER_FEATURES, OTHER_ARRAYS, SHAPES_DISAGREE, NOT_FINITE, WRONG_FIELD or
                BROKEN_STRUCTURE: it says nothing that makes sense.
        """
        if learnt.width or learnt.features or channels > MAX_CHANNELS:
            raise ArtifactRejected(
                Rejection.OTHER_FEATURES, f"it has no windows, and at most {MAX_CHANNELS} channels, not {channels}"
            )
        check_names("parameters", ("readings", "reach"), learnt.parameters)
        check_names("arrays", ("location", "scale", "scatter", "wander", "correlation"), learnt.arrays)
        readings, reach = learnt.parameters["readings"], learnt.parameters["reach"]
        if type(readings) is not int or not 1 <= readings <= 2**53 or not 1.0 <= reach <= 1e9:
            raise ArtifactRejected(Rejection.WRONG_FIELD, f"{readings} readings and reach {reach}: no baseline")
        location, scale, scatter, wander = (
            vector(name, learnt.arrays[name], "f", channels).astype(np.float64)
            for name in ("location", "scale", "scatter", "wander")
        )
        square = learnt.arrays["correlation"]
        if square.shape != (channels, channels):
            raise ArtifactRejected(Rejection.SHAPES_DISAGREE, f'"correlation" is {square.shape}')
        correlation = vector("correlation", square.reshape(-1), "f").astype(np.float64).reshape(channels, channels)
        if max(float(np.abs(part).max()) for part in (location, scale, scatter, wander)) > _LARGEST:
            raise ArtifactRejected(Rejection.WRONG_FIELD, "numbers too large to be squared")
        used = scale > 0.0
        alone = correlation[~used] == np.eye(channels)[~used]
        if (
            (scale < 0.0).any()
            or (scatter < 0.0).any()
            or (wander < 0.0).any()
            or (scale[used] < 1 / _LARGEST).any()
            or not alone.all()
            or not np.array_equal(correlation, correlation.T)
            or not (np.abs(correlation) <= 2.0).all()
            or not np.linalg.eigvalsh(correlation)[0] >= _LEAST_EIGENVALUE
        ):
            raise ArtifactRejected(Rejection.BROKEN_STRUCTURE, "no correlations and scales of a baseline")
        return cls(location, scale, scatter, wander, correlation, readings, float(reach))

    @property
    def learnt(self) -> Learnt:
        """As an artefact holds it."""
        return Learnt(
            0,
            (),
            {"readings": self.readings, "reach": self.reach},
            {
                "location": self.location,
                "scale": self.scale,
                "scatter": self.scatter,
                "wander": self.wander,
                "correlation": self.correlation,
            },
        )

    @property
    def precision(self) -> NDArray[np.float64]:
        """(C, C) inverse of the correlations."""
        return np.linalg.inv(self.correlation).astype(np.float64, copy=False)
