"""Artefacts: a round trip changes nothing; what is wrong with one is told apart; mutants are refused and no more."""

from __future__ import annotations

import random
import tracemalloc
import zlib
from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.models.forests import normal_readings, small_artifact, small_bytes
from vedette_models import artifact, strict_reader, strict_writer
from vedette_models.artifact import MAX_BYTES, Lineage
from vedette_models.golden import MAX_READINGS, Golden
from vedette_models.joblib_grammar import Op
from vedette_models.readings import ReadingBatch
from vedette_models.rejection import ArtifactRejected, Rejection

CHANNELS = ("flow", "pressure")


def content(**changes: Any) -> dict[str, Any]:
    """The dict inside the artefact, with some fields replaced, or left out where the value is Ellipsis."""
    inside = strict_reader.read(small_bytes())
    assert isinstance(inside, dict)
    return {key: value for key, value in {**inside, **changes}.items() if value is not ...}


def within(field: str, **changes: Any) -> dict[str, Any]:
    """The same with something replaced inside one field."""
    inside = content()[field]
    return content(**{field: {key: value for key, value in {**inside, **changes}.items() if value is not ...}})


def golden(**changes: Any) -> dict[str, Any]:
    return within("golden", **changes)


GOLDEN = content()["golden"]
SCORES, VALUES, TIME, DEVICE = (GOLDEN[name] for name in ("scores", "values", "time", "device"))


def test_a_model_comes_back_as_it_was() -> None:
    original = small_artifact()
    model = artifact.load(small_bytes(), expected=artifact.sha256(small_bytes()), profile="pump", channels=CHANNELS)
    again = model.artifact
    assert (again.detector, again.profile, again.channels) == ("isolation_forest", "pump", CHANNELS)
    assert again.lineage == original.lineage
    assert again.learnt.parameters == original.learnt.parameters
    assert all(np.array_equal(array, again.learnt.arrays[name]) for name, array in original.learnt.arrays.items())
    assert model.sha256 == artifact.sha256(small_bytes())
    assert artifact.to_bytes(again) == small_bytes() == artifact.to_bytes(original)

    detector, expected = model.detector, original.build()
    for each in (detector, expected):
        each.resize(4)
    batch = normal_readings(2, 200, seed=7)
    assert np.array_equal(detector.score(batch).total, expected.score(batch).total)


def test_a_loaded_detector_knows_nothing_of_the_golden_readings() -> None:
    detector = artifact.load(small_bytes()).detector
    assert not detector.score(ReadingBatch.of([0, 1], [2e9, 2e9], [[1.0, 2.0]] * 2)).total.any()


def test_fields_of_a_newer_release_are_ignored_where_they_do_not_change_scores() -> None:
    newer = content(remark="new", lineage={**content()["lineage"], "operator": "new"})
    newer["golden"] = {**newer["golden"], "labels": SCORES}
    assert artifact.load(strict_writer.write(newer)).artifact.lineage == small_artifact().lineage


BROKEN: dict[str, tuple[Any, Rejection]] = {
    "a list": ([1, 2], Rejection.WRONG_FIELD),
    "somebody else's dict": ({"weights": np.zeros(3)}, Rejection.MISSING_FIELD),
    "no format": (content(format=...), Rejection.MISSING_FIELD),
    "format as text": (content(format="1"), Rejection.MISSING_FIELD),
    "a newer format": (content(format=2), Rejection.NEWER_FORMAT),
    "no channels": (content(channels=...), Rejection.MISSING_FIELD),
    "channels empty": (content(channels=[]), Rejection.WRONG_FIELD),
    "a channel twice": (content(channels=["flow", "flow"]), Rejection.WRONG_FIELD),
    "a channel that is a number": (content(channels=["flow", 3]), Rejection.WRONG_FIELD),
    "a channel that is an array": (content(channels=["flow", SCORES]), Rejection.WRONG_FIELD),
    "more channels than golden readings have": (content(channels=["a", "b", "c"]), Rejection.SHAPES_DISAGREE),
    "an unknown detector": (content(detector="oracle"), Rejection.UNKNOWN_DETECTOR),
    "another window": (within("window", features=["mean"]), Rejection.OTHER_FEATURES),
    "a window of a million": (within("window", width=1_000_000), Rejection.OTHER_FEATURES),
    "a window of text": (within("window", width="4"), Rejection.WRONG_FIELD),
    "no lineage": (content(lineage=...), Rejection.MISSING_FIELD),
    "lineage without samples": (within("lineage", samples=0), Rejection.WRONG_FIELD),
    "lineage at no time": (within("lineage", first=float("nan")), Rejection.WRONG_FIELD),
    "parameters as a list": (content(parameters=[1]), Rejection.WRONG_FIELD),
    "a parameter of text": (within("parameters", offset="-0.5"), Rejection.WRONG_FIELD),
    "a parameter missing": (within("parameters", offset=...), Rejection.OTHER_ARRAYS),
    "an unknown parameter": (within("parameters", bias=1.0), Rejection.OTHER_ARRAYS),
    "a parameter that is NaN": (within("parameters", offset=float("nan")), Rejection.NOT_FINITE),
    "a parameter that is infinite": (within("parameters", typical=float("inf")), Rejection.NOT_FINITE),
    "no arrays": (content(arrays=...), Rejection.MISSING_FIELD),
    "arrays as numbers": (content(arrays={"splits": 3}), Rejection.WRONG_FIELD),
    "an array missing": (within("arrays", thresholds=...), Rejection.OTHER_ARRAYS),
    "an unknown array": (within("arrays", spare=SCORES), Rejection.OTHER_ARRAYS),
    "a threshold that is NaN": (
        within("arrays", thresholds=np.full_like(content()["arrays"]["thresholds"], np.nan)),
        Rejection.NOT_FINITE,
    ),
    "one threshold short": (
        within("arrays", thresholds=content()["arrays"]["thresholds"][1:]),
        Rejection.SHAPES_DISAGREE,
    ),
    "a tree without leaves": (
        within("arrays", splits=np.ones_like(content()["arrays"]["splits"])),
        Rejection.BROKEN_STRUCTURE,
    ),
    "a feature that is not there": (
        within("arrays", features=content()["arrays"]["features"] + np.uint8(200)),
        Rejection.BROKEN_STRUCTURE,
    ),
    "more trees than nodes": (within("parameters", trees=4_000), Rejection.BROKEN_STRUCTURE),
    "no golden readings": (content(golden=...), Rejection.NO_GOLDEN_INPUTS),
    "golden scores missing": (golden(scores=...), Rejection.NO_GOLDEN_INPUTS),
    "golden scores that prove nothing": (golden(scores=SCORES * 0.0), Rejection.NO_GOLDEN_INPUTS),
    "golden scores as whole numbers": (golden(scores=SCORES.astype(np.int64)), Rejection.OTHER_ARRAYS),
    "golden scores that are NaN": (golden(scores=SCORES * np.nan), Rejection.NOT_FINITE),
    "golden values that are infinite": (golden(values=VALUES + np.inf), Rejection.NOT_FINITE),
    "golden readings of a device out of range": (golden(device=DEVICE + 10_000), Rejection.WRONG_FIELD),
    "golden readings of a negative device": (golden(device=DEVICE - 1), Rejection.WRONG_FIELD),
    "golden devices as fractions": (golden(device=TIME), Rejection.OTHER_ARRAYS),
    "golden columns of different lengths": (golden(time=TIME[1:]), Rejection.SHAPES_DISAGREE),
    "golden times in two dimensions": (golden(time=VALUES), Rejection.SHAPES_DISAGREE),
    "too many golden readings": (
        content(golden={name: np.concatenate([array] * (MAX_READINGS // 16)) for name, array in GOLDEN.items()}),
        Rejection.WRONG_FIELD,
    ),
    "another model's golden scores": (golden(scores=SCORES + 1e-6), Rejection.GOLDEN_MISMATCH),
    "another model's boundary": (within("parameters", offset=-0.55), Rejection.GOLDEN_MISMATCH),
    "a threshold moved": (
        within("arrays", thresholds=content()["arrays"]["thresholds"] + np.float32(0.5)),
        Rejection.GOLDEN_MISMATCH,
    ),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_model_that_is_wrong_is_refused_with_its_reason(fault: str) -> None:
    inside, reason = BROKEN[fault]
    with pytest.raises(ArtifactRejected) as refused:
        artifact.load(strict_writer.write(inside))
    assert refused.value.reason is reason
    assert len(refused.value.detail) < 400


@pytest.mark.parametrize(
    ("order", "reason"),
    [
        ({"expected": "0" * 64}, Rejection.WRONG_HASH),
        ({"profile": "freezer"}, Rejection.OTHER_PROFILE),
        ({"channels": ("pressure", "flow")}, Rejection.OTHER_CHANNELS),
        ({"channels": ("flow",)}, Rejection.OTHER_CHANNELS),
    ],
)
def test_a_model_that_was_not_ordered_is_refused(order: Mapping[str, Any], reason: Rejection) -> None:
    with pytest.raises(ArtifactRejected) as refused:
        artifact.load(small_bytes(), **order)
    assert refused.value.reason is reason


def test_too_many_bytes_are_not_even_hashed() -> None:
    with pytest.raises(ArtifactRejected) as refused:
        artifact.load(bytes(MAX_BYTES + 1), expected="0" * 64)
    assert refused.value.reason is Rejection.TOO_LARGE


def test_every_rejection_has_words_of_its_own() -> None:
    reasons = {reason for _, reason in BROKEN.values()}
    assert len(reasons) >= 11
    assert len({str(reason) for reason in Rejection}) == len(Rejection)


def test_a_model_no_gateway_would_take_is_not_written() -> None:
    good = small_artifact()
    wrong = artifact.Artifact(good.detector, good.profile, good.channels[:1], good.learnt, good.lineage, good.golden)
    with pytest.raises(ArtifactRejected):
        artifact.to_bytes(wrong)


def test_golden_readings_must_prove_something() -> None:
    detector = small_artifact().build()
    with pytest.raises(ValueError, match="all golden scores are 0"):
        Golden.recorded(detector, normal_readings(2, 8))
    with pytest.raises(ValueError, match="at most"):
        Golden.recorded(detector, normal_readings(2, MAX_READINGS + 1))


def test_lineage_is_checked_when_it_is_read_not_when_it_is_made() -> None:
    assert msgspec.convert({"samples": 1, "first": 0, "last": 1, "trained": 2}, Lineage).parents == ()


PLAIN = zlib.decompress(small_bytes())


def mutant(seed: int) -> bytes:
    """The plain stream with a few changes that respect its grammar a little."""
    chance = random.Random(seed)
    data = bytearray(PLAIN)
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        place, length = chance.randrange(1, len(data)), chance.choice((1, 2, 8, 40))
        elsewhere = chance.randrange(len(data))
        match chance.randrange(6):
            case 0:
                data[place] = chance.randrange(256)
            case 1:
                data[place] = chance.choice(list(Op))
            case 2:
                data[place] ^= 1 << chance.randrange(8)
            case 3:
                del data[place : place + length]
            case 4:
                data[place:place] = data[elsewhere : elsewhere + length]
            case _:
                data[place : place + length] = data[elsewhere : elsewhere + length]
    return bytes(data)


@settings(max_examples=400, deadline=None, derandomize=True)
@given(st.integers(0, 2**32))
def test_a_mutant_is_a_model_or_refused_and_nothing_else(seed: int) -> None:
    try:
        model = artifact.load(mutant(seed))
    except ArtifactRejected:
        return
    assert model.artifact.detector == "isolation_forest"


def test_mutants_need_little_memory() -> None:
    tracemalloc.start()
    try:
        for seed in range(60):
            try:
                artifact.load(mutant(seed))
            except ArtifactRejected:
                continue
        assert tracemalloc.get_traced_memory()[1] < 64 << 20
    finally:
        tracemalloc.stop()
