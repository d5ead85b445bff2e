"""Strict reader: data out of the bytes that `joblib.dump` writes, without a pickle machine.

It recognises a closed set of operations and three names, imports nothing, calls nothing, and checks every size before
it allocates. Whatever else stands in the bytes is refused with an `ArtifactRejected` that says what was found.
"""

from __future__ import annotations

import math
import struct
import zlib
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import numpy as np

from vedette_models.joblib_grammar import (
    ALIGNMENT,
    MAX_DIMENSIONS,
    NUMBERS,
    PROTOCOLS,
    TYPE_STATE_VERSION,
    WRAPPER_FIELDS,
    Op,
    Token,
)
from vedette_models.rejection import ArtifactRejected, Rejection

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from vedette_models.joblib_grammar import Value

MAX_BYTES = 1 << 20
"""Most bytes that are looked at."""
MAX_EXPANDED = 16 << 20
"""Most bytes they may expand to."""
MAX_OPERATIONS = 50_000
MAX_DEPTH = 6
MAX_TEXT = 4096

_ZLIB, _PLAIN = 0x78, Op.PROTO
_LONGEST = 8
_UINT2, _UINT4, _INT4, _FLOAT8 = struct.Struct("<H"), struct.Struct("<I"), struct.Struct("<i"), struct.Struct(">d")
_PLAIN_TYPES = (int, str, type(None))
"""What can be compared without asking an array."""
_TYPE_STATES = tuple((TYPE_STATE_VERSION, order, None, None, None, -1, -1, 0) for order in ("<", "|"))


class _Mark:
    """Where the items of a container begin."""


class _Wrapper:
    """An array that has been announced, but not described."""


class _Type(NamedTuple):
    """The type of an array's elements."""

    code: str


_MARK, _WRAPPER = _Mark(), _Wrapper()
_REPEATABLE = (str, _Type, Token)
"""What costs nothing to stand there more than once."""


def read(data: bytes) -> Value:
    """The value in `data`, as `joblib.load` would return it if `data` holds nothing but data.

    Raises:
        ArtifactRejected: `reason` says why; never another exception, whatever the bytes.
    """
    machine = _Machine(expand(data))
    try:
        value = machine.run()
    except UnicodeDecodeError as error:
        raise ArtifactRejected(Rejection.MALFORMED, f"a string is not UTF-8: {error}") from error
    return value


def expand(data: bytes) -> bytes:
    """The plain stream in `data`, which is a zlib stream, or plain already.

    Raises:
        ArtifactRejected: TOO_LARGE, UNKNOWN_CONTAINER, CORRUPT, TRUNCATED, TRAILING_DATA or EXPANDS_TOO_FAR.
    """
    if len(data) > MAX_BYTES:
        raise ArtifactRejected(Rejection.TOO_LARGE, f"{len(data)} bytes, at most {MAX_BYTES}")
    first = data[0] if data else None
    if first == _PLAIN:
        return data
    if first != _ZLIB:
        raise ArtifactRejected(
            Rejection.UNKNOWN_CONTAINER, f"it begins with {bytes(data[:2])!r}, neither zlib nor a plain stream"
        )
    decompressor = zlib.decompressobj()
    try:
        expanded = decompressor.decompress(data, MAX_EXPANDED + 1)
    except zlib.error as error:
        raise ArtifactRejected(Rejection.CORRUPT, str(error)) from error
    if len(expanded) > MAX_EXPANDED:
        raise ArtifactRejected(Rejection.EXPANDS_TOO_FAR, f"{len(data)} bytes expand to more than {MAX_EXPANDED}")
    if not decompressor.eof:
        raise ArtifactRejected(Rejection.TRUNCATED, "the compressed stream ends too early")
    if decompressor.unused_data:
        raise ArtifactRejected(
            Rejection.TRAILING_DATA, f"{len(decompressor.unused_data)} bytes follow the compressed stream"
        )
    return expanded


class _Machine:
    """Reads operations one after the other. What it builds is a tree: containers cannot be used twice."""

    def __init__(self, stream: bytes) -> None:
        self._stream = stream
        self._end = len(stream)
        self._position = 0
        self._stack: list[Any] = []
        self._memo: list[Any] = []

    def run(self) -> Value:
        push = self._stack.append
        steps: dict[int, Callable[[], None]] = {
            Op.PROTO: self._protocol,
            Op.FRAME: lambda: self._skip(8),
            Op.SHORT_BINUNICODE: lambda: self._text(self._byte()),
            Op.BINUNICODE: lambda: self._text(self._unpack(_UINT4)),
            Op.BININT1: lambda: push(self._byte()),
            Op.BININT2: lambda: push(self._unpack(_UINT2)),
            Op.BININT: lambda: push(self._unpack(_INT4)),
            Op.BINFLOAT: lambda: push(self._unpack(_FLOAT8)),
            Op.LONG1: self._long,
            Op.NONE: lambda: push(None),
            Op.NEWTRUE: lambda: push(True),
            Op.NEWFALSE: lambda: push(False),
            Op.MARK: lambda: push(_MARK),
            Op.EMPTY_DICT: lambda: push({}),
            Op.EMPTY_LIST: lambda: push([]),
            Op.EMPTY_TUPLE: lambda: push(()),
            Op.TUPLE1: lambda: push(tuple(self._pop(1))),
            Op.TUPLE2: lambda: push(tuple(self._pop(2))),
            Op.TUPLE3: lambda: push(tuple(self._pop(3))),
            Op.TUPLE: lambda: push(tuple(self._pop_to_mark())),
            Op.APPEND: lambda: self._extend(self._pop(1)),
            Op.APPENDS: lambda: self._extend(self._pop_to_mark()),
            Op.SETITEM: lambda: self._set_items(self._pop(2)),
            Op.SETITEMS: lambda: self._set_items(self._pop_to_mark()),
            Op.MEMOIZE: lambda: self._memo.append(self._top()),
            Op.BINGET: lambda: self._recall(self._byte()),
            Op.LONG_BINGET: lambda: self._recall(self._unpack(_UINT4)),
            Op.STACK_GLOBAL: lambda: self._name(*self._pop(2)),
            Op.NEWOBJ: lambda: self._new_object(*self._pop(2)),
            Op.REDUCE: lambda: self._reduce(*self._pop(2)),
            Op.BUILD: lambda: self._build(self._pop(1)[0]),
        }
        stop = int(Op.STOP)
        for _ in range(MAX_OPERATIONS):
            place = self._position
            if place == self._end:
                raise ArtifactRejected(Rejection.TRUNCATED, f"it ends after {place} bytes")
            code = self._stream[place]
            self._position = place + 1
            if code == stop:
                return self._finished()
            step = steps.get(code)
            if step is None:
                raise ArtifactRejected(Rejection.FORBIDDEN_OPERATION, f"operation 0x{code:02x} at byte {place}")
            step()
        raise ArtifactRejected(Rejection.TOO_MANY_OPERATIONS, f"more than {MAX_OPERATIONS} operations")

    def _malformed(self, what: str) -> NoReturn:
        raise ArtifactRejected(Rejection.MALFORMED, f"{what}, before byte {self._position}")

    # Bytes.

    def _take(self, count: int) -> bytes:
        end = self._position + count
        if end > self._end:
            raise ArtifactRejected(Rejection.TRUNCATED, f"{count} bytes wanted at byte {self._position} of {self._end}")
        taken = self._stream[self._position : end]
        self._position = end
        return taken

    def _byte(self) -> int:
        if self._position == self._end:
            raise ArtifactRejected(Rejection.TRUNCATED, f"it ends after {self._position} bytes")
        byte = self._stream[self._position]
        self._position += 1
        return byte

    def _skip(self, count: int) -> None:
        self._take(count)

    def _unpack(self, form: struct.Struct) -> Any:
        return form.unpack(self._take(form.size))[0]

    def _protocol(self) -> None:
        if self._position != 1 or self._byte() not in PROTOCOLS:
            self._malformed(f"a protocol other than {PROTOCOLS} at the beginning")

    def _text(self, length: int) -> None:
        if length > MAX_TEXT:
            raise ArtifactRejected(Rejection.LONG_TEXT, f"a string of {length} bytes, at most {MAX_TEXT}")
        self._stack.append(self._take(length).decode())

    def _long(self) -> None:
        length = self._byte()
        if length > _LONGEST:
            self._malformed(f"an integer of {length} bytes, at most {_LONGEST}")
        self._push(int.from_bytes(self._take(length), "little", signed=True))

    # The stack.

    def _push(self, item: Any) -> None:
        self._stack.append(item)

    def _top(self) -> Any:
        if not self._stack:
            self._malformed("nothing to work on")
        return self._stack[-1]

    def _pop(self, count: int) -> list[Any]:
        items = self._stack[-count:]
        if len(items) < count or any(item is _MARK for item in items):
            self._malformed(f"{count} items needed, fewer there")
        del self._stack[-count:]
        return items

    def _pop_to_mark(self) -> list[Any]:
        place = len(self._stack) - 1
        while place >= 0 and self._stack[place] is not _MARK:
            place -= 1
        if place < 0:
            self._malformed("items without a beginning")
        items = self._stack[place + 1 :]
        del self._stack[place:]
        return items

    def _recall(self, place: int) -> None:
        if place >= len(self._memo):
            self._malformed(f"item {place} of {len(self._memo)} remembered ones")
        item = self._memo[place]
        if type(item) not in _REPEATABLE:
            self._malformed(f"a {type(item).__name__} used twice")  # else a few bytes could stand for gigabytes
        self._stack.append(item)

    def _extend(self, items: list[Any]) -> None:
        target = self._top()
        if type(target) is not list:
            self._malformed(f"items appended to a {type(target).__name__}")
        target.extend(items)

    def _set_items(self, items: list[Any]) -> None:
        target = self._top()
        if type(target) is not dict or len(items) % 2:
            self._malformed(f"{len(items)} items set in a {type(target).__name__}")
        for key, value in zip(items[::2], items[1::2], strict=True):
            if type(key) is not str:
                self._malformed(f"a key that is a {type(key).__name__}, not a string")
            if key in target:
                self._malformed(f'key "{key[:64]}" twice')
            target[key] = value

    def _finished(self) -> Value:
        if self._position != self._end:
            raise ArtifactRejected(
                Rejection.TRAILING_DATA, f"{self._end - self._position} bytes follow the end of the data"
            )
        if len(self._stack) != 1:
            self._malformed(f"{len(self._stack)} values instead of one")
        value: Value = self._stack[0]
        _check_data(value, MAX_DEPTH)
        return value

    def _name(self, module: Any, name: Any) -> None:
        if type(module) is not str or type(name) is not str:
            self._malformed("a name that is no text")
        try:
            self._push(Token((module, name)))
        except ValueError as error:
            raise ArtifactRejected(Rejection.FORBIDDEN_NAME, f'"{module[:64]}.{name[:64]}"') from error

    # Arrays: a wrapper is announced, described by a dict, and replaced by the array whose bytes follow.

    def _new_object(self, kind: Any, arguments: Any) -> None:
        if kind is not Token.WRAPPER or type(arguments) is not tuple or arguments:
            self._malformed("an object that is no array")
        self._push(_WRAPPER)

    def _reduce(self, kind: Any, arguments: Any) -> None:
        if kind is not Token.TYPE:
            raise ArtifactRejected(Rejection.FORBIDDEN_OPERATION, f"a call, before byte {self._position}")
        match arguments:
            case (str(code), False, True) if code in NUMBERS:
                self._push(_Type(code))
            case (str(code), *_):
                raise ArtifactRejected(Rejection.FORBIDDEN_TYPE, f'elements of type "{code[:64]}"')
            case _:
                raise ArtifactRejected(Rejection.FORBIDDEN_TYPE, "elements of no type")

    def _build(self, state: Any) -> None:
        target = self._top()
        if target is _WRAPPER:
            self._stack[-1] = self._array(state)
        elif isinstance(target, _Type):
            plain = type(state) is tuple and all(type(item) in _PLAIN_TYPES for item in state)
            if not plain or state not in _TYPE_STATES:
                raise ArtifactRejected(Rejection.FORBIDDEN_TYPE, "elements that are not little-endian numbers")
        else:
            raise ArtifactRejected(
                Rejection.FORBIDDEN_OPERATION, f"a {type(target).__name__} given a state, before byte {self._position}"
            )

    def _array(self, state: Any) -> NDArray[Any]:
        if type(state) is not dict or sorted(state) != sorted(WRAPPER_FIELDS):
            self._malformed("an array without a full description")
        kind, order, alignment = state["dtype"], state["order"], state["numpy_array_alignment_bytes"]
        ordinary = type(order) is str and order in ("C", "F") and type(alignment) is int and alignment == ALIGNMENT
        if state["subclass"] is not Token.ARRAY or not ordinary:
            self._malformed("an array of a kind that joblib does not write")
        if not isinstance(kind, _Type):
            raise ArtifactRejected(Rejection.FORBIDDEN_TYPE, "an array without an element type")
        dtype = np.dtype(f"<{kind.code}")
        self._skip(self._byte())
        shape = self._shape(state["shape"], dtype.itemsize)
        array: NDArray[Any] = np.frombuffer(self._take(math.prod(shape) * dtype.itemsize), dtype)
        return array.reshape(shape[::-1]).T if order == "F" else array.reshape(shape)

    def _shape(self, shape: Any, itemsize: int) -> tuple[int, ...]:
        """A shape that needs no more bytes than are left."""
        if type(shape) is not tuple or len(shape) > MAX_DIMENSIONS:
            raise ArtifactRejected(Rejection.BAD_SHAPE, f"a shape is a tuple of at most {MAX_DIMENSIONS} lengths")
        if any(type(length) is not int or not 0 <= length <= MAX_EXPANDED for length in shape):
            raise ArtifactRejected(Rejection.BAD_SHAPE, f"a length is 0 to {MAX_EXPANDED}")
        left = self._end - self._position
        if math.prod(shape) * itemsize > left:
            raise ArtifactRejected(Rejection.BAD_SHAPE, f"{shape} elements of {itemsize} bytes, {left} bytes are left")
        return shape


def _check_data(value: Any, depth: int) -> None:
    """Nothing but data is left, and no deeper than `depth` containers."""
    match value:
        case None | bool() | int() | float() | str() | np.ndarray():
            return
        case _Type() | Token() | _Mark() | _Wrapper():
            raise ArtifactRejected(Rejection.MALFORMED, "a name or a type where data should be")
        case dict():
            items = value.values()
        case _:
            items = value
    if depth == 0:
        raise ArtifactRejected(Rejection.TOO_DEEP, f"containers nested more than {MAX_DEPTH} deep")
    for item in items:
        _check_data(item, depth - 1)
