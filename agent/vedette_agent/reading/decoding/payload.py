"""PayloadReader: the payloads of one stream, whatever their shape, → rows.

Two readers of one grammar. The typed one is generated from stream and profile, and decodes a message into the fields
that matter with a single call. What it does not accept is read again by the careful one (`careful`), which knows every
shape and says what is wrong.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

import msgspec

from vedette_agent.reading.decoding.careful import bare_row, check_device, read_carefully
from vedette_agent.reading.decoding.document import DecodeError, deeper_than, elements, kind, shown
from vedette_agent.reading.decoding.places import written
from vedette_agent.reading.decoding.row import ABSENT, CELLS, DEVICE, VALUES, Row
from vedette_agent.reading.decoding.sample_type import SampleType, reading_type

if TYPE_CHECKING:
    from collections.abc import Callable

    from vedette_agent.config.models import Limits
    from vedette_agent.reading.decoding.places import Places

_OBJECT, _ARRAY = b"{["


class PayloadReader:
    """Reads payloads of one stream into rows."""

    def __init__(self, places: Places, limits: Limits) -> None:
        self.places = places
        self._bytes, self._depth, self._most = limits.payload_bytes, limits.depth, limits.readings_per_message
        self._attributing = places.device is not None
        self._nothing = (ABSENT,) * len(places.names)
        made = reading_type(places)
        self._sample, self._row = made or SampleType(None, _no_row)
        self._decode: Callable[[bytes], Any] = never_typed
        if made:
            shapes: Any = made.type | list[made.type] | float | bool  # type: ignore[name-defined]  # made at run time
            self._decode = msgspec.json.Decoder(shapes).decode

    def read(self, payload: bytes) -> Row | list[Row | DecodeError]:
        """The reading in a payload, or for an array its readings, each a row or what is wrong with it.

        Raises:
            DecodeError: the payload as a whole cannot be used.
        """
        if len(payload) > self._bytes:
            raise DecodeError("too_large", f"{len(payload)} bytes, more than limits.payload_bytes = {self._bytes}")
        # Nearly every payload is one flat object: for those, two looks at the bytes settle the depth.
        if (_ARRAY in payload or _OBJECT in payload[1:]) and deeper_than(self._depth, payload):
            raise DecodeError("too_deep", f"nested deeper than limits.depth = {self._depth}: {shown(payload)}")
        found = self._quickly(payload)
        if found is None:
            found = self._slowly(payload)
        if not self._attributing:
            return found
        if isinstance(found, tuple):
            return self._attributed(found)
        return [self._attributed_element(position, row) for position, row in enumerate(found)]

    def _slowly(self, payload: bytes) -> Row | list[Row | DecodeError]:
        if kind(payload) != "an array":
            return read_carefully(payload, self.places)
        parts = elements(payload)
        if len(parts) > self._most:
            raise DecodeError(
                "too_many_readings", f"{len(parts)} readings, more than limits.readings_per_message = {self._most}"
            )
        if not parts:
            raise DecodeError("no_channel", "an empty array holds no reading")
        return [self._element(position, part) for position, part in enumerate(parts)]

    def _quickly(self, payload: bytes) -> Row | list[Row | DecodeError] | None:
        """What the typed reader makes of a payload; None where it must be read carefully."""
        try:
            found = self._decode(payload)
            if type(found) is self._sample:
                row = self._row(found)
                return self._completed(row) if row[CELLS] is ABSENT or row[VALUES] is not None else row
            if type(found) is list:
                return self._quickly_all(found)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None
        except AttributeError:  # null where a path leads through
            return None
        return None if self.places.alone is None else bare_row(found, self.places)

    def _quickly_all(self, samples: list[Any]) -> list[Row | DecodeError] | None:
        if not 0 < len(samples) <= self._most:
            return None
        rows: list[Row | DecodeError] = []
        for sample in samples:
            row = self._row(sample)
            if row[CELLS] is ABSENT or row[VALUES] is not None:
                completed = self._completed(row)
                if completed is None:
                    return None
                row = completed
            rows.append(row)
        return rows

    def _completed(self, row: Row) -> Row | None:
        """A row with the channels found below `values`; None where the typed reader found no channel at all."""
        cells = row[CELLS:]
        if row[VALUES] is not None:
            below = msgspec.structs.astuple(row[VALUES])
            cells = below if cells == self._nothing else tuple(map(_first, cells, below))
        # NaN equals only itself, the object: equal rows are rows of defaults.
        return None if cells == self._nothing else (*row[:VALUES], None, *cells)

    def _attributed(self, row: Row) -> Row:
        """A row whose device is a name that can be one."""
        found, where = row[DEVICE], f'at "{written(self.places.device or ())}" in the payload'
        if found is None:
            raise DecodeError("no_device", f"no device {where}")
        name = str(found)
        check_device(name, where)
        return (*row[:DEVICE], name, *row[DEVICE + 1 :])

    def _attributed_element(self, position: int, row: Row | DecodeError) -> Row | DecodeError:
        if isinstance(row, DecodeError):
            return row
        try:
            return self._attributed(row)
        except DecodeError as error:
            return DecodeError(error.reason, f"sample {position}: {error.detail}")

    def _element(self, position: int, payload: bytes) -> Row | DecodeError:
        try:
            row = self._quickly(payload)
            return row if isinstance(row, tuple) else read_carefully(payload, self.places)
        except DecodeError as error:
            return DecodeError(error.reason, f"sample {position}: {error.detail}")


def _first(cell: float | None, below: float | None) -> float | None:
    return below if cell is ABSENT else cell


def never_typed(payload: bytes) -> NoReturn:
    """Stands in for a typed decoder where there can be none, and satisfies nothing."""
    raise msgspec.DecodeError("read carefully")


def _no_row(sample: Any) -> Row:
    raise TypeError(f"no typed reader, and yet a sample: {sample!r}")
