"""Training data from a request: vectors of features as they are, which somebody else has worked out."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from vedette_hub.learning.cleaning import Series
from vedette_hub.learning.datasets import Source
from vedette_hub.learning.errors import TrainingRefusedError
from vedette_hub.store import job_data

_PROFILE = "vectors-"


def profile_of(features: int) -> str:
    """The profile that versions for vectors of so many features belong to.

    >>> profile_of(3)
    'vectors-3'
    """
    return f"{_PROFILE}{features}"


def channels_of(features: int) -> tuple[str, ...]:
    """What the features are called."""
    return tuple(f"feature {number + 1}" for number in range(features))


def pack(vectors: NDArray[np.float64]) -> bytes:
    """The bytes of vectors (N, F), for `read`."""
    packed = io.BytesIO()
    np.save(packed, np.ascontiguousarray(vectors, np.float64), allow_pickle=False)
    return packed.getvalue()


def read(connection: Connection, number: int, seed: int | None = None) -> Source:
    """The vectors that came with the job of this number, in their order.

    Raises:
        TrainingRefusedError: there are none.
    """
    body = job_data.read(connection, number)
    if body is None:
        raise TrainingRefusedError(f"job {number} has no vectors to train with; send them again")
    vectors = np.load(io.BytesIO(body), allow_pickle=False)
    features = vectors.shape[1]
    # They have no times; numbered, they keep their order, which decides what is held out.
    series = Series("request", np.arange(len(vectors), dtype=np.float64), vectors)
    return Source(profile_of(features), channels_of(features), (series,), "api", seed=seed)
