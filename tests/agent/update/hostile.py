"""Bytes that are no model of ours, whose hash the hub has signed nevertheless: what each must be refused for."""

from __future__ import annotations

import os
import pickle
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tests.agent.update.model_hub import CHANNELS, model
from vedette_models import strict_reader, strict_writer
from vedette_models.artifact import MAX_BYTES
from vedette_models.rejection import Rejection
from vedette_models.strict_reader import MAX_EXPANDED


class Command:
    """An object whose pickle runs a command."""

    def __init__(self, command: str) -> None:
        self._command = command

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (self._command,)


def content() -> dict[str, Any]:
    """A good model's content, to be spoiled."""
    found = strict_reader.read(model(900))
    assert isinstance(found, dict)
    return dict(found)


def spoiled(**changes: Any) -> bytes:
    """A good model with some fields replaced; None: taken out."""
    fields = {**content(), **changes}
    return strict_writer.write({key: value for key, value in fields.items() if value is not None})


def part(name: str, **changes: Any) -> dict[str, Any]:
    return {**content()[name], **changes}


def artefacts(proof: Path) -> dict[str, tuple[bytes, Rejection]]:
    """By name; a command that is executed would touch `proof`."""
    good = model(900)
    plain = zlib.decompress(good)
    arrays = content()["arrays"]
    splits, thresholds = arrays["splits"].copy(), arrays["thresholds"].copy()
    splits[-1] = 1
    thresholds[0] = np.nan
    scores = content()["golden"]["scores"].copy()
    scores[-1] += 0.25
    pickled = pickle.dumps({"format": 1, "arrays": Command(f"touch {proof}")}, 4)
    return {
        "a pickle that runs a command": (pickled, Rejection.FORBIDDEN_NAME),
        "the same, packed": (zlib.compress(pickled), Rejection.FORBIDDEN_NAME),
        "an old pickle that runs a command": (
            zlib.compress(pickle.dumps(Command(f"touch {proof}"), 0)), Rejection.FORBIDDEN_OPERATION
        ),
        "something else": (b"PK\x03\x04 a zip", Rejection.UNKNOWN_CONTAINER),
        "damaged": (b"\x78\x9c" + b"\xff" * 40, Rejection.CORRUPT),
        "truncated": (good[:-9], Rejection.TRUNCATED),
        "with something behind it": (good + b"x", Rejection.TRAILING_DATA),
        "too large": (b"\x80" * (MAX_BYTES + 1), Rejection.TOO_LARGE),
        "a bomb": (zlib.compress(b"\x80\x04" + bytes(MAX_EXPANDED)), Rejection.EXPANDS_TOO_FAR),
        "too many operations": (zlib.compress(b"\x80\x04" + b"N" * 60_000 + b"."), Rejection.TOO_MANY_OPERATIONS),
        "too deep": (zlib.compress(b"\x80\x04" + b"]" * 99 + b"a" * 98 + b"."), Rejection.TOO_DEEP),
        "a huge text": (zlib.compress(b"\x80\x04X\xff\xff\xff\xff."), Rejection.LONG_TEXT),
        "an array of objects": (
            plain.replace(b"X\x02\x00\x00\x00f8", b"X\x02\x00\x00\x00O8"), Rejection.FORBIDDEN_TYPE
        ),
        "an array larger than the file": (
            plain.replace(b"K" + bytes([len(thresholds)]) + b"t", b"Jfff\x00t", 1), Rejection.BAD_SHAPE
        ),
        "no pickle at all": (b"\x80\x02}.", Rejection.MALFORMED),
        "a list": (strict_writer.write([1, 2]), Rejection.WRONG_FIELD),
        "a newer format": (spoiled(format=2), Rejection.NEWER_FORMAT),
        "no channels": (spoiled(channels=None), Rejection.MISSING_FIELD),
        "an unknown detector": (spoiled(detector="crystal_ball"), Rejection.UNKNOWN_DETECTOR),
        "another profile's": (model(901, profile="fan"), Rejection.OTHER_PROFILE),
        "for other channels": (model(901, channels=("flow", "speed")), Rejection.OTHER_CHANNELS),
        "for the same channels in another order": (model(901, channels=CHANNELS[::-1]), Rejection.OTHER_CHANNELS),
        "other features": (spoiled(window=part("window", features=["median"])), Rejection.OTHER_FEATURES),
        "an array too many": (spoiled(arrays={**arrays, "more": np.zeros(1)}), Rejection.OTHER_ARRAYS),
        "a threshold that is no number": (spoiled(arrays={**arrays, "thresholds": thresholds}), Rejection.NOT_FINITE),
        "arrays of different lengths": (
            spoiled(arrays={**arrays, "thresholds": thresholds[1:]}), Rejection.SHAPES_DISAGREE
        ),
        "a tree that is none": (spoiled(arrays={**arrays, "splits": splits}), Rejection.BROKEN_STRUCTURE),
        "nothing to prove it": (spoiled(golden=None), Rejection.NO_GOLDEN_INPUTS),
        "scores that are not its own": (spoiled(golden=part("golden", scores=scores)), Rejection.GOLDEN_MISMATCH),
    }  # fmt: skip
