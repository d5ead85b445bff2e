"""Scaling: training vectors in units of their usual spread, as the exported model will see them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vedette_hub.learning.errors import TrainingRefusedError
from vedette_models.detectors.scaler import Scaler

MAX_CELLS = 100_000
"""Vectors x features that one model keeps at most, 400 KB: an ensemble with two such fits into an artefact of 1 MiB."""


def scaled(vectors: NDArray[np.float64]) -> tuple[Scaler, NDArray[np.float64]]:
    """The scaler of vectors (N, F), and these scaled by it: every number is one that an artefact can hold, a float32.

    Raises:
        TrainingRefusedError: no feature varies.
    """
    scaler = Scaler.of(vectors)
    if not scaler.weight.any():
        raise TrainingRefusedError("no feature of any channel varies: there is nothing to learn")
    return scaler, scaler(vectors).astype(np.float32).astype(np.float64)
