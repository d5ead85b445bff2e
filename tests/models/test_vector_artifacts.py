"""Artefacts of lof, one_class_svm and ensemble: round trips, hostile contents told apart, mutants refused, no more."""

from __future__ import annotations

import random
import tracemalloc
import zlib
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.models.ensembles import ensemble, ensemble_with_mahalanobis
from tests.models.forests import DEVICES, normal_readings
from tests.models.vector_models import lof, one_class_svm
from vedette_models import artifact, strict_reader, strict_writer
from vedette_models.artifact import Artifact, Lineage
from vedette_models.golden import Golden
from vedette_models.rejection import ArtifactRejected, Rejection

CHANNELS = ("flow", "pressure")
WIDTH = 4
MAKE = {
    "lof": lof,
    "one_class_svm": one_class_svm,
    "ensemble": ensemble,
    "ensemble with mahalanobis": ensemble_with_mahalanobis,
}
names = pytest.mark.parametrize("name", MAKE)


@cache
def small(name: str) -> bytes:
    detector = MAKE[name](2, 0, WIDTH)
    readings = normal_readings(2, 32, seed=1)
    readings.values[-DEVICES:] += 5.0 * np.arange(DEVICES)[:, None]
    lineage = Lineage(samples=1_588, first=1.7e9, last=1.7e9 + 24_000, trained=1.8e9)
    return artifact.to_bytes(Artifact.of(detector, "pump", CHANNELS, lineage, Golden.recorded(detector, readings)))


def content(name: str) -> dict[str, Any]:
    inside = strict_reader.read(small(name))
    assert isinstance(inside, dict)
    return inside


def within(name: str, field: str, **changes: Any) -> dict[str, Any]:
    """The dict inside the artefact with something replaced in one field, or left out where the value is Ellipsis."""
    inside = content(name)
    changed = {**inside[field], **{key.replace("__", "."): value for key, value in changes.items()}}
    return {**inside, field: {key: value for key, value in changed.items() if value is not ...}}


def array(name: str, field: str) -> np.ndarray:
    return content(name)["arrays"][field]


@names
def test_a_model_comes_back_as_it_was(name: str) -> None:
    model = artifact.load(small(name), profile="pump", channels=CHANNELS)
    assert model.artifact.detector == name.partition(" ")[0]
    assert artifact.to_bytes(model.artifact) == small(name)
    detector, expected = model.detector, MAKE[name](2, DEVICES, WIDTH)
    detector.resize(DEVICES)
    batch = normal_readings(2, 200, seed=7)
    assert np.array_equal(detector.score(batch).total, expected.score(batch).total)
    assert detector.prior == expected.prior


NAN, INF = float("nan"), float("inf")
POINTS, CENTRES = array("lof", "prototypes"), array("one_class_svm", "centres")
BROKEN: dict[str, tuple[dict[str, Any], Rejection]] = {
    "lof: prototypes in float64": (
        within("lof", "arrays", prototypes=POINTS.astype(np.float64)),
        Rejection.OTHER_ARRAYS,
    ),
    "lof: no prototypes": (within("lof", "arrays", prototypes=POINTS[:0]), Rejection.SHAPES_DISAGREE),
    "lof: prototypes of another width": (within("lof", "arrays", prototypes=POINTS[:, 1:]), Rejection.SHAPES_DISAGREE),
    "lof: prototypes in a row": (within("lof", "arrays", prototypes=POINTS.reshape(-1)), Rejection.SHAPES_DISAGREE),
    "lof: more prototypes than are looked at": (
        within("lof", "arrays", prototypes=np.zeros((5_000, 12), np.float32)),
        Rejection.SHAPES_DISAGREE,
    ),
    "lof: a prototype that is NaN": (
        within("lof", "arrays", prototypes=POINTS * np.float32(NAN)),
        Rejection.NOT_FINITE,
    ),
    "lof: a prototype out of range": (
        within("lof", "arrays", prototypes=POINTS + np.float32(1e30)),
        Rejection.BROKEN_STRUCTURE,
    ),
    "lof: one reach short": (within("lof", "arrays", reach=array("lof", "reach")[1:]), Rejection.SHAPES_DISAGREE),
    "lof: a negative reach": (within("lof", "arrays", reach=-array("lof", "reach")), Rejection.BROKEN_STRUCTURE),
    "lof: a density of 0": (within("lof", "arrays", density=array("lof", "density") * 0.0), Rejection.BROKEN_STRUCTURE),
    "lof: a density beyond all": (
        within("lof", "arrays", density=array("lof", "density") + 1e300),
        Rejection.BROKEN_STRUCTURE,
    ),
    "lof: more neighbours than prototypes": (within("lof", "parameters", neighbours=200), Rejection.WRONG_FIELD),
    "lof: no neighbour": (within("lof", "parameters", neighbours=0), Rejection.WRONG_FIELD),
    "lof: half a neighbour": (within("lof", "parameters", neighbours=0.5), Rejection.WRONG_FIELD),
    "lof: an offset above 0": (within("lof", "parameters", offset=1.0), Rejection.WRONG_FIELD),
    "lof: weights that are negative": (within("lof", "arrays", weight=-array("lof", "weight")), Rejection.WRONG_FIELD),
    "lof: weights that overflow": (
        within("lof", "arrays", weight=array("lof", "weight") * 1e200),
        Rejection.WRONG_FIELD,
    ),
    "lof: no weight at all": (within("lof", "arrays", weight=array("lof", "weight") * 0.0), Rejection.WRONG_FIELD),
    "lof: a centre that is infinite": (
        within("lof", "arrays", centre=array("lof", "centre") * INF),
        Rejection.NOT_FINITE,
    ),
    "lof: another boundary": (within("lof", "parameters", offset=-7.0), Rejection.GOLDEN_MISMATCH),
    "lof: an array of another detector": (within("lof", "arrays", centres=CENTRES), Rejection.OTHER_ARRAYS),
    "svm: gamma of 0": (within("one_class_svm", "parameters", gamma=0.0), Rejection.WRONG_FIELD),
    "svm: a limit below 0": (within("one_class_svm", "parameters", limit=-1.0), Rejection.WRONG_FIELD),
    "svm: a coefficient too large": (
        within("one_class_svm", "arrays", coefficients=array("one_class_svm", "coefficients") * 1e300),
        Rejection.BROKEN_STRUCTURE,
    ),
    "svm: one coefficient short": (
        within("one_class_svm", "arrays", coefficients=array("one_class_svm", "coefficients")[1:]),
        Rejection.SHAPES_DISAGREE,
    ),
    "svm: whole numbers for coefficients": (
        within("one_class_svm", "arrays", coefficients=np.ones(len(CENTRES), np.int64)),
        Rejection.OTHER_ARRAYS,
    ),
    "svm: another kernel": (within("one_class_svm", "parameters", gamma=2.0), Rejection.GOLDEN_MISMATCH),
    "svm: a border that nobody is within": (within("one_class_svm", "parameters", typical=0.0), Rejection.WRONG_FIELD),
    "ensemble: a limit of 0": (within("ensemble", "parameters", limit=0.0), Rejection.WRONG_FIELD),
    "ensemble: no members": (
        {**content("ensemble"), "parameters": {"limit": 1.0, "typical": 0.5}},
        Rejection.OTHER_ARRAYS,
    ),
    "ensemble: a member without what its scores mean": (
        within("ensemble", "arrays", lof__surprises=...),
        Rejection.OTHER_ARRAYS,
    ),
    "ensemble: a member that nobody knows": (
        within("ensemble", "arrays", oracle__scores=np.zeros(3)),
        Rejection.OTHER_ARRAYS,
    ),
    "ensemble: mahalanobis without what its scores mean": (
        within("ensemble with mahalanobis", "arrays", mahalanobis__scores=...),
        Rejection.OTHER_ARRAYS,
    ),
    "ensemble: mahalanobis with a reach below chance": (
        within("ensemble with mahalanobis", "parameters", mahalanobis__reach=0.5),
        Rejection.WRONG_FIELD,
    ),
    "ensemble: nothing but mahalanobis": (
        {
            **content("ensemble with mahalanobis"),
            "parameters": {"limit": 1.0, "typical": 0.5, "mahalanobis.slope": 1.0},
        },
        Rejection.OTHER_ARRAYS,
    ),
    "ensemble: a slope that falls": (within("ensemble", "parameters", lof__slope=-1.0), Rejection.WRONG_FIELD),
    "ensemble: surprises that fall": (
        within("ensemble", "arrays", lof__surprises=array("ensemble", "lof.surprises")[::-1].copy()),
        Rejection.BROKEN_STRUCTURE,
    ),
    "ensemble: a member's tree without leaves": (
        within(
            "ensemble", "arrays", isolation_forest__splits=np.ones_like(array("ensemble", "isolation_forest.splits"))
        ),
        Rejection.BROKEN_STRUCTURE,
    ),
    "ensemble: a member's prototype that is NaN": (
        within("ensemble", "arrays", lof__prototypes=array("ensemble", "lof.prototypes") * np.float32(NAN)),
        Rejection.NOT_FINITE,
    ),
    "ensemble: a member's gamma too large": (
        within("ensemble", "parameters", one_class_svm__gamma=1e300),
        Rejection.WRONG_FIELD,
    ),
    "ensemble: another boundary": (within("ensemble", "parameters", limit=9.0), Rejection.GOLDEN_MISMATCH),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_model_that_is_wrong_is_refused_with_its_reason(fault: str) -> None:
    inside, reason = BROKEN[fault]
    with pytest.raises(ArtifactRejected) as refused:
        artifact.load(strict_writer.write(inside))
    assert refused.value.reason is reason, refused.value.detail
    assert len(refused.value.detail) < 400


@names
@settings(max_examples=150, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**32))
def test_a_mutant_is_a_model_or_refused_and_nothing_else(name: str, seed: int) -> None:
    chance = random.Random(seed)
    data = bytearray(zlib.decompress(small(name)))
    for _ in range(chance.choice((1, 1, 2, 4))):
        place, length, elsewhere = chance.randrange(1, len(data)), chance.choice((1, 2, 8)), chance.randrange(len(data))
        if chance.randrange(2):
            data[place] = chance.randrange(256)
        else:
            data[place : place + length] = data[elsewhere : elsewhere + length]
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        try:
            model = artifact.load(bytes(data))
        except ArtifactRejected:
            return
    assert model.artifact.detector == name.partition(" ")[0]


@pytest.mark.parametrize(
    ("name", "field", "most"), [("lof", "prototypes", "neighbours"), ("one_class_svm", "centres", "")]
)
def test_as_many_points_as_fit_into_an_artefact_need_little_memory(name: str, field: str, most: str) -> None:
    count = {"prototypes": ("reach", "density"), "centres": ("coefficients",)}[field]
    inside = within(
        name, "arrays", **{field: np.zeros((4_096, 12), np.float32)}, **dict.fromkeys(count, np.ones(4_096))
    )
    if most:
        inside["parameters"][most] = 256
    data = strict_writer.write(inside)
    tracemalloc.start()
    try:
        with pytest.raises(ArtifactRejected):
            artifact.load(data)
        assert tracemalloc.get_traced_memory()[1] < 64 << 20
    finally:
        tracemalloc.stop()
