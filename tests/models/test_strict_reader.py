"""The strict reader: all data comes back, nothing else is taken, nothing is executed, nothing grows."""

from __future__ import annotations

import os
import pickle
import struct
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from vedette_models.joblib_grammar import NUMBERS
from vedette_models.rejection import ArtifactRejected, Rejection
from vedette_models.strict_reader import MAX_BYTES, MAX_DEPTH, MAX_EXPANDED, MAX_OPERATIONS, MAX_TEXT, expand, read
from vedette_models.strict_writer import write

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
numbers = st.one_of(
    st.sampled_from([np.dtype(f"<{code}") for code in NUMBERS]).flatmap(
        lambda dtype: arrays.arrays(dtype, arrays.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=3))
    )
)
leaves = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False), texts, numbers
)
values = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.lists(inner, max_size=4).map(tuple), st.dictionaries(texts, inner, max_size=4)
    ),
    max_leaves=12,
)
bounded = settings(max_examples=150, deadline=None, derandomize=True)


def same(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray):
        return isinstance(b, np.ndarray) and a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if isinstance(a, dict):
        return isinstance(b, dict) and list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and bool(a == b)


def deep(value: Any) -> int:
    if isinstance(value, dict):
        value = list(value.values())
    return 1 + max(map(deep, value), default=0) if isinstance(value, list | tuple) else 0


@bounded
@given(values)
def test_what_is_written_is_read(value: Any) -> None:
    if deep(value) <= MAX_DEPTH:
        assert same(read(write(value)), value)
        assert same(read(zlib.decompress(write(value))), value), "a plain stream is taken too"
        assert write(value) == write(value)


def test_arrays_that_are_read_cannot_be_changed() -> None:
    array = read(write({"a": np.arange(3.0)}))["a"]  # type: ignore[index, call-overload]  # it is a dict
    assert not array.flags.writeable


@pytest.mark.parametrize(
    "value",
    [
        {1: "a"},
        {"a": b"bytes"},
        {"a": {1, 2}},
        {"a": object()},
        {"a": np.float64(1.0)},
        {"a": np.array([None])},
        {"a": np.array(["text"])},
        {"a": np.array([1j])},
        {"a": np.array(["2026-01-01"], "M8[s]")},
        {"a": np.array([(1, 2.0)], "i4,f8")},
    ],
)
def test_what_is_no_data_is_not_written(value: Any) -> None:
    with pytest.raises(TypeError):
        write(value)


@pytest.mark.parametrize("value", [{"a": 2**63}, {"a": np.zeros((1, 1, 1, 1, 1))}])
def test_what_is_too_large_is_not_written(value: Any) -> None:
    with pytest.raises(ValueError, match=r"more than 64 bits|dimensions"):
        write(value)


class Payload:
    """An object whose pickle runs a command."""

    def __init__(self, command: tuple[Callable[..., Any], tuple[Any, ...]]) -> None:
        self.command = command

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.command


class Plain:
    """An object that a pickle would make and fill."""

    def __init__(self) -> None:
        self.field = 1


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("packed", [True, False])
def test_a_pickle_that_would_run_a_command_does_not(tmp_path: Path, protocol: int, packed: bool) -> None:
    proof = tmp_path / "executed"
    plain = pickle.dumps({"format": 1, "arrays": Payload((os.system, (f"touch {proof}",)))}, protocol)
    with pytest.raises(ArtifactRejected) as refused:
        read(zlib.compress(plain) if packed else plain)
    assert not proof.exists()
    if protocol >= 4:
        assert refused.value.reason is Rejection.FORBIDDEN_NAME
    pickle.loads(plain)
    assert proof.exists(), "the pickle is as dangerous as it is meant to be"


def inside(*operations: bytes) -> bytes:
    """A plain stream of these operations."""
    return b"\x80\x04" + b"".join(operations) + b"."


def text(value: str) -> bytes:
    return b"\x8c" + bytes([len(value)]) + value.encode()


def name(module: str, attribute: str) -> bytes:
    return text(module) + text(attribute) + b"\x93"


NONE = b"N"
ARRAY = zlib.decompress(write(np.arange(4.0)))
"""A stream with one array of 32 bytes."""
SMALL = zlib.decompress(write({"a": [1, 2.5, "x"], "b": np.arange(4.0)}))


def changed(old: bytes, new: bytes) -> bytes:
    """The stream with the array, with something replaced exactly once."""
    assert ARRAY.count(old) == 1
    return ARRAY.replace(old, new)


def with_type(code: str) -> bytes:
    return changed(b"X\x02\x00\x00\x00f8", b"X" + struct.pack("<I", len(code)) + code.encode())


def with_shape(*shape: int) -> bytes:
    lengths = b"".join(b"\x8a\x08" + struct.pack("<q", length) for length in shape)
    return changed(b"(K\x04t", b"(" + lengths + b"t")


OBJECTS = with_type("O8")[:-33] + pickle.dumps(Payload((os.system, ("exit 1",)))) + b"."
"""What `joblib` reads as an array of objects: a second pickle behind the description."""

HOSTILE: dict[str, tuple[bytes, Rejection]] = {
    "nothing": (b"", Rejection.UNKNOWN_CONTAINER),
    "something else": (b"PK\x03\x04", Rejection.UNKNOWN_CONTAINER),
    "gzip": (b"\x1f\x8b\x08\x00", Rejection.UNKNOWN_CONTAINER),
    "too many bytes": (b"\x80" * (MAX_BYTES + 1), Rejection.TOO_LARGE),
    "a bomb": (zlib.compress(b"\x80\x04" + bytes(MAX_EXPANDED)), Rejection.EXPANDS_TOO_FAR),
    "damaged": (b"\x78\x9c" + b"\xff" * 40, Rejection.CORRUPT),
    "a flipped checksum": (zlib.compress(SMALL)[:-1] + b"\x00", Rejection.CORRUPT),
    "truncated, packed": (zlib.compress(SMALL)[:-5], Rejection.TRUNCATED),
    "truncated, plain": (SMALL[:-1], Rejection.TRUNCATED),
    "truncated in an array": (ARRAY[:-9], Rejection.BAD_SHAPE),
    "trailing bytes, packed": (zlib.compress(SMALL) + b"x", Rejection.TRAILING_DATA),
    "a second stream": (zlib.compress(SMALL) * 2, Rejection.TRAILING_DATA),
    "trailing bytes, plain": (SMALL + b"\x00", Rejection.TRAILING_DATA),
    "an old protocol": (b"\x80\x02}.", Rejection.MALFORMED),
    "a protocol in the middle": (inside(b"\x80\x04", NONE), Rejection.MALFORMED),
    "a command": (inside(name("posix", "system"), text("id"), b"\x85R"), Rejection.FORBIDDEN_NAME),
    "a name in one operation": (inside(b"cposix\nsystem\n"), Rejection.FORBIDDEN_OPERATION),
    "numpy's own runner": (inside(name("numpy.testing", "runstring")), Rejection.FORBIDDEN_NAME),
    "a name that looks like ours": (inside(name("numpy", "ndarray.__class__")), Rejection.FORBIDDEN_NAME),
    "a number for a name": (inside(b"K\x01K\x02\x93"), Rejection.MALFORMED),
    "a call of ndarray": (inside(name("numpy", "ndarray"), b")R"), Rejection.FORBIDDEN_OPERATION),
    "a call of a string": (inside(text("os"), b")R"), Rejection.FORBIDDEN_OPERATION),
    "an object of a class": (pickle.dumps(Plain(), 4), Rejection.FORBIDDEN_NAME),
    "an ndarray made": (inside(name("numpy", "ndarray"), b")\x81"), Rejection.MALFORMED),
    "a state for a dict": (inside(b"}", b"}", b"b"), Rejection.FORBIDDEN_OPERATION),
    "an object with keywords": (inside(name("numpy", "ndarray"), b")}\x92"), Rejection.FORBIDDEN_OPERATION),
    "a persistent id": (inside(text("x"), b"Q"), Rejection.FORBIDDEN_OPERATION),
    "a registered extension": (inside(b"\x82\x01"), Rejection.FORBIDDEN_OPERATION),
    "bytes": (inside(b"C\x01x"), Rejection.FORBIDDEN_OPERATION),
    "a set": (inside(b"\x8f"), Rejection.FORBIDDEN_OPERATION),
    "a buffer from outside": (inside(b"\x97"), Rejection.FORBIDDEN_OPERATION),
    "an array of objects with a pickle inside": (OBJECTS, Rejection.FORBIDDEN_TYPE),
    "an array of strings": (with_type("U8"), Rejection.FORBIDDEN_TYPE),
    "an array of records": (with_type("V8"), Rejection.FORBIDDEN_TYPE),
    "an array of times": (with_type("M8"), Rejection.FORBIDDEN_TYPE),
    "an array of long doubles": (with_type("f16"), Rejection.FORBIDDEN_TYPE),
    "a big-endian array": (changed(b"X\x01\x00\x00\x00<", b"X\x01\x00\x00\x00>"), Rejection.FORBIDDEN_TYPE),
    "a huge shape": (with_shape(2**40), Rejection.BAD_SHAPE),
    "a shape whose product overflows": (with_shape(2**32, 2**32), Rejection.BAD_SHAPE),
    "a huge empty shape": (with_shape(2**60, 0), Rejection.BAD_SHAPE),
    "more than there is": (with_shape(5), Rejection.BAD_SHAPE),
    "less than there is": (with_shape(3), Rejection.FORBIDDEN_OPERATION),
    "a negative shape": (with_shape(-4), Rejection.BAD_SHAPE),
    "five dimensions": (with_shape(1, 1, 1, 1, 4), Rejection.BAD_SHAPE),
    "a shape of text": (changed(b"(K\x04t", text("4")), Rejection.BAD_SHAPE),
    "a subclass of the array": (
        changed(b"numpy" + b"X\x07\x00\x00\x00ndarray", b"numpy" + b"X\x08\x00\x00\x00memmap__"),
        Rejection.FORBIDDEN_NAME,
    ),
    "a wrapper that is never described": (
        inside(name("joblib.numpy_pickle", "NumpyArrayWrapper"), b")\x81"),
        Rejection.MALFORMED,
    ),
    "a wrapper described by a list": (
        inside(name("joblib.numpy_pickle", "NumpyArrayWrapper"), b")\x81", b"]", b"b"),
        Rejection.MALFORMED,
    ),
    "a name as data": (inside(name("numpy", "dtype")), Rejection.MALFORMED),
    "a name hidden in a list": (inside(b"]", name("numpy", "dtype"), b"a"), Rejection.MALFORMED),
    "too deep": (inside(b"]" * (MAX_DEPTH + 2), b"a" * (MAX_DEPTH + 1)), Rejection.TOO_DEEP),
    "very much too deep": (inside(b"]" * 20_000, b"a" * 19_999), Rejection.TOO_DEEP),
    "a list in itself": (inside(b"]\x94", b"h\x00", b"a"), Rejection.MALFORMED),
    "a list used twice": (inside(b"]\x94", b"h\x00", b"\x86"), Rejection.MALFORMED),
    "something thrown away": (inside(b"N0"), Rejection.FORBIDDEN_OPERATION),
    "endless operations": (inside(b"N" * (MAX_OPERATIONS + 1)), Rejection.TOO_MANY_OPERATIONS),
    "a long string": (inside(b"X" + struct.pack("<I", MAX_TEXT + 1), b"a" * (MAX_TEXT + 1)), Rejection.LONG_TEXT),
    "a string that claims gigabytes": (inside(b"X\xff\xff\xff\xff"), Rejection.LONG_TEXT),
    "a string that is not UTF-8": (inside(b"\x8c\x01\xff"), Rejection.MALFORMED),
    "a giant integer": (inside(b"\x8a\xff", b"\x01" * 255), Rejection.MALFORMED),
    "a number as key": (inside(b"}K\x01Ns"), Rejection.MALFORMED),
    "a key twice": (inside(b"}(", text("a"), NONE, text("a"), NONE, b"u"), Rejection.MALFORMED),
    "a key without a value": (inside(b"}(", text("a"), b"u"), Rejection.MALFORMED),
    "items for a number": (inside(b"K\x01(Ne"), Rejection.MALFORMED),
    "items without a beginning": (inside(b"]Ne"), Rejection.MALFORMED),
    "nothing to work on": (inside(b"a"), Rejection.MALFORMED),
    "nothing to remember": (inside(b"\x94"), Rejection.MALFORMED),
    "something never remembered": (inside(b"h\x07"), Rejection.MALFORMED),
    "two values": (inside(NONE, NONE), Rejection.MALFORMED),
    "no value": (inside(), Rejection.MALFORMED),
    "a mark as value": (inside(b"("), Rejection.MALFORMED),
}


@pytest.mark.parametrize("attack", HOSTILE)
def test_what_is_not_data_is_refused_with_its_reason(attack: str) -> None:
    data, reason = HOSTILE[attack]
    with pytest.raises(ArtifactRejected) as refused:
        read(data)
    assert refused.value.reason is reason
    assert str(refused.value).startswith(reason)
    assert len(str(refused.value)) < 300


def test_the_streams_that_were_changed_are_fine_when_left_alone() -> None:
    assert same(read(ARRAY), np.arange(4.0))
    assert same(read(with_shape(2, 2)), np.arange(4.0).reshape(2, 2))
    assert same(read(inside(b"]" * MAX_DEPTH, b"a" * (MAX_DEPTH - 1))), [[[[[[]]]]]])


@pytest.mark.parametrize("attack", ["a bomb", "endless operations", "a huge shape", "very much too deep"])
def test_refusing_needs_little_memory(attack: str) -> None:
    data, _ = HOSTILE[attack]
    tracemalloc.start()
    try:
        with pytest.raises(ArtifactRejected):
            read(data)
        assert tracemalloc.get_traced_memory()[1] < 3 * MAX_EXPANDED
    finally:
        tracemalloc.stop()


@bounded
@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    for stream in (data, b"\x80\x04" + data, zlib.compress(b"\x80\x04" + data)):
        try:
            read(stream)
        except ArtifactRejected:
            continue


@bounded
@given(st.binary(max_size=100))
def test_any_container_is_expanded_or_refused(data: bytes) -> None:
    for stream in (data, b"\x78\x9c" + data, b"\x78\xda" + data):
        try:
            assert len(expand(stream)) <= MAX_EXPANDED
        except ArtifactRejected:
            continue
