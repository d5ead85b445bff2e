"""Values as people write them: durations, sizes, whole numbers, paths into a payload or on the disk."""

from __future__ import annotations

import contextlib
import json
import math
import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}
_BYTES = {"b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 2**10, "mib": 2**20, "gib": 2**30}
_QUANTITY = re.compile(r"\s*(\d+(?:_\d+)*(?:\.\d+)?)\s*([A-Za-z]*)\s*")


class ExternalText(str):
    """Text that came from the environment, where numbers and switches are text too."""

    __slots__ = ()


def describe(value: object) -> str:
    """A value as an error message shows it, short.

    >>> describe(True), describe("text"), describe([1, 2])
    ('true', '"text"', 'a list')
    """
    match value:
        case bool():
            return str(value).lower()
        case str():
            return json.dumps(value if len(value) <= 60 else f"{value[:57]}...", ensure_ascii=False)
        case list() | tuple():
            return "a list"
        case dict():
            return "a table"
        case int() | float():
            return str(value)[:60]
        case _:
            return f"{type(value).__name__} {str(value)[:60]}"


def seconds(value: object) -> float:
    """Seconds from a number of seconds or text such as `30s`, `15m`, `6h`, `7d`.

    Raises:
        ValueError: neither, or negative, or not finite.

    >>> seconds("15m"), seconds(2)
    (900.0, 2.0)
    """
    if isinstance(value, str) and (found := _QUANTITY.fullmatch(value)):
        unit = _SECONDS.get(found[2].lower() or "s")
        if unit is not None:
            return float(found[1].replace("_", "")) * unit
    if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value) and value >= 0:
        return float(value)
    _check_sign(value)
    raise ValueError(f'must be a number of seconds or text such as "30s", "15m", "6h", "7d", got {describe(value)}')


def _check_sign(value: object) -> None:
    """Say of what is a time but for its sign that this is what is wrong with it.

    Raises:
        ValueError: it is negative.
    """
    text = value.strip() if isinstance(value, str) else str(value) if isinstance(value, (int, float)) else ""
    if text.startswith("-") and _QUANTITY.fullmatch(text[1:]):
        raise ValueError(f"must not be negative, got {describe(value)}")


def seconds_or_none(value: object) -> float | None:
    """As `seconds`, or None for `"none"`.

    Raises:
        ValueError: none of these.
    """
    if value is None or (isinstance(value, str) and value.strip().lower() == "none"):
        return None
    try:
        return seconds(value)
    except ValueError:
        _check_sign(value)
        raise ValueError(
            f'must be a number of seconds, text such as "12h" or "7d", or "none", got {describe(value)}'
        ) from None


def whole_seconds(value: object) -> int:
    """As `seconds`, for what MQTT counts in whole seconds.

    Raises:
        ValueError: no duration, or with a fraction.
    """
    duration = seconds(value)
    if duration != int(duration):
        raise ValueError(f"must be whole seconds, got {describe(value)}")
    return int(duration)


def whole_bytes(value: object) -> int:
    """Bytes from a number of bytes or text such as `64 KiB` (1,024) or `64 kB` (1,000).

    Raises:
        ValueError: neither, or negative, or not whole.

    >>> whole_bytes("64 KiB"), whole_bytes(512)
    (65536, 512)
    """
    if isinstance(value, str) and (found := _QUANTITY.fullmatch(value)):
        unit = _BYTES.get(found[2].lower() or "b")
        if unit is not None and (size := float(found[1].replace("_", "")) * unit) == int(size):
            return int(size)
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    raise ValueError(f'must be a number of bytes or text such as "64 KiB" or "16 MiB", got {describe(value)}')


def whole_number(value: object) -> int:
    """A whole number, from the environment also as text.

    Raises:
        ValueError: anything else.
    """
    if isinstance(value, ExternalText) and re.fullmatch(r"\s*[+-]?\d+(?:_\d+)*\s*", value):
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    hint = ", without the quotes" if isinstance(value, str) and value.strip().lstrip("+-").isdigit() else ""
    raise ValueError(f"must be a whole number{hint}, got {describe(value)}")


def number(value: object) -> float:
    """A finite number, from the environment also as text.

    Raises:
        ValueError: anything else.
    """
    if isinstance(value, ExternalText):
        with contextlib.suppress(ValueError):
            value = float(value)
    if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    raise ValueError(f"must be a number, got {describe(value)}")


def file_path(value: object) -> Path:
    """A path on the disk.

    Raises:
        ValueError: not text, or empty.
    """
    if isinstance(value, Path):
        return value
    if isinstance(value, str) and value.strip() and "\0" not in value:
        return Path(value)
    raise ValueError(f"must be the path of a file or folder, got {describe(value)}")


def payload_path(value: object) -> str:
    """Where a value stands in a JSON payload: keys of nested objects with dots between.

    Raises:
        ValueError: not text, empty, or with an empty key.

    >>> payload_path("sensors.temp.value")
    'sensors.temp.value'
    """
    if isinstance(value, str) and value and all(value.split(".")):
        return str(value)
    raise ValueError(f'must be a path such as "temperature" or "sensors.temp.value", got {describe(value)}')


def is_name(value: object, longest: int = 64) -> bool:
    """Whether this is printable text of 1 to `longest` characters that does not begin or end with a space."""
    return isinstance(value, str) and 1 <= len(value) <= longest and value.isprintable() and value == value.strip()


def printable(longest: int) -> Any:
    """A check by `is_name`, with the fault in words."""

    def check(value: object) -> str:
        if is_name(value, longest):
            return str(value)
        raise ValueError(
            f"must be text of 1 to {longest} printable characters, no space at either end, got {describe(value)}"
        )

    return BeforeValidator(check)


Seconds = Annotated[float, BeforeValidator(seconds)]
SecondsOrNone = Annotated[Annotated[float, Field(gt=0)] | None, BeforeValidator(seconds_or_none)]
WholeSeconds = Annotated[int, BeforeValidator(whole_seconds)]
Bytes = Annotated[int, BeforeValidator(whole_bytes)]
Whole = Annotated[int, BeforeValidator(whole_number)]
Number = Annotated[float, BeforeValidator(number)]
FilePath = Annotated[Path, BeforeValidator(file_path)]
PayloadPath = Annotated[str, BeforeValidator(payload_path)]
