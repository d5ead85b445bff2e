"""Decode: raw messages → readings in columns, pure.

Whatever arrives, nothing is raised: what cannot be used becomes a dead letter that says why, and the rest goes on.
"""

from __future__ import annotations

from operator import attrgetter
from pathlib import Path
from traceback import extract_tb
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from vedette_agent.reading.dead_letter import DeadLetter, Reason
from vedette_agent.reading.decoding.columns import Columns, Lane
from vedette_agent.reading.decoding.document import DecodeError
from vedette_agent.reading.decoding.routes import Routes
from vedette_agent.reading.decoding.row import DEVICE, Row
from vedette_agent.reading.decoding.timestamps import Arrival

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from numpy.typing import NDArray

    from vedette_agent.config.models import Limits, Stream, TimePolicy
    from vedette_agent.mqtt.message import Message
    from vedette_agent.reading.devices import DeviceTable
    from vedette_models.profile import Profile
    from vedette_models.readings import ReadingBatch


QUARANTINED: tuple[Reason, str] = (
    "quarantined",
    "all that this device sent lately was unusable: repair it, then `vedette-agent quarantine release DEVICE`",
)


class ProfileReadings(NamedTuple):
    """The readings of one profile, N of them, at least one."""

    batch: ReadingBatch
    """In order of arrival; `origin` is the index of the message."""
    sequence: list[int | None]
    """(N,) as the device counts, for traces."""
    retained: NDArray[np.bool_]
    """(N,) whether the message was sent because of a subscription: a last known value, not to be scored."""


class Decoded(NamedTuple):
    """What a batch of messages holds."""

    profiles: dict[str, ProfileReadings]
    """Those with readings."""
    dead: list[DeadLetter]
    """In the order of the messages; several for an array with several faults."""


class Decoder:
    """Decodes messages of the configured streams."""

    def __init__(
        self,
        streams: Sequence[Stream],
        profiles: Mapping[str, Profile],
        time: TimePolicy,
        limits: Limits,
        tables: Mapping[str, DeviceTable],
    ) -> None:
        """With the device table of every profile; new devices are entered into it."""
        self._routes = Routes(streams, profiles, limits)
        self._time = time
        self._tables = tables

    def decode(
        self, messages: Sequence[Message], now: float, quality: int = 0, quarantined: Collection[str] = ()
    ) -> Decoded:
        """The readings in messages that arrived at `now` (seconds since 1970 UTC); nothing received raises.

        `quality`: what is known of our own clock; messages of devices that are `quarantined` are not looked at.
        """
        arrival = Arrival(now, quality)
        lanes: dict[str, Lane] = {}
        dead: list[DeadLetter] = []
        routes = self._routes
        retained = {index for index, message in enumerate(messages) if message.retained}
        for index, message in enumerate(messages):
            payload = message.payload
            if not payload and index in retained:
                continue  # no reading, but the end of what was retained
            device: str | None = None
            try:
                reader, profile, device = routes[message.topic]
                if quarantined and device in quarantined:
                    dead.append(DeadLetter(index, *QUARANTINED, device or ""))
                    continue
                found = reader.read(payload)
            except DecodeError as error:
                dead.append(DeadLetter(index, error.reason, error.detail, device or ""))
                continue
            except Exception as error:
                dead.append(_internal(index, error))
                continue
            if quarantined and device is None:
                found = _without(found, quarantined)
            lane = lanes.get(profile)
            if lane is None:
                lane = lanes[profile] = Lane()
            if isinstance(found, tuple):
                lane.origins.append(index)
                lane.devices.append(found[DEVICE] if device is None else device)
                lane.rows.append(found)
                continue
            for row in found:
                if isinstance(row, DecodeError):
                    dead.append(DeadLetter(index, row.reason, row.detail, device or row.device))
                else:
                    lane.add(index, row[DEVICE] if device is None else device, row)
        profiles: dict[str, ProfileReadings] = {}
        for profile, lane in lanes.items():
            columns, refused = self._columns(profile, lane, arrival, retained)
            dead += refused
            if columns is not None:
                flags = np.array([i in retained for i in columns.batch.origin.tolist()], np.bool_)
                profiles[profile] = ProfileReadings(columns.batch, columns.sequence, flags)
        dead.sort(key=attrgetter("message"))
        return Decoded(profiles, dead)

    def _columns(
        self, profile: str, lane: Lane, arrival: Arrival, retained: set[int]
    ) -> tuple[Columns | None, list[DeadLetter]]:
        table = self._tables[profile]
        try:
            return lane.columns(table, arrival, self._time, retained)
        except Exception:
            # Each reading alone, so that only what fails is lost.
            failed: list[DeadLetter] = []
            sound = Lane()
            for origin, device, row in lane.readings():
                alone = Lane()
                alone.add(origin, device, row)
                try:
                    alone.columns(table, arrival, self._time, retained)
                except Exception as error:
                    failed.append(_internal(origin, error))
                else:
                    sound.add(origin, device, row)
            columns, refused = sound.columns(table, arrival, self._time, retained)
            return columns, failed + refused


def _without(found: Row | list[Row | DecodeError], quarantined: Collection[str]) -> list[Row | DecodeError]:
    """The readings whose device the payload names, without those of devices in quarantine."""
    rows = [found] if isinstance(found, tuple) else found
    return [
        DecodeError(*QUARANTINED, device=row[DEVICE]) if isinstance(row, tuple) and row[DEVICE] in quarantined else row
        for row in rows
    ]


def _internal(index: int, error: Exception) -> DeadLetter:
    last = extract_tb(error.__traceback__)[-1]
    where = f"{Path(last.filename).name}:{last.lineno}"
    return DeadLetter(index, "internal", f"{type(error).__name__} in {where}, a fault of Vedette's: please report it")
