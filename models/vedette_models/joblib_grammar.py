"""The part of joblib's file format that data needs: which operations, which names, which types.

A file written by `joblib.dump` is a pickle stream in which each numpy array is followed by its raw bytes. A pickle
stream is a program for a small stack machine that can import and call anything. What follows is the closed set that
describes dicts with string keys, lists, tuples, strings, numbers and numeric arrays; nothing else is read or written.
"""

from __future__ import annotations

from enum import Enum, IntEnum
from typing import TYPE_CHECKING, Union

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray

Value = Union[None, bool, int, float, str, list["Value"], tuple["Value", ...], dict[str, "Value"], "NDArray[Any]"]
"""What a file can say."""


class Op(IntEnum):
    """Operations, as in Python's `pickletools`."""

    MARK = 0x28
    EMPTY_TUPLE = 0x29
    STOP = 0x2E
    BINFLOAT = 0x47
    BININT = 0x4A
    BININT1 = 0x4B
    BININT2 = 0x4D
    NONE = 0x4E
    REDUCE = 0x52
    BINUNICODE = 0x58
    EMPTY_LIST = 0x5D
    APPEND = 0x61
    BUILD = 0x62
    APPENDS = 0x65
    BINGET = 0x68
    LONG_BINGET = 0x6A
    SETITEM = 0x73
    TUPLE = 0x74
    SETITEMS = 0x75
    EMPTY_DICT = 0x7D
    PROTO = 0x80
    NEWOBJ = 0x81
    TUPLE1 = 0x85
    TUPLE2 = 0x86
    TUPLE3 = 0x87
    NEWTRUE = 0x88
    NEWFALSE = 0x89
    LONG1 = 0x8A
    SHORT_BINUNICODE = 0x8C
    STACK_GLOBAL = 0x93
    MEMOIZE = 0x94
    FRAME = 0x95


class Token(Enum):
    """The names a file may contain. They are recognised as text: nothing is ever imported for them."""

    WRAPPER = ("joblib.numpy_pickle", "NumpyArrayWrapper")
    ARRAY = ("numpy", "ndarray")
    TYPE = ("numpy", "dtype")


NUMBERS = ("f8", "f4", "f2", "i8", "i4", "i2", "i1", "u8", "u4", "u2", "u1", "b1")
"""Types of an array's elements: floats, integers and booleans, always little-endian."""
WRAPPER_FIELDS = ("subclass", "shape", "order", "dtype", "allow_mmap", "numpy_array_alignment_bytes")
"""What is said of an array before its bytes."""
ALIGNMENT = 16
"""An array's bytes begin at a multiple of this; before them stand the length of the padding and the padding."""
TYPE_STATE_VERSION = 3
PROTOCOLS = (4, 5)
MAX_DIMENSIONS = 4
