"""Our bytes are joblib files, and joblib files of data are ours to read."""

from __future__ import annotations

import io
from typing import Any

import joblib
import numpy as np
import pytest
from sklearn.ensemble import IsolationForest

from tests.models.forests import small_bytes
from tests.models.test_strict_reader import same
from vedette_models import artifact, strict_reader, strict_writer
from vedette_models.joblib_grammar import NUMBERS
from vedette_models.rejection import ArtifactRejected, Rejection

DATA: dict[str, Any] = {
    "text": "grün",
    "long": "x" * 300,
    "numbers": [0, 1, 255, 256, 70_000, -1, 2**40, -(2**63), 2**63 - 1, 1.5, True, False, None],
    "nested": {"empty": {}, "list": [], "tuple": (1, (2, ()), [3])},
    "same": ["again", "again"],
    **{code: np.arange(6).reshape(2, 3).astype(f"<{code}") for code in NUMBERS},
    "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "none": np.zeros((0, 3), np.int16),
    "one": np.array(3.5),
    "strided": np.arange(20.0)[::3],
}


def dumped(value: Any, **options: Any) -> bytes:
    file = io.BytesIO()
    joblib.dump(value, file, **options)
    return file.getvalue()


def test_joblib_loads_an_artefact_as_we_read_it() -> None:
    inside = strict_reader.read(small_bytes())
    assert isinstance(inside, dict)
    assert same(joblib.load(io.BytesIO(small_bytes())), inside)
    assert inside["format"] == artifact.FORMAT


def test_joblib_loads_what_we_write() -> None:
    loaded = joblib.load(io.BytesIO(strict_writer.write(DATA)))
    assert same(loaded, DATA)


@pytest.mark.parametrize("options", [{"compress": ("zlib", 9)}, {"compress": 3}, {}, {"protocol": 5}, {"protocol": 4}])
def test_we_read_what_joblib_writes(options: dict[str, Any]) -> None:
    assert same(strict_reader.read(dumped(DATA, **options)), DATA)


def test_an_artefact_written_by_joblib_is_an_artefact() -> None:
    again = dumped(strict_reader.read(small_bytes()), compress=("zlib", 9))
    assert artifact.load(again).artifact.profile == "pump"


@pytest.mark.parametrize("method", ["gzip", "bz2", "lzma"])
def test_other_compressions_are_refused(method: str) -> None:
    with pytest.raises(ArtifactRejected) as refused:
        strict_reader.read(dumped(DATA, compress=(method, 3)))
    assert refused.value.reason is Rejection.UNKNOWN_CONTAINER


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (IsolationForest(n_estimators=3).fit(np.arange(40.0).reshape(20, 2)), Rejection.FORBIDDEN_NAME),
        (np.array([{"a": 1}, None], object), Rejection.FORBIDDEN_TYPE),
        (np.array(["text"]), Rejection.FORBIDDEN_TYPE),
        (np.float64(1.5), Rejection.FORBIDDEN_NAME),
        (np.matrix([[1.0]]), Rejection.FORBIDDEN_NAME),
        (np.arange(3.0).astype(">f8"), Rejection.FORBIDDEN_TYPE),
        ({"a": b"bytes"}, Rejection.FORBIDDEN_OPERATION),
        ({"a": {1, 2}}, Rejection.FORBIDDEN_OPERATION),
    ],
    ids=["estimator", "objects", "strings", "numpy number", "matrix", "big-endian", "bytes", "set"],
)
def test_what_else_joblib_writes_is_refused(value: Any, reason: Rejection) -> None:
    with pytest.raises(ArtifactRejected) as refused:
        strict_reader.read(dumped(value, compress=("zlib", 9)))
    assert refused.value.reason is reason
