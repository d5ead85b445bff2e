"""Strict writer: values to the bytes that `joblib.dump(value, file, compress=("zlib", 9))` stands for.

The gateway has no joblib and the hub need not use it: the bytes depend only on the values, not on the release of a
library, so the same model has the same SHA-256. `joblib.load` gives the values back, and so does the strict reader.
"""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

from vedette_models.joblib_grammar import ALIGNMENT, MAX_DIMENSIONS, NUMBERS, TYPE_STATE_VERSION, Op, Token

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from vedette_models.joblib_grammar import Value

_PROTOCOL = 4
_LEVEL = 9
_LONGEST = 8
"""Bytes of an integer."""


def write(value: Value) -> bytes:
    """The compressed bytes of a value.

    Raises:
        TypeError: something that is no dict with string keys, list, tuple, string, number, None or numeric array.
        ValueError: an integer of more than 64 bits, or an array of more than 4 dimensions.
    """
    stream = _Stream()
    stream.value(value)
    return zlib.compress(stream.end(), _LEVEL)


class _Stream:
    """Operations one after the other. What every array repeats is written once and then referred to."""

    def __init__(self) -> None:
        self._bytes = bytearray([Op.PROTO, _PROTOCOL])
        self._places: dict[str | Token, int] = {}

    def end(self) -> bytes:
        self._bytes.append(Op.STOP)
        return bytes(self._bytes)

    def value(self, value: Value) -> None:
        match value:
            case None:
                self._bytes.append(Op.NONE)
            case bool():
                self._bytes.append(Op.NEWTRUE if value else Op.NEWFALSE)
            case np.ndarray():
                self._array(value)
            case np.generic():
                raise TypeError(f"{type(value).__name__} is numpy's: turn it into a Python number first")
            case int():
                self._integer(value)
            case float():
                self._bytes += struct.pack(">Bd", Op.BINFLOAT, value)
            case str():
                self._text(value)
            case list():
                self._bytes += bytes([Op.EMPTY_LIST, Op.MARK])
                for item in value:
                    self.value(item)
                self._bytes.append(Op.APPENDS)
            case tuple():
                self._tuple(value)
            case dict():
                self._dict(value)
            case _:
                raise TypeError(f"{type(value).__name__} is no data: use dicts, lists, strings, numbers and arrays")

    def _integer(self, value: int) -> None:
        if 0 <= value < 1 << 8:
            self._bytes += bytes([Op.BININT1, value])
        elif -(1 << 31) <= value < 1 << 31:
            self._bytes += struct.pack("<Bi", Op.BININT, value)
        else:
            length = (value + (value < 0)).bit_length() // 8 + 1  # the sign takes a bit
            if length > _LONGEST:
                raise ValueError(f"{value} has more than 64 bits")
            self._bytes += bytes([Op.LONG1, length]) + value.to_bytes(length, "little", signed=True)

    def _text(self, value: str) -> None:
        encoded = value.encode()
        self._bytes += struct.pack("<BI", Op.BINUNICODE, len(encoded)) + encoded

    def _tuple(self, value: tuple[Value, ...]) -> None:
        if not value:
            self._bytes.append(Op.EMPTY_TUPLE)
            return
        self._bytes.append(Op.MARK)
        for item in value:
            self.value(item)
        self._bytes.append(Op.TUPLE)

    def _dict(self, value: Mapping[str, Value]) -> None:
        self._bytes += bytes([Op.EMPTY_DICT, Op.MARK])
        for key, item in value.items():
            if type(key) is not str:
                raise TypeError(f"keys are strings, {key!r} is a {type(key).__name__}")
            self._text(key)
            self.value(item)
        self._bytes.append(Op.SETITEMS)

    def _once(self, key: str | Token, write: Callable[[], None]) -> None:
        """Write what `key` stands for, or refer to where it has been written; there are far fewer than 256 keys."""
        if key in self._places:
            self._bytes += bytes([Op.BINGET, self._places[key]])
            return
        write()
        self._bytes.append(Op.MEMOIZE)
        self._places[key] = len(self._places)

    def _word(self, word: str) -> None:
        self._once(f"word {word}", lambda: self._text(word))

    def _token(self, token: Token) -> None:
        self._once(token, lambda: self._name(token))

    def _name(self, token: Token) -> None:
        for part in token.value:
            self._text(part)
        self._bytes.append(Op.STACK_GLOBAL)

    def _array(self, array: NDArray[Any]) -> None:
        code = array.dtype.str[1:]
        if code not in NUMBERS:
            raise TypeError(f"an array of {array.dtype} is no data: use floats, integers or booleans")
        if array.ndim > MAX_DIMENSIONS:
            raise ValueError(f"an array of {array.ndim} dimensions, at most {MAX_DIMENSIONS}")
        self._token(Token.WRAPPER)
        self._bytes += bytes([Op.EMPTY_TUPLE, Op.NEWOBJ, Op.EMPTY_DICT, Op.MARK])
        self._word("subclass")
        self._token(Token.ARRAY)
        self._word("shape")
        self._tuple(array.shape)
        self._word("order")
        self._word("C")
        self._word("dtype")
        self._once(f"type {code}", lambda: self._type(code))
        self._word("allow_mmap")
        self.value(False)
        self._word("numpy_array_alignment_bytes")
        self._integer(ALIGNMENT)
        self._bytes += bytes([Op.SETITEMS, Op.BUILD])
        padding = ALIGNMENT - (len(self._bytes) + 1) % ALIGNMENT
        self._bytes.append(padding)
        self._bytes += b"\xff" * padding
        self._bytes += array.astype(f"<{code}", copy=False).tobytes("C")

    def _type(self, code: str) -> None:
        self._token(Token.TYPE)
        self._tuple((code, False, True))
        self._bytes.append(Op.REDUCE)
        order = "|" if code[1:] == "1" else "<"
        self._tuple((TYPE_STATE_VERSION, order, None, None, None, -1, -1, 0))
        self._bytes.append(Op.BUILD)
