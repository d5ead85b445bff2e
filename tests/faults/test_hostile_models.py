"""Attacks with models, each ordered by a hub that was taken over, through the real updater: the old model goes on."""

from __future__ import annotations

import pickle
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.agent.update import hostile
from tests.agent.update.model_hub import CHANNELS, PROFILE, model, release
from tests.faults.gateway import GOOD, Gateway, order, signed
from tests.faults.mutation import GROWTH
from tests.faults.small_models import small_models
from tests.processes import ROOT
from vedette_models import artifact, strict_reader, strict_writer
from vedette_models.detectors.forest import MAX_TREES
from vedette_models.features import FEATURES
from vedette_models.rejection import Rejection


def content(name: str) -> dict[str, Any]:
    found = strict_reader.read(small_models()[name])
    assert isinstance(found, dict)
    return dict(found)


def spoiled(name: str, part: str, **changes: Any) -> bytes:
    """A model of this detector with something replaced in one part; `__` stands for a dot."""
    inside = content(name)
    changed = {key.replace("__", "."): value for key, value in changes.items()}
    return strict_writer.write({**inside, part: {**inside[part], **changed}})


def array(name: str, key: str) -> np.ndarray[Any, Any]:
    found: np.ndarray[Any, Any] = content(name)["arrays"][key]
    return found.copy()


def with_one(name: str, key: str, place: int, value: float) -> bytes:
    changed = array(name, key)
    changed.reshape(-1)[place] = value
    return spoiled(name, "arrays", **{key.replace(".", "__"): changed})


def forest(trees: int, depth: int, *, channels: int = 2, readings: int = 6, devices: int = 2, width: int = 2) -> bytes:
    """A well-formed forest that takes as much memory as it can claim; it scores something else than it says."""
    features = 6 * channels
    splits = np.concatenate([np.full(trees << d, int(d < depth), np.uint8) for d in range(depth + 1)])
    number = np.arange(readings)
    made = {
        **content("isolation_forest"),
        "channels": [f"c{i}" for i in range(channels)] if channels != 2 else ["flow", "pressure"],
        "window": {"width": width, "features": list(FEATURES)},
        "golden": {
            "device": number % devices, "time": 1.7e9 + number.astype(float),
            "values": np.zeros((readings, channels)), "scores": np.ones(readings),
        },
        "parameters": {"trees": trees, "max_samples": 2**30, "offset": -0.5, "typical": 0.1},
        "arrays": {
            "splits": splits, "features": np.zeros(trees * ((1 << depth) - 1), np.uint8),
            "thresholds": np.zeros(trees * ((1 << depth) - 1), np.float32),
            "samples": np.ones(trees << depth, np.uint8),
            **{key: np.zeros(features) for key in ("median", "low", "high")},
        },
    }  # fmt: skip
    return strict_writer.write(made)


def plain(*operations: bytes) -> bytes:
    return zlib.compress(b"\x80\x04" + b"".join(operations) + b".")


def text(value: str) -> bytes:
    return b"\x8c" + bytes([len(value)]) + value.encode()


def points(count: int, name: str, key: str) -> np.ndarray[Any, Any]:
    return np.repeat(array(name, key)[:1], count, axis=0)


Attack = tuple[Callable[[], bytes], Rejection]
OF_DETECTORS: dict[str, Attack] = {
    "forest: a tree without a root": (
        lambda: spoiled("isolation_forest", "arrays", splits=array("isolation_forest", "splits")[:2]),
        Rejection.BROKEN_STRUCTURE,
    ),
    "forest: a split at a feature that there is not": (
        lambda: with_one("isolation_forest", "features", 0, 200), Rejection.BROKEN_STRUCTURE
    ),
    "forest: a billion trees": (
        lambda: spoiled("isolation_forest", "parameters", trees=10**9), Rejection.WRONG_FIELD
    ),
    "forest: an empty leaf": (lambda: with_one("isolation_forest", "samples", 0, 0), Rejection.BROKEN_STRUCTURE),
    "lof: more neighbours than prototypes": (
        lambda: spoiled("lof", "parameters", neighbours=200), Rejection.WRONG_FIELD
    ),
    "lof: a density of nothing": (lambda: with_one("lof", "density", 0, 0.0), Rejection.BROKEN_STRUCTURE),
    "lof: a prototype at infinity": (lambda: with_one("lof", "prototypes", 3, np.inf), Rejection.NOT_FINITE),
    "lof: a million prototypes": (
        lambda: spoiled("lof", "arrays", prototypes=points(300_000, "lof", "prototypes")), Rejection.SHAPES_DISAGREE
    ),
    "svm: a kernel without a width": (
        lambda: spoiled("one_class_svm", "parameters", gamma=0.0), Rejection.WRONG_FIELD
    ),
    "svm: coefficients that overflow": (
        lambda: with_one("one_class_svm", "coefficients", 0, 1e300), Rejection.BROKEN_STRUCTURE
    ),
    "svm: features that all weigh nothing": (
        lambda: spoiled("one_class_svm", "arrays", weight=np.zeros(12)), Rejection.WRONG_FIELD
    ),
    "ensemble: without members": (
        lambda: spoiled("ensemble", "parameters", isolation_forest__slope=None), Rejection.WRONG_FIELD
    ),
    "ensemble: a member's prototypes of another width": (
        lambda: spoiled("ensemble", "arrays", lof__prototypes=np.zeros((6, 5), np.float32)), Rejection.SHAPES_DISAGREE
    ),
    "ensemble: surprises that fall": (
        lambda: spoiled("ensemble", "arrays", lof__surprises=array("ensemble", "lof.surprises")[::-1].copy()),
        Rejection.BROKEN_STRUCTURE,
    ),
    "forecast: no knots": (
        lambda: spoiled("forecast", "arrays", daily=np.zeros((2, 0))), Rejection.SHAPES_DISAGREE
    ),
    "forecast: days that do not make a week": (
        lambda: spoiled("forecast", "arrays", weekly=np.zeros((2, 100))), Rejection.BROKEN_STRUCTURE
    ),
    "forecast: a noise of nothing": (
        lambda: spoiled("forecast", "arrays", unit=np.zeros(2)), Rejection.BROKEN_STRUCTURE
    ),
    "forecast: a reading every nanosecond": (
        lambda: spoiled("forecast", "parameters", interval=1e-9), Rejection.WRONG_FIELD
    ),
    "mahalanobis: correlations that are none": (
        lambda: spoiled("mahalanobis", "arrays", correlation=np.array([[1.0, 2.0], [2.0, 1.0]])),
        Rejection.BROKEN_STRUCTURE,
    ),
    "mahalanobis: a negative scale": (lambda: with_one("mahalanobis", "scale", 0, -1.0), Rejection.BROKEN_STRUCTURE),
    "mahalanobis: a window": (
        lambda: spoiled("mahalanobis", "window", width=1_000_000), Rejection.OTHER_FEATURES
    ),
    "one detector's arrays under another's name": (
        lambda: strict_writer.write({**content("lof"), "detector": "one_class_svm"}), Rejection.OTHER_ARRAYS
    ),
    "scores of minus infinity": (
        lambda: spoiled("isolation_forest", "golden", scores=np.full(6, -np.inf)), Rejection.NOT_FINITE
    ),
}  # fmt: skip
OF_MEMORY: dict[str, Attack] = {
    "memory: 16 MiB of splits in 16 KiB": (
        lambda: spoiled("isolation_forest", "arrays", splits=np.ones(15 << 20, np.uint8)), Rejection.BROKEN_STRUCTURE
    ),
    "memory: the largest forest": (lambda: forest(32, 14), Rejection.GOLDEN_MISMATCH),
    "memory: the widest forest": (lambda: forest(MAX_TREES, 7), Rejection.GOLDEN_MISMATCH),
    "memory: 256 devices with windows of 1,024 readings of 512 channels": (
        lambda: forest(1, 1, channels=512, readings=2_000, devices=256, width=1_024), Rejection.TOO_LARGE
    ),
    "memory: vectors of 3,000 readings of 512 channels": (
        lambda: forest(1, 1, channels=512, readings=3_000, devices=3, width=8), Rejection.GOLDEN_MISMATCH
    ),
    "memory: a zlib bomb of a gigabyte": (lambda: bomb(), Rejection.EXPANDS_TOO_FAR),
}  # fmt: skip
OF_BYTES: dict[str, Attack] = {
    "a nested pickle in an array of objects": (
        lambda: plain(strict_writer_stream().replace(b"f8", b"O8"), pickle.dumps(print)), Rejection.FORBIDDEN_TYPE
    ),
    "numpy's own test runner": (
        lambda: plain(text("numpy.testing"), text("runstring"), b"\x93"), Rejection.FORBIDDEN_NAME
    ),
    "joblib's own loader": (
        lambda: plain(text("joblib.numpy_pickle"), text("load"), b"\x93"), Rejection.FORBIDDEN_NAME
    ),
    "a state given to a class": (
        lambda: plain(text("numpy"), text("ndarray"), b"\x93}b"), Rejection.FORBIDDEN_OPERATION
    ),
    "a memo used before it is made": (lambda: plain(b"h\x00"), Rejection.MALFORMED),
    "a list that contains itself": (lambda: plain(b"]\x94h\x00a"), Rejection.MALFORMED),
    "a text of 4 GiB": (lambda: plain(b"X" + struct.pack("<I", 2**32 - 1)), Rejection.LONG_TEXT),
    "an integer of 255 bytes": (lambda: plain(b"\x8a\xff" + b"\x7f" * 255), Rejection.MALFORMED),
    "20,000 lists in each other": (lambda: plain(b"]" * 20_000 + b"a" * 19_999), Rejection.TOO_DEEP),
    "a second model behind the first": (lambda: GOOD * 2, Rejection.TRAILING_DATA),
}  # fmt: skip


def strict_writer_stream() -> bytes:
    """The operations of one array, without the end."""
    return zlib.decompress(strict_writer.write([np.arange(3.0)]))[2:-2]


@cache
def bomb() -> bytes:
    packer = zlib.compressobj(9)
    parts = [packer.compress(b"\x80\x04"), *(packer.compress(bytes(1 << 20)) for _ in range(1_000)), packer.flush()]
    return b"".join(parts)


ATTACKS: dict[str, Attack] = {**OF_DETECTORS, **OF_MEMORY, **OF_BYTES}


def rows(names: Any) -> list[Any]:
    return [
        pytest.param(name, marks=pytest.mark.fault(fault=f"model: {name}", expected="refused; the old model goes on"))
        for name in names
    ]


@cache
def known(proof: Path) -> dict[str, tuple[bytes, Rejection]]:
    return hostile.artefacts(proof)


async def attacked(tmp_path: Path, data: bytes, *, channels: int = 2, **changes: Any) -> Gateway:
    """A gateway that has run a good model, and was ordered this; then its profile has got more channels."""
    gateway = Gateway(tmp_path)
    await gateway.start()
    await gateway.follow(1, 1, GOOD)
    if channels != 2:
        gateway.profiles[PROFILE] = tuple(f"c{i}" for i in range(channels))
    gateway.publish(data)
    await gateway.hear(signed(order(2, {PROFILE: release(2, data, **changes)})))
    return gateway


async def check(gateway: Gateway, reason: Rejection, record_property: Callable[[str, object], None]) -> None:
    assert [(a.outcome, a.reason) for a in gateway.told[1:]] == [("refused", reason)], gateway.told[-1].detail
    assert gateway.runs == artifact.sha256(GOOD)
    await gateway.start()
    assert gateway.runs == artifact.sha256(GOOD)
    assert len(gateway.told) == 2, "not tried again"
    record_property("observed", f"{gateway.told[-1].reason}: {gateway.told[-1].detail}"[:160])


@pytest.mark.parametrize("attack", rows(ATTACKS))
async def test_it_is_refused_for_its_own_reason_and_the_old_model_goes_on(
    tmp_path: Path, attack: str, record_property: Callable[[str, object], None]
) -> None:
    make, reason = ATTACKS[attack]
    channels = 512 if "512 channels" in attack else 2
    gateway = await attacked(tmp_path, make(), channels=channels, bytes=1)
    gateway.profiles[PROFILE] = CHANNELS
    await check(gateway, reason, record_property)


@pytest.mark.parametrize("attack", rows(known(Path("nowhere"))))
async def test_so_is_what_would_run_a_command_and_all_else(
    tmp_path: Path, attack: str, record_property: Callable[[str, object], None]
) -> None:
    proof = tmp_path / "executed"
    data, reason = hostile.artefacts(proof)[attack]
    size = {"bytes": 1} if len(data) > artifact.MAX_BYTES else {}
    await check(await attacked(tmp_path, data, **size), reason, record_property)
    assert not proof.exists()


@pytest.mark.fault(
    fault="model: other bytes under the hash that was ordered",
    expected="told as missing; the old model goes on until the right ones come",
)
async def test_other_bytes_than_were_ordered_have_not_come(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    gateway = Gateway(tmp_path)
    await gateway.start()
    await gateway.follow(1, 1, GOOD)
    gateway.publish(model(3), artifact.sha256(model(2)))
    await gateway.hear(signed(order(2, {PROFILE: release(2, model(2))})))
    (told,) = gateway.told[1:]
    assert (told.outcome, told.detail[:10]) == ("missing", Rejection.WRONG_HASH.value)
    assert gateway.runs == artifact.sha256(GOOD)
    await gateway.follow(3, 2, model(2))
    record_property("observed", f"{told.outcome}: {told.detail}"[:160])


IN_LITTLE_MEMORY = """
import sys, warnings
from pathlib import Path
warnings.simplefilter("ignore")
from tests.faults.mutation import bound_memory
from vedette_models import artifact
from vedette_models.rejection import ArtifactRejected
artifact.load(Path(sys.argv[1]).read_bytes())
data = [Path(name).read_bytes() for name in sys.argv[2:]]
bound_memory()
for each in data:
    try:
        artifact.load(each)
    except ArtifactRejected as error:
        print(error.reason)
"""


@pytest.mark.fault(
    fault="model: every attack on memory, in a process that may grow by 64 MiB",
    expected="each is refused, none ends it",
)
def test_no_attack_on_memory_needs_more_than_64_mib(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    names = []
    for number, (make, _) in enumerate(OF_MEMORY.values()):
        names.append(tmp_path / f"{number}.model")
        names[-1].write_bytes(make())
    good = tmp_path / "good.model"
    good.write_bytes(GOOD)
    done = subprocess.run(
        [sys.executable, "-c", IN_LITTLE_MEMORY, good, *names],
        capture_output=True, text=True, cwd=ROOT, check=False,
        env={"OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1", "PATH": ""},
    )  # fmt: skip
    assert done.stdout.split() == [str(reason) for _, reason in OF_MEMORY.values()], done.stderr[-2000:]
    record_property("observed", f"{len(names)} refused within {GROWTH >> 20} MiB of address space")


def test_there_are_attacks_enough_and_of_every_detector() -> None:
    assert len(ATTACKS) + len(known(Path("nowhere"))) >= 60
    reasons = {reason for _, reason in (*ATTACKS.values(), *known(Path("nowhere")).values())}
    assert len(reasons) >= 20
