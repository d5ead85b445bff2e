"""The careful reader: a reading from any JSON object or bare value, or in words what is wrong with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from vedette_agent.reading.decoding.document import DecodeError, Document, kind, number, scalar, shown
from vedette_agent.reading.decoding.places import BELOW, written
from vedette_agent.reading.decoding.row import ABSENT, CELLS, Row
from vedette_agent.reading.decoding.sample_type import SEQUENCE_NUMBER

if TYPE_CHECKING:
    from vedette_agent.reading.decoding.places import Places

LONGEST_DEVICE = 128
"""Characters of a device's name."""
_UNLABELLED = (None,) * CELLS
_LISTED = 8
"""Names in a detail at most."""


def read_carefully(payload: bytes, places: Places) -> Row:
    """The row of one object or bare value.

    Raises:
        DecodeError: with the first thing that is wrong.
    """
    found = kind(payload)
    if found == "an array":
        raise DecodeError("wrong_type", f"an array stands where an object should: {shown(payload)}")
    if found != "an object":
        return _bare(payload, places)
    document = Document(payload)
    cells = [_cell(document, places, k) for k in range(len(places.names))]
    if all(cell is ABSENT for cell in cells):
        wanted = ", ".join(written(paths[0]) for paths in list(places.channels.values())[:_LISTED])
        more = ", …" if len(places.channels) > _LISTED else ""
        raise DecodeError("no_channel", f"found {_listed(document)}; looked for {wanted}{more}")
    time, sequence, device = _time(document, places), _sequence(document, places), _device(document, places)
    return (time, None, None, sequence, device, None, *cells)


def bare_row(value: float | None, places: Places) -> Row:
    """The row of a bare value where a message can be about one channel only."""
    alone = places.alone or 0
    return (*_UNLABELLED, *(ABSENT,) * alone, value, *(ABSENT,) * (len(places.names) - alone - 1))


def _bare(payload: bytes, places: Places) -> Row:
    value = number(payload, "the payload")
    if places.alone is None:
        raise DecodeError(
            "no_channel",
            f"{shown(payload)} does not say which channel it is: send an object, or put {{channel}} into the topic",
        )
    return bare_row(value, places)


def _cell(document: Document, places: Places, k: int) -> float | None:
    for path in places.channels.get(k, ()):
        value = document.find(path)
        if value is not None:
            return number(value, f'channel "{places.names[k]}"')
    return ABSENT


def _time(document: Document, places: Places) -> float | str | None:
    for path in places.times:
        value = document.find(path)
        if value is None or kind(value) == "null":
            continue
        found = scalar(value, what := f'the time at "{written(path)}"')
        if isinstance(found, bool):
            raise DecodeError("wrong_type", f"{what} is a boolean: send a number or ISO 8601 text")
        return float(found) if isinstance(found, int) else found
    return None


def _sequence(document: Document, places: Places) -> int | None:
    """Whatever is no sequence number counts as not there, for no score depends on it."""
    value = document.find(places.sequence) if places.sequence else None
    if value is None:
        return None
    try:
        found: int | None = msgspec.json.decode(value, type=SEQUENCE_NUMBER)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return found


def _device(document: Document, places: Places) -> int | str | None:
    value = document.find(places.device) if places.device else None
    if value is None:
        return None
    found = scalar(value, what := f'the device at "{written(places.device or ())}"')
    if isinstance(found, float | bool):
        raise DecodeError("wrong_type", f"{what} is {kind(value)}, {shown(found)}: send a text or an integer")
    return found


def _listed(document: Document) -> str:
    below = [f"{BELOW}.{key}" for key in document.names((BELOW,))]
    keys = [key for key in document.names() if key != BELOW or not below] + below
    if not keys:
        return "an empty object"
    return shown(", ".join(key[:40] for key in keys[:_LISTED])) + (" …" if len(keys) > _LISTED else "")


def check_device(name: str, where: str) -> None:
    """Refuse what cannot be a device's name.

    Raises:
        DecodeError: it is empty, longer than `LONGEST_DEVICE`, or has characters that do not print.
    """
    if 0 < len(name) <= LONGEST_DEVICE and name.isprintable():
        return
    if not name:
        raise DecodeError("no_device", f"the device's name {where} is empty")
    if len(name) > LONGEST_DEVICE:
        raise DecodeError(
            "no_device", f"the device's name {where} has {len(name)} characters, more than {LONGEST_DEVICE}"
        )
    raise DecodeError("no_device", f"the device's name {where} has characters that do not print: {shown(name)}")
