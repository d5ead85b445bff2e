"""A JSON payload looked at one value at a time, to say precisely what is wrong with it; bounded work for any bytes."""

from __future__ import annotations

import re

import msgspec

from vedette_agent.reading.dead_letter import Reason
from vedette_agent.reading.decoding.places import Path

_SHOWN = 80
"""Characters of foreign text in a detail, before escapes."""
_OPEN, _CLOSE = b"[{", b"]}"
_NOT_STRUCTURE = bytes(set(range(256)) - set(b'[]{}"\\'))
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
# Possessive, and without an end also a match: linear on any bytes.
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*+"?', re.DOTALL)
_NON_FINITE = re.compile(rb"[-+]?(?:nan|inf(?:inity)?)\b", re.IGNORECASE)
_POSITION = re.compile(r"\(byte (\d+)\)$")
_KINDS = {
    b"{": "an object", b"[": "an array", b'"': "a text", b"t": "a boolean", b"f": "a boolean", b"n": "null"
}  # fmt: skip


class DecodeError(ValueError):
    """A message or reading that cannot be used: why, and what was seen."""

    def __init__(self, reason: Reason, detail: str, device: str = "") -> None:
        """`device`: who sent it, where the payload has told."""
        super().__init__(detail)
        self.reason: Reason = reason
        self.detail = detail
        self.device = device


def shown(foreign: object) -> str:
    """Foreign text or bytes, quoted, escaped and cut, fit for a log line.

    >>> shown("a\\x1b[31mb")
    "'a\\\\x1b[31mb'"
    """
    if isinstance(foreign, bytes):
        # A cut may leave half a character at the end.
        foreign = foreign[: 4 * _SHOWN].decode(errors="replace")
    text = repr(foreign[:_SHOWN] if isinstance(foreign, str) else foreign)
    cut = isinstance(foreign, str) and len(foreign) > _SHOWN
    return f"{text[: 2 * _SHOWN]}…" if cut or len(text) > 2 * _SHOWN else text


def deeper_than(limit: int, payload: bytes) -> bool:
    """Whether objects and arrays in a payload are nested more than `limit` deep, in time linear in its length."""
    if payload.count(b"{") + payload.count(b"[") <= limit:
        return False
    structure = payload.translate(None, _NOT_STRUCTURE)
    # Quotes around nothing of structure stand in pairs; the first text that holds a bracket or backslash leaves one.
    brackets = structure.replace(b'""', b"")
    if b'"' in brackets:
        brackets = _STRING.sub(b"", payload).translate(None, _NOT_BRACKETS)
    depth = 0
    for bracket in brackets:
        if bracket in _OPEN:
            depth += 1
            if depth > limit:
                return True
        else:
            depth -= 1
    return False


def kind(value: bytes) -> str:
    """What a JSON value is, with its article: `an object`, `a number` …"""
    return _KINDS.get(value.lstrip()[:1], "a number")


def unreadable(payload: bytes, error: Exception) -> DecodeError:
    """Why a payload is not JSON, from the decoder's complaint."""
    if not payload.strip():
        return DecodeError("not_json", "the payload is empty")
    if isinstance(error, RecursionError):
        return DecodeError("too_deep", "objects or arrays are nested too deep to be read")
    if isinstance(error, UnicodeDecodeError):
        return DecodeError("not_json", f"a text is not UTF-8: {shown(error.object)}")
    if isinstance(error, msgspec.ValidationError) and "out of range" in str(error):
        return DecodeError("non_finite", f"a number is too large: {shown(payload)}")
    at = int(found[1]) if (found := _POSITION.search(str(error))) else 0
    # The decoder points at or just after the first character it did not expect.
    if _NON_FINITE.match(payload, at) or _NON_FINITE.match(payload, max(at - 1, 0)):
        return DecodeError(
            "non_finite", f"{shown(payload[max(at - 20, 0) : at + 10])}: NaN and Infinity are not JSON; send null"
        )
    return DecodeError("not_json", f"{str(error)[:100]}: {shown(payload)}")


class Document:
    """A JSON object whose members are decoded only when asked for; what nobody asks for may be anything."""

    def __init__(self, payload: bytes) -> None:
        """Read the outermost object; raise `DecodeError` when it is not well-formed."""
        self._objects: dict[Path, dict[str, msgspec.Raw]] = {(): _members(payload)}

    def names(self, path: Path = ()) -> list[str]:
        """Names of the members of the object at a path; none where there is no object."""
        return list(self._object(path))

    def find(self, path: Path) -> bytes | None:
        """The JSON of a value; None when it is not there, or when something on the way is no object."""
        members = self._object(path[:-1])
        found = members.get(path[-1])
        return None if found is None else bytes(found)

    def _object(self, path: Path) -> dict[str, msgspec.Raw]:
        known = self._objects.get(path)
        if known is None:
            value = self.find(path)
            known = self._objects[path] = _members(value) if value and kind(value) == "an object" else {}
        return known


def _members(payload: bytes) -> dict[str, msgspec.Raw]:
    try:
        return msgspec.json.decode(payload, type=dict[str, msgspec.Raw])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise unreadable(payload, error) from error


def elements(payload: bytes) -> list[bytes]:
    """The JSON of every element of an array; raise `DecodeError` when it is not well-formed."""
    try:
        return [bytes(element) for element in msgspec.json.decode(payload, type=list[msgspec.Raw])]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise unreadable(payload, error) from error


def number(value: bytes, what: str) -> float | None:
    """A number, a boolean as 0 or 1, or None for null; raise `DecodeError` naming `what` for anything else."""
    found = scalar(value, what)
    if found is None or isinstance(found, int | float):
        return None if found is None else float(found)
    hint = " (send numbers without quotes)" if kind(value) == "a text" else ""
    raise DecodeError("wrong_type", f"{what} is {kind(value)}, {shown(found)}, and not a number{hint}")


def scalar(value: bytes, what: str) -> float | int | bool | str | None:
    """A number, boolean, text or null; raise `DecodeError` naming `what` for anything else."""
    if kind(value) in ("an object", "an array"):
        raise DecodeError("wrong_type", f"{what} is {kind(value)}: {shown(value)}")
    try:
        found: float | int | bool | str | None = msgspec.json.decode(value)
        if isinstance(found, int) and not isinstance(found, bool):
            float(found)  # an integer that no float can hold is as infinite as 1e999
    except (msgspec.ValidationError, OverflowError) as error:
        raise DecodeError("non_finite", f"{what} is too large a number: {shown(value)}") from error
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise unreadable(value, error) from error
    return found
