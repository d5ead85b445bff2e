"""isolation_forest: a reading is suspicious when a few random splits separate its window from those seen in training.

The hub grows the trees with scikit-learn; here they are arrays.
"""

from __future__ import annotations

from vedette_models.detectors.forest import Forest, Nodes
from vedette_models.detectors.learnt import Learnt, check_names, whole
from vedette_models.detectors.usual import ARRAYS, Usual
from vedette_models.detectors.vector_detector import VectorDetector, check_window

MOST_TYPICAL = 1.0
"""No vector's decision function is further above 0."""


class IsolationForest(VectorDetector):
    """Scores windows of `width` readings of `channels` channels with a trained forest.

    Raises:
        ValueError: the forest was grown on vectors of another length.
    """

    name = "isolation_forest"

    def __init__(self, forest: Forest, usual: Usual, channels: int, width: int, devices: int = 0) -> None:
        super().__init__(forest, usual, channels, width, devices)
        self.forest = forest

    @classmethod
    def build(cls, channels: int, learnt: Learnt) -> IsolationForest:
        """The detector that `learnt` describes.

        Raises:
            ArtifactRejected: OTHER_FEATURES, OTHER_ARRAYS, SHAPES_DISAGREE, NOT_FINITE, WRONG_FIELD or
                BROKEN_STRUCTURE: it describes none.
        """
        each = check_window(learnt)
        parameters, arrays = learnt.parameters, learnt.arrays
        check_names("parameters", ("trees", "max_samples", "offset", "typical"), parameters)
        check_names("arrays", (*Nodes._fields, *ARRAYS), arrays)
        width = channels * each
        nodes = Nodes(*(arrays[name] for name in Nodes._fields))
        trees, max_samples = whole("trees", parameters), whole("max_samples", parameters)
        forest = Forest(nodes, trees, max_samples, parameters["offset"], width)
        return cls(forest, Usual.read(learnt, width, MOST_TYPICAL), channels, learnt.width)

    @property
    def learnt(self) -> Learnt:
        """What it was built from."""
        forest, usual = self.forest, self.usual
        return Learnt(
            self.width,
            self.features,
            {
                "trees": forest.trees,
                "max_samples": forest.max_samples,
                "offset": forest.offset,
                "typical": usual.typical,
            },
            {**forest.nodes._asdict(), **usual.arrays},
        )
