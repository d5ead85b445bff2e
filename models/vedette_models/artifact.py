"""Artefact: a trained detector as bytes that hold nothing but data, named by their SHA-256.

The bytes are those of a joblib file (zlib) with a dict of strings, numbers, lists and numeric arrays:

    format      1
    detector    name, as in the registry below
    profile     name; channels: their names in column order
    window      {"width": readings, "features": names}: how vectors are made
    lineage     what it was trained on
    golden      {"device", "time", "values", "scores"}: readings and what the detector must score
    parameters  {name: number}
    arrays      {name: numeric array}

Fields that this release does not know are ignored, except in parameters and arrays: those would change scores.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import numpy as np

from vedette_models import strict_reader, strict_writer
from vedette_models.detectors.ensemble import Ensemble
from vedette_models.detectors.forecast import Forecast
from vedette_models.detectors.isolation_forest import IsolationForest
from vedette_models.detectors.learnt import Learnt
from vedette_models.detectors.lof import LocalOutlierFactor
from vedette_models.detectors.mahalanobis import Mahalanobis
from vedette_models.detectors.one_class_svm import OneClassSVM
from vedette_models.golden import MAX_DEVICES, MAX_READINGS, Golden
from vedette_models.rejection import ArtifactRejected, Rejection

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from vedette_models.detectors.learnt import LearntDetector

FORMAT = 1
MAX_BYTES = strict_reader.MAX_BYTES
MAX_CHANNELS = 512

DETECTORS: Mapping[str, Callable[[int, Learnt], LearntDetector]] = {
    Ensemble.name: Ensemble.build,
    Forecast.name: Forecast.build,
    IsolationForest.name: IsolationForest.build,
    LocalOutlierFactor.name: LocalOutlierFactor.build,
    OneClassSVM.name: OneClassSVM.build,
    Mahalanobis.name: Mahalanobis.build,
}
"""By name, what builds a detector of so many channels from what was learnt."""

_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
_Time = Annotated[float, msgspec.Meta(ge=0, le=1e12)]


class Lineage(msgspec.Struct, frozen=True):
    """What a model was trained on, and with what."""

    samples: Annotated[int, msgspec.Meta(ge=1)]
    """Training vectors."""
    first: _Time
    """Time of the oldest reading among them, seconds since 1970 UTC."""
    last: _Time
    """Time of the newest."""
    trained: _Time
    """When it was trained."""
    hub: str = ""
    """Release of the hub."""
    parents: tuple[str, ...] = ()
    """SHA-256 of the versions before it that it builds on or replaces."""
    origin: str = ""
    """Where the samples come from: `gateways`, `csv`, `synthetic`."""


class _Window(msgspec.Struct, frozen=True):
    width: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)]
    features: tuple[_Name, ...]


class _Header(msgspec.Struct, frozen=True):
    """All that is neither array nor parameter."""

    detector: _Name
    profile: _Name
    channels: Annotated[tuple[_Name, ...], msgspec.Meta(min_length=1, max_length=MAX_CHANNELS)]
    window: _Window
    lineage: Lineage
    parameters: dict[str, float | int]


@dataclass(frozen=True, slots=True)
class Artifact:
    """A trained detector as data."""

    detector: str
    profile: str
    channels: tuple[str, ...]
    learnt: Learnt
    lineage: Lineage
    golden: Golden

    @classmethod
    def of(
        cls, detector: LearntDetector, profile: str, channels: Sequence[str], lineage: Lineage, golden: Golden
    ) -> Artifact:
        """The artefact of a trained detector."""
        return cls(detector.name, profile, tuple(channels), detector.learnt, lineage, golden)

    def build(self) -> LearntDetector:
        """The detector, knowing no device.

        Raises:
            ArtifactRejected: UNKNOWN_DETECTOR, or what is wrong with its parameters and arrays.
        """
        build = DETECTORS.get(self.detector)
        if build is None:
            raise ArtifactRejected(
                Rejection.UNKNOWN_DETECTOR, f'"{self.detector}"; this release knows {", ".join(sorted(DETECTORS))}'
            )
        return build(len(self.channels), self.learnt)

    def check_fits(self, profile: str, channels: Sequence[str]) -> None:
        """Say whether it was trained for this profile.

        Raises:
            ArtifactRejected: OTHER_PROFILE or OTHER_CHANNELS.
        """
        if self.profile != profile:
            raise ArtifactRejected(Rejection.OTHER_PROFILE, f'trained for "{self.profile}", not "{profile}"')
        if self.channels != tuple(channels):
            raise ArtifactRejected(
                Rejection.OTHER_CHANNELS,
                f"trained for channels {', '.join(self.channels[:16])}; here they are {', '.join(channels[:16])}",
            )


def sha256(data: bytes) -> str:
    """The name of an artefact: 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def to_bytes(artifact: Artifact) -> bytes:
    """The bytes of an artefact, read back and verified; the same for the same artefact and release of zlib.

    Raises:
        ArtifactRejected: no gateway would take them.
    """
    learnt, golden = artifact.learnt, artifact.golden
    data = strict_writer.write(
        {
            "format": FORMAT,
            "detector": artifact.detector,
            "profile": artifact.profile,
            "channels": list(artifact.channels),
            "window": {"width": learnt.width, "features": list(learnt.features)},
            "lineage": msgspec.to_builtins(artifact.lineage),
            "golden": golden._asdict(),
            "parameters": dict(learnt.parameters),
            "arrays": dict(learnt.arrays),
        }
    )
    load(data)
    return data


def from_bytes(data: bytes) -> Artifact:
    """The artefact in `data`. Nothing is executed; its detector is not built yet.

    Raises:
        ArtifactRejected: `reason` says why; never another exception, whatever the bytes.
    """
    content = strict_reader.read(data)
    if type(content) is not dict:
        raise ArtifactRejected(Rejection.WRONG_FIELD, f"a model is a dict, this is a {type(content).__name__}")
    version = content.get("format")
    if type(version) is not int or version < 1:
        raise ArtifactRejected(Rejection.MISSING_FIELD, '"format" is missing: this is no model of ours')
    if version > FORMAT:
        raise ArtifactRejected(
            Rejection.NEWER_FORMAT, f"format {version}, this release understands up to {FORMAT}; update it"
        )
    golden = _golden(content.get("golden"))
    arrays = _arrays("arrays", content.get("arrays"))
    header = _header({key: value for key, value in content.items() if key in _Header.__struct_fields__})
    if golden.values.shape[1] != len(header.channels):
        raise ArtifactRejected(
            Rejection.SHAPES_DISAGREE, f"golden readings {golden.values.shape} of {len(header.channels)} channels"
        )
    if len(set(header.channels)) != len(header.channels):
        raise ArtifactRejected(Rejection.WRONG_FIELD, "a channel stands there twice")
    if not np.isfinite([float(value) for value in header.parameters.values()]).all():
        raise ArtifactRejected(Rejection.NOT_FINITE, "a parameter is NaN or infinite")
    learnt = Learnt(header.window.width, header.window.features, header.parameters, arrays)
    return Artifact(header.detector, header.profile, header.channels, learnt, header.lineage, golden)


@dataclass(frozen=True, slots=True)
class Model:
    """An artefact that has passed every check, and its detector, which knows no device."""

    artifact: Artifact
    detector: LearntDetector
    sha256: str


def load(
    data: bytes, *, expected: str | None = None, profile: str | None = None, channels: Sequence[str] | None = None
) -> Model:
    """A detector that is ready to run, after every check there is: hash, bytes, structure, fit, golden scores.

    `expected` is the SHA-256 that was ordered; `profile` and `channels` are what it is to run on; None: not checked.

    Raises:
        ArtifactRejected: `reason` says why; never another exception, whatever the bytes.
    """
    if len(data) > MAX_BYTES:
        raise ArtifactRejected(Rejection.TOO_LARGE, f"{len(data)} bytes, at most {MAX_BYTES}")
    name = sha256(data)
    if expected is not None and name != expected:
        raise ArtifactRejected(Rejection.WRONG_HASH, f"these bytes are {name}, ordered was {expected}")
    artifact = from_bytes(data)
    artifact.check_fits(
        artifact.profile if profile is None else profile, artifact.channels if channels is None else channels
    )
    detector = artifact.build()
    artifact.golden.verify(detector)
    return Model(artifact, detector, name)


def _header(content: dict[str, Any]) -> _Header:
    missing = [field for field in _Header.__struct_fields__ if field not in content]
    if missing:
        raise ArtifactRejected(Rejection.MISSING_FIELD, f"missing: {', '.join(missing)}")
    try:
        return msgspec.convert(content, _Header)
    except (msgspec.ValidationError, OverflowError) as error:
        raise ArtifactRejected(Rejection.WRONG_FIELD, str(error)) from error


def _arrays(field: str, content: Any) -> dict[str, NDArray[Any]]:
    if content is None:
        raise ArtifactRejected(Rejection.MISSING_FIELD, f"missing: {field}")
    if type(content) is not dict or not all(isinstance(array, np.ndarray) for array in content.values()):
        raise ArtifactRejected(Rejection.WRONG_FIELD, f'"{field}" is no dict of arrays')
    return content


def _golden(content: Any) -> Golden:
    if content is None:
        raise ArtifactRejected(Rejection.NO_GOLDEN_INPUTS, "no golden readings: nothing to prove the model with")
    arrays = _arrays("golden", content)
    if not set(Golden._fields) <= set(arrays):
        raise ArtifactRejected(Rejection.NO_GOLDEN_INPUTS, f"golden readings need {', '.join(Golden._fields)}")
    device, time, values, scores = (arrays[field] for field in Golden._fields)
    n = len(time) if time.ndim == 1 else -1
    if device.shape != (n,) or scores.shape != (n,) or values.ndim != 2 or len(values) != n:
        raise ArtifactRejected(
            Rejection.SHAPES_DISAGREE, f"golden arrays {device.shape}, {time.shape}, {values.shape}, {scores.shape}"
        )
    if device.dtype.kind not in "iu" or any(array.dtype != np.float64 for array in (time, values, scores)):
        raise ArtifactRejected(Rejection.OTHER_ARRAYS, "golden readings are whole device rows and float64")
    if not 1 <= n <= MAX_READINGS or int(device.min()) < 0 or int(device.max()) >= MAX_DEVICES:
        raise ArtifactRejected(
            Rejection.WRONG_FIELD, f"{n} golden readings, at most {MAX_READINGS} of {MAX_DEVICES} devices"
        )
    if not np.isfinite(time).all() or not np.isfinite(scores).all() or np.isinf(values).any():
        raise ArtifactRejected(Rejection.NOT_FINITE, "golden readings with an infinite value, or no time or score")
    if not (scores >= 0.0).all() or not scores.any() or float(np.abs(time).max()) > 1e15:
        raise ArtifactRejected(Rejection.NO_GOLDEN_INPUTS, "golden scores that prove nothing: all 0, or below 0")
    return Golden(device.astype(np.intp), time, values, scores)
