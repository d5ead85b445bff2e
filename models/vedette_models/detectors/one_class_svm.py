"""one_class_svm: a reading is suspicious when its window lies outside the region that training filled.

The region's border is smooth and closed, and takes any shape. The hub finds it with scikit-learn: exactly, with support
vectors, or for large sets approximately, with a fixed number of centres; both score alike.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vedette_models.detectors import scaler, usual
from vedette_models.detectors.kernel import MAX_SUM, Kernel
from vedette_models.detectors.learnt import Learnt, between, check_names
from vedette_models.detectors.scaler import Scaler
from vedette_models.detectors.usual import Usual
from vedette_models.detectors.vector_detector import VectorDetector, check_window

if TYPE_CHECKING:
    from numpy.typing import NDArray

SMALLEST_LIMIT = 1e-12
"""Of the kernel's sum; a border where there is nothing is none."""
_FAINTEST = 1e-6
"""Of the typical sum: what is less is as far away as can be."""


class OneClassSVM(VectorDetector):
    """Scores windows of `width` readings of `channels` channels by the region that training filled.

    Raises:
        ValueError: the kernel's centres have another length.
    """

    name = "one_class_svm"

    def __init__(self, kernel: Kernel, usual: Usual, channels: int, width: int, devices: int = 0) -> None:
        super().__init__(kernel, usual, channels, width, devices)
        self.kernel = kernel

    @classmethod
    def build(cls, channels: int, learnt: Learnt) -> OneClassSVM:
        """The detector that `learnt` describes.

        Raises:
            ArtifactRejected: OTHER_FEATURES, OTHER_ARRAYS, SHAPES_DISAGREE, NOT_FINITE, WRONG_FIELD or
                BROKEN_STRUCTURE: it describes none.
        """
        each = check_window(learnt)
        parameters, arrays = learnt.parameters, learnt.arrays
        check_names("parameters", ("gamma", "limit", "typical"), parameters)
        check_names("arrays", ("centres", "coefficients", *scaler.ARRAYS, *usual.ARRAYS), arrays)
        width = channels * each
        kernel = Kernel(
            Scaler.read(learnt, width),
            arrays["centres"],
            arrays["coefficients"],
            parameters["gamma"],
            between("limit", parameters, SMALLEST_LIMIT, MAX_SUM),
        )
        return cls(kernel, Usual.read(learnt, width, MAX_SUM), channels, learnt.width)

    @property
    def learnt(self) -> Learnt:
        """What it was built from."""
        kernel = self.kernel
        return Learnt(
            self.width,
            self.features,
            {"gamma": kernel.gamma, "limit": kernel.limit, "typical": self.usual.typical},
            {
                "centres": kernel.centres,
                "coefficients": kernel.coefficients,
                **kernel.scaler._asdict(),
                **self.usual.arrays,
            },
        )

    def _unbounded(self, decision: NDArray[np.float64]) -> NDArray[np.float64]:
        # Far away the sum itself tells nothing apart; its logarithm falls with the square of the distance.
        limit = self.kernel.limit
        typical = self.usual.typical + limit
        faint = np.maximum(decision + limit, _FAINTEST * min(typical, limit))
        score: NDArray[np.float64] = np.log(faint / typical) / np.log(limit / typical)
        return score
