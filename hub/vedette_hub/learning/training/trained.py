"""What every algorithm's training takes and returns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vedette_hub.learning.cleaning import Note
from vedette_hub.learning.datasets import Dataset
from vedette_hub.learning.training.parity import Parity
from vedette_models.detectors.learnt import LearntDetector
from vedette_models.golden import Golden


class Settings(NamedTuple):
    """How a model is trained, and where its boundary lies; each algorithm takes what it needs."""

    trees: int = 100
    """Of an isolation forest."""
    samples_per_tree: int = 256
    alerts_per_week: float = 0.5
    """Alerts per device-week that the training time may cause."""
    contamination: float | None = None
    """Share of the training vectors beyond the boundary, in place of the budget; None: the budget decides."""


class Trained(NamedTuple):
    """A detector, with the proof that it is the one that was trained."""

    detector: LearntDetector
    golden: Golden
    parity: Parity
    scores: NDArray[np.float64]
    """(N,) of all vectors of the dataset, as on a gateway: 1 and more is anomalous."""
    figures: Mapping[str, Any]
    """What the report says about this algorithm alone, ready for JSON."""
    notes: tuple[Note, ...] = ()
    """Channels that the model does not judge, and why."""


Tell = Callable[[float, str], None]
"""Called with the share that is done, 0 to 1, and what is done now."""

Train = Callable[[Dataset, Settings, Tell], Trained]
"""Train on what is neither held out nor known to be anomalous; raises TrainingRefusedError."""
