"""What a detector that was trained at the hub is made of, apart from code: numbers and arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from vedette_models.detectors.base import Detector
from vedette_models.rejection import ArtifactRejected, Rejection

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray


class Learnt(NamedTuple):
    """Everything that training found out; a detector can be built from it and exports it again."""

    width: int
    """Readings in a window; 0 for a detector without windows."""
    features: tuple[str, ...]
    """What is computed of each channel's window, as in `features.FEATURES`; empty without windows."""
    parameters: Mapping[str, float]
    arrays: Mapping[str, NDArray[Any]]


class LearntDetector(Detector, Protocol):
    """A detector that needs training, and is all that training found out plus what it keeps of its devices."""

    @property
    def channels(self) -> int:
        """Channels of each reading."""
        ...

    @property
    def learnt(self) -> Learnt:
        """What it was built from."""
        ...


def check_names(kind: str, wanted: Sequence[str], found: Mapping[str, object]) -> None:
    """Say whether exactly the wanted parameters or arrays are there.

    Raises:
        ArtifactRejected: OTHER_ARRAYS.
    """
    if set(wanted) != set(found):
        missing, unknown = sorted(set(wanted) - set(found)), sorted(set(found) - set(wanted))
        raise ArtifactRejected(Rejection.OTHER_ARRAYS, f"{kind} missing: {missing[:8]}, unknown: {unknown[:8]}")


def vector(name: str, array: NDArray[Any], kinds: str, length: int | None = None) -> NDArray[Any]:
    """The array, if it has one dimension, numbers of these `kinds` (numpy's letters), this length, and all finite.

    Raises:
        ArtifactRejected: OTHER_ARRAYS, SHAPES_DISAGREE or NOT_FINITE.
    """
    if array.dtype.kind not in kinds:
        raise ArtifactRejected(Rejection.OTHER_ARRAYS, f'"{name}" holds {array.dtype}')
    if array.ndim != 1 or (length is not None and len(array) != length):
        wanted = "any length" if length is None else str(length)
        raise ArtifactRejected(Rejection.SHAPES_DISAGREE, f'"{name}" is {array.shape}, wanted is one row of {wanted}')
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ArtifactRejected(Rejection.NOT_FINITE, f'"{name}" holds NaN or infinity')
    return array


def matrix(name: str, array: NDArray[Any], columns: int, most_rows: int, largest: float) -> NDArray[Any]:
    """The array, if it is float32, has `columns` and 1 to `most_rows` rows, and nothing beyond ± `largest`.

    Raises:
        ArtifactRejected: OTHER_ARRAYS, SHAPES_DISAGREE, NOT_FINITE or BROKEN_STRUCTURE.
    """
    if array.dtype != np.float32:
        raise ArtifactRejected(Rejection.OTHER_ARRAYS, f'"{name}" holds {array.dtype}, not float32')
    if array.ndim != 2 or array.shape[1] != columns or not 1 <= len(array) <= most_rows:
        raise ArtifactRejected(
            Rejection.SHAPES_DISAGREE, f'"{name}" is {array.shape}, wanted are 1 to {most_rows} rows of {columns}'
        )
    beyond = float(np.abs(array).max())
    if not np.isfinite(beyond):
        raise ArtifactRejected(Rejection.NOT_FINITE, f'"{name}" holds NaN or infinity')
    if beyond > largest:
        raise ArtifactRejected(Rejection.BROKEN_STRUCTURE, f'"{name}" holds {beyond:g}, at most is {largest:g}')
    return array


def whole(name: str, parameters: Mapping[str, Any]) -> int:
    """The parameter, if it is a whole number.

    Raises:
        ArtifactRejected: WRONG_FIELD.
    """
    if type(parameters[name]) is not int:
        raise ArtifactRejected(Rejection.WRONG_FIELD, f'"{name}" is no whole number')
    return int(parameters[name])


def between(name: str, parameters: Mapping[str, float], low: float, high: float) -> float:
    """The parameter, if it lies between `low` and `high`.

    Raises:
        ArtifactRejected: WRONG_FIELD.
    """
    value = float(parameters[name])
    if not low <= value <= high:
        raise ArtifactRejected(Rejection.WRONG_FIELD, f'"{name}" is {value:g}, not between {low:g} and {high:g}')
    return value
