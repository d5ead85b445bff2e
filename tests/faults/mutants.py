"""Mutants: what valid artefacts become when something that they consist of is changed, knowing what it consists of.

Operations, lengths, types, shapes, counts, values, keys, texts and nesting are changed, in the expanded stream, in the
data that it stands for, and in the compressed layer. The same number always gives the same mutant.
"""

from __future__ import annotations

import random
import struct
import zlib
from typing import Any, NamedTuple

import numpy as np

from vedette_models import strict_reader, strict_writer
from vedette_models.joblib_grammar import NUMBERS, Op

INTEGERS = (0, 1, 2, 3, 5, 7, 12, 16, 127, 255, 256, 4096, 65_536, 2**20, 2**31 - 1, -1, -2, -(2**31))
FLOATS = (0.0, -0.0, 1.0, -1.0, 0.5, 1e-300, 5e-324, 1e9, -1e9, 1e100, 1e308, -1e308, float("nan"), float("inf"))
TEXTS = (
    b"", b"f8", b"f4", b"f2", b"i8", b"i4", b"u1", b"u8", b"b1", b"O8", b"V8", b"U4", b"M8", b"f16", b"c16", b"<", b">",
    b"C", b"F", b"os", b"posix", b"system", b"builtins", b"eval", b"exec", b"numpy", b"ndarray", b"dtype", b"runstring",
    b"numpy.testing", b"joblib.numpy_pickle", b"NumpyArrayWrapper", b"isolation_forest", b"lof", b"one_class_svm",
    b"ensemble", b"forecast", b"mahalanobis", b"rangebreak", b"mean", b"__class__", b"__reduce__", b"\xff\xfe",
    "ä".encode() * 9, b"x" * 255, b"a\x00b",
)  # fmt: skip
FORBIDDEN = tuple(b"cio0QPCBUSTFI2lLVd\x82\x83\x84\x8b\x8d\x8e\x8f\x90\x91\x92\x96\x97\x98\x00\xff")
"""Operations of a pickle machine that the grammar does not have, and bytes that are none."""
CALLS = (
    b"\x8c\x05posix\x8c\x06system\x93\x8c\x02id\x85R",
    b"cposix\nsystem\n(X\x02\x00\x00\x00idtR",
    b"\x8c\x08builtins\x8c\x04eval\x93\x8c\x011\x85R",
    b"\x8c\x0dnumpy.testing\x8c\x09runstring\x93",
    b"\x8c\x05numpy\x8c\x05dtype\x93\x8c\x02O8\x89\x88\x87R",
    b")R", b")\x81", b"}b", b"h\x00)R",
)  # fmt: skip
_FIXED = {
    Op.PROTO: 1,
    Op.FRAME: 8,
    Op.BININT1: 1,
    Op.BININT2: 2,
    Op.BININT: 4,
    Op.BINFLOAT: 8,
    Op.BINGET: 1,
    Op.LONG_BINGET: 4,
}
_CODES = [bytes([op]) for op in Op]


class Part(NamedTuple):
    """One operation with what belongs to it, or the bytes of an array."""

    data: bytes
    kind: str
    """`integer`, `float`, `text`, `memo`, `array` or `operation`."""


class Base(NamedTuple):
    """A valid artefact, taken apart."""

    name: str
    stream: bytes
    parts: tuple[Part, ...]
    content: dict[str, Any]
    places: dict[str, tuple[int, ...]]
    """Of parts, by kind."""


def base_of(name: str, data: bytes) -> Base:
    """Take an artefact apart."""
    stream = strict_reader.expand(data)
    content = strict_reader.read(stream)
    assert isinstance(content, dict)
    parts = tuple(_parts(stream))
    assert b"".join(part.data for part in parts) == stream
    kinds = {part.kind for part in parts}
    places = {kind: tuple(i for i, part in enumerate(parts) if part.kind == kind) for kind in kinds}
    return Base(name, stream, parts, content, places)


class _Listener(strict_reader._Machine):
    """Reads as the reader does, and remembers where the bytes of arrays are: only it knows how long they are."""

    def __init__(self, stream: bytes) -> None:
        super().__init__(stream)
        self.ends: dict[int, int] = {}

    def _array(self, state: Any) -> Any:
        start = self._position
        array = super()._array(state)
        self.ends[start] = self._position
        return array


def _parts(stream: bytes) -> list[Part]:
    listener = _Listener(stream)
    listener.run()
    parts: list[Part] = []
    at = 0
    while at < len(stream):
        if at in listener.ends:
            end, kind = listener.ends[at], "array"
        else:
            end, kind = at + 1, "operation"
            match stream[at]:
                case Op.BINUNICODE:
                    end, kind = end + 4 + int.from_bytes(stream[end : end + 4], "little"), "text"
                case Op.SHORT_BINUNICODE:
                    end, kind = end + 1 + stream[end], "text"
                case Op.LONG1:
                    end, kind = end + 1 + stream[end], "integer"
                case code if code in _FIXED:
                    end += _FIXED[Op(code)]
                    kinds = {Op.BINFLOAT: "float", Op.BINGET: "memo", Op.LONG_BINGET: "memo"}
                    kind = kinds.get(Op(code), "operation" if code in (Op.PROTO, Op.FRAME) else "integer")
        parts.append(Part(stream[at:end], kind))
        at = end
    return parts


# ------------------------------------------------------------------ changes to the stream


def _integer(chance: random.Random) -> bytes:
    value = chance.choice(INTEGERS) if chance.random() < 0.8 else chance.randrange(-(2**63), 2**63)
    match chance.randrange(3):
        case 0 if 0 <= value < 256:
            return bytes([Op.BININT1, value])
        case 1 if -(2**31) <= value < 2**31:
            return struct.pack("<Bi", Op.BININT, value)
        case _:
            return bytes([Op.LONG1, 8]) + struct.pack("<q", value)


def _float(chance: random.Random) -> bytes:
    return struct.pack(">Bd", Op.BINFLOAT, chance.choice(FLOATS))


def _text(chance: random.Random) -> bytes:
    value = chance.choice(TEXTS)
    return struct.pack("<BI", Op.BINUNICODE, len(value)) + value


def _array_bytes(chance: random.Random, data: bytes) -> bytes:
    """Other bytes for an array, the first of which says how long the padding is."""
    pad = 1 + data[0]
    body = bytearray(data[pad:])
    if not body:
        return data + bytes([chance.randrange(256)])
    place = chance.randrange(len(body))
    match chance.randrange(7):
        case 0:
            body[place] = chance.randrange(256)
        case 1:
            body[place] ^= 1 << chance.randrange(8)
        case 2:
            place -= place % 8
            body[place : place + 8] = struct.pack("<d", chance.choice(FLOATS))[: len(body) - place]
        case 3:
            body = bytearray(bytes([chance.choice((0, 1, 0xFF, 0x7F))]) * len(body))
        case 4:
            del body[place : place + chance.choice((1, 4, 8))]
        case 5:
            body[place:place] = bytes(chance.choice((1, 4, 8, 64)))
        case _:
            return bytes([chance.randrange(256)]) + data[1:]
    return data[:pad] + bytes(body)


def _change_stream(chance: random.Random, base: Base, others: tuple[Base, ...]) -> bytes:
    parts = [part.data for part in base.parts]
    for _ in range(chance.choice((1, 1, 1, 1, 2, 3))):
        if not parts:
            break
        kind = chance.choice(("integer", "float", "text", "memo", "array", "array", "operation", "any", "any"))
        places = base.places.get(kind)
        place = chance.choice(places) if places else chance.randrange(len(base.parts))
        place = min(place, len(parts) - 1)
        data = parts[place]
        match kind:
            case "integer" if chance.random() < 0.9:
                parts[place] = _integer(chance)
            case "float" if chance.random() < 0.9:
                parts[place] = _float(chance)
            case "text" if chance.random() < 0.7:
                parts[place] = _text(chance)
            case "text":  # a length that lies
                parts[place] = data[:1] + struct.pack("<I", chance.choice((0, 1, 2**16, 2**31, 2**32 - 1))) + data[5:]
            case "memo":
                parts[place] = data[:1] + bytes([chance.randrange(24)]) + data[2:]
            case "array":
                parts[place] = _array_bytes(chance, data or b"\x00")
            case _:
                _change_order(chance, parts, place, others)
    return b"".join(parts)


def _change_order(chance: random.Random, parts: list[bytes], place: int, others: tuple[Base, ...]) -> None:
    """Operations replaced, left out, repeated, exchanged, put in, or taken from another model."""
    match chance.randrange(12):
        case 0:
            parts[place] = chance.choice(_CODES) + parts[place][1:]
        case 1:
            parts[place] = bytes([chance.choice(FORBIDDEN)]) + parts[place][1:]
        case 2:
            del parts[place : place + chance.choice((1, 1, 2, 8))]
        case 3:
            parts[place:place] = parts[place : place + chance.choice((1, 1, 2, 8, 20))]
        case 4:
            other = chance.randrange(len(parts))
            parts[place], parts[other] = parts[other], parts[place]
        case 5:
            parts.insert(place, chance.choice(_CODES))
        case 6:
            parts.insert(place, chance.choice(CALLS))
        case 7:
            source = chance.choice(others).parts
            start = chance.randrange(len(source))
            parts[place : place + chance.choice((0, 1, 8))] = [part.data for part in source[start : start + 20]]
        case 8:  # deeper
            depth = chance.choice((1, 2, 7, 300))
            parts.insert(place, chance.choice((b"]", b"}", b"(", b")")) * depth)
        case 9:
            parts.insert(place, chance.choice((_integer, _float, _text))(chance))
        case 10:
            parts.insert(place, b"\x95" + struct.pack("<Q", chance.choice((0, 8, 2**63))))
        case _:
            del parts[place:]


# -------------------------------------------------------------------- changes to the data


def _special(chance: random.Random) -> Any:
    return chance.choice((*INTEGERS, *FLOATS, None, True, False, "", "text", [], {}, (), [1], {"a": 1}, 2**53))


def _change_array(chance: random.Random, array: np.ndarray[Any, Any]) -> Any:
    match chance.randrange(12):
        case 0:
            return array.astype(f"<{chance.choice(NUMBERS)}")
        case 1:
            return array.reshape(-1)
        case 2:
            return array[: chance.randrange(len(array) + 1)] if array.ndim else array
        case 3:
            return np.concatenate([array.reshape(-1)] * chance.choice((2, 3, 50)))
        case 4:
            return array.T if array.ndim > 1 else array[::-1]
        case 5:
            return array.reshape((1,) * chance.randrange(3) + array.shape)[:4]
        case 6:
            return np.full(array.shape, chance.choice(FLOATS)).astype(array.dtype)
        case 7:
            return np.zeros(chance.choice(((), (0,), (0, 3), (1,), (1, 1), (3, 0, 2), (4096,), (300, 12))), array.dtype)
        case 8:
            return np.sort(array, axis=None).reshape(array.shape)
        case 9:
            return array.view(f"<u{array.itemsize}") if array.dtype.kind == "f" and array.flags.c_contiguous else array
        case _:
            if not array.size:
                return array
            changed = array.copy()
            value = chance.choice(FLOATS) if array.dtype.kind == "f" else chance.choice((0, 1, 2, 3, 255, 7))
            changed.reshape(-1)[chance.randrange(array.size)] = value
            return changed


def _change_dict(chance: random.Random, content: dict[str, Any]) -> dict[str, Any]:
    """The dict with something changed in it, or in something inside it."""
    changed = dict(content)
    key = chance.choice(list(changed)) if changed else "x"
    value = changed.get(key)
    match chance.randrange(8):
        case 0:
            changed.pop(key, None)
        case 1:
            changed[chance.choice(TEXTS).decode(errors="replace")] = changed.pop(key, None)
        case 2:
            changed[key] = _special(chance)
        case 3:
            changed[key] = changed[chance.choice(list(changed))] if changed else None
        case 4 if isinstance(value, list):
            changed[key] = chance.choice((value[::-1], value[1:], value * 2, value * 300, [], [None], [[*value]]))
        case 5:
            changed[key] = chance.choice(([value], {"a": value}, [[[value]]]))
        case _:
            if isinstance(value, dict) and value:
                changed[key] = _change_dict(chance, value)
            elif isinstance(value, np.ndarray):
                changed[key] = _change_array(chance, value)
            elif isinstance(value, str):
                changed[key] = chance.choice(TEXTS).decode(errors="replace")
            elif isinstance(value, int | float):
                changed[key] = chance.choice(
                    (_special(chance), value + 1, -value, value * 1.0, value * 1e6, value // 2)
                )
    return changed


def _change_data(chance: random.Random, base: Base) -> bytes:
    content = dict(base.content)
    for _ in range(chance.choice((1, 1, 1, 2))):
        part = chance.choice(("arrays", "arrays", "arrays", "golden", "parameters", "parameters", "window", ""))
        inside = content.get(part)
        if isinstance(inside, dict) and inside:
            key = chance.choice(list(inside))
            if isinstance(inside[key], np.ndarray) and chance.random() < 0.8:
                content[part] = {**inside, key: _change_array(chance, inside[key])}
            else:
                content[part] = _change_dict(chance, inside)
        elif content:
            content = _change_dict(chance, content)
    stream = strict_writer._Stream()
    stream.value(content)
    return stream.end()


# ------------------------------------------------------------- changes to the packed bytes


def _change_packed(chance: random.Random, stream: bytes) -> bytes:
    packed = bytearray(zlib.compress(stream, 1))
    place = chance.randrange(len(packed))
    match chance.randrange(8):
        case 0:
            packed[place] = chance.randrange(256)
        case 1:
            packed[place] ^= 1 << chance.randrange(8)
        case 2:
            del packed[place:]
        case 3:
            del packed[place : place + chance.choice((1, 2, 8))]
        case 4:
            packed += bytes(chance.choice((1, 8)))
        case 5:
            packed += bytes(packed)
        case 6:
            packed[:2] = chance.choice((b"\x1f\x8b", b"BZ", b"\x78\x01", b"\x78\xda", b"\x80\x04", b"", b"x"))
        case _:
            return bytes(packed)  # well packed
    return bytes(packed)


def mutant(number: int, bases: tuple[Base, ...]) -> tuple[Base, bytes]:
    """The mutant with this number, and what it was made of."""
    chance = random.Random(number)
    base = bases[number % len(bases)]
    draw = chance.random()
    if draw < 0.06:
        return base, _change_packed(chance, base.stream)
    with np.errstate(all="ignore"):
        try:
            stream = _change_data(chance, base) if draw < 0.3 else _change_stream(chance, base, bases)
        except (TypeError, ValueError, OverflowError):  # what cannot even be written down
            stream = _change_stream(chance, base, bases)
    if draw > 0.97:
        stream = zlib.compress(stream, 1)
    return base, stream
