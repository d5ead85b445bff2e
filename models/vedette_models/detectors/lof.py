"""lof: a reading is suspicious when its window lies in a sparser place than the windows of training that are nearest.

The local outlier factor tells apart what a single range or shape cannot: several states of a machine, each with a
spread of its own. The hub chooses the prototypes and works out their densities with scikit-learn.
"""

from __future__ import annotations

from vedette_models.detectors import scaler, usual
from vedette_models.detectors.learnt import Learnt, check_names, whole
from vedette_models.detectors.neighbours import Neighbours
from vedette_models.detectors.scaler import Scaler
from vedette_models.detectors.usual import Usual
from vedette_models.detectors.vector_detector import VectorDetector, check_window

MOST_TYPICAL = 1e6
"""A boundary further from what is typical is none."""


class LocalOutlierFactor(VectorDetector):
    """Scores windows of `width` readings of `channels` channels by their neighbours among prototypes.

    Raises:
        ValueError: the prototypes have another length.
    """

    name = "lof"

    def __init__(self, neighbours: Neighbours, usual: Usual, channels: int, width: int, devices: int = 0) -> None:
        super().__init__(neighbours, usual, channels, width, devices)
        self.neighbours = neighbours

    @classmethod
    def build(cls, channels: int, learnt: Learnt) -> LocalOutlierFactor:
        """The detector that `learnt` describes.

        Raises:
            ArtifactRejected: OTHER_FEATURES, OTHER_ARRAYS, SHAPES_DISAGREE, NOT_FINITE, WRONG_FIELD or
                BROKEN_STRUCTURE: it describes none.
        """
        each = check_window(learnt)
        parameters, arrays = learnt.parameters, learnt.arrays
        check_names("parameters", ("neighbours", "offset", "typical"), parameters)
        check_names("arrays", ("prototypes", "reach", "density", *scaler.ARRAYS, *usual.ARRAYS), arrays)
        width = channels * each
        neighbours = Neighbours(
            Scaler.read(learnt, width),
            arrays["prototypes"],
            arrays["reach"],
            arrays["density"],
            whole("neighbours", parameters),
            parameters["offset"],
        )
        return cls(neighbours, Usual.read(learnt, width, MOST_TYPICAL), channels, learnt.width)

    @property
    def learnt(self) -> Learnt:
        """What it was built from."""
        near = self.neighbours
        return Learnt(
            self.width,
            self.features,
            {"neighbours": near.k, "offset": near.offset, "typical": self.usual.typical},
            {
                "prototypes": near.prototypes,
                "reach": near.reach,
                "density": near.density,
                **near.scaler._asdict(),
                **self.usual.arrays,
            },
        )
