"""one_class_svm: a reading is suspicious when its window lies outside the region that training filled.

The region's border is smooth and closed, and takes any shape. The hub finds it with scikit-learn: exactly, with support
vectors, or for large sets approximately, with a fixed number of centres; both score alike.
"""

from __future__ import annotations

from vedette_models.detectors import scaler, usual
from vedette_models.detectors.kernel import MAX_SUM, Kernel
from vedette_models.detectors.learnt import Learnt, check_names
from vedette_models.detectors.scaler import Scaler
from vedette_models.detectors.usual import Usual
from vedette_models.detectors.vector_detector import PER_CHANNEL, VectorDetector, check_window
from vedette_models.features import FEATURES


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
        check_window(learnt)
        parameters, arrays = learnt.parameters, learnt.arrays
        check_names("parameters", ("gamma", "limit", "typical"), parameters)
        check_names("arrays", ("centres", "coefficients", *scaler.ARRAYS, *usual.ARRAYS), arrays)
        width = channels * PER_CHANNEL
        kernel = Kernel(
            Scaler.read(learnt, width),
            arrays["centres"],
            arrays["coefficients"],
            parameters["gamma"],
            parameters["limit"],
        )
        return cls(kernel, Usual.read(learnt, width, MAX_SUM), channels, learnt.width)

    @property
    def learnt(self) -> Learnt:
        """What it was built from."""
        kernel = self.kernel
        return Learnt(
            self.width,
            FEATURES,
            {"gamma": kernel.gamma, "limit": kernel.limit, "typical": self.usual.typical},
            {
                "centres": kernel.centres,
                "coefficients": kernel.coefficients,
                **kernel.scaler._asdict(),
                **self.usual.arrays,
            },
        )
