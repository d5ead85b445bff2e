"""Impossible: values outside what the sensor can report, from the profile's ranges or the device's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vedette_agent.reading import reason
from vedette_agent.reading.health.faults import IMPOSSIBLE, Explained, Found
from vedette_models.messages import ChannelReason
from vedette_models.profile import Channel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vedette_agent.reading.devices import DeviceTable
    from vedette_models.profile import Profile
    from vedette_models.readings import ReadingBatch


class Impossible:
    """The ranges of one profile's channels, and of the devices that have their own."""

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        self._low, self._high = _ranges(profile.channels)
        self._own = {device: _ranges(channels_of(profile, device)) for device in profile.ranges}
        self.needed = bool(self._own) or bool(np.isfinite(self._low).any() or np.isfinite(self._high).any())
        """Whether any channel has a range at all."""

    def outside(self, batch: ReadingBatch, table: DeviceTable) -> NDArray[np.bool_]:
        """(N, C) values strictly outside the range; a value that was not reported is not."""
        outside: NDArray[np.bool_] = (batch.values < self._low) | (batch.values > self._high)
        for device, (low, high) in self._own.items():
            row = table.find(device)
            if row is not None and (mine := batch.device == row).any():
                outside[mine] = (batch.values[mine] < low) | (batch.values[mine] > high)
        return outside

    def found(self, batch: ReadingBatch, outside: NDArray[np.bool_], table: DeviceTable) -> Found:
        """The fault, explained by the channels outside."""

        def explain(row: int) -> Explained:
            channels = channels_of(self._profile, table.name(int(batch.device[row])))
            columns = np.flatnonzero(outside[row]).tolist()
            reasons = tuple(
                _reason(channels[column], float(batch.values[row, column]), len(columns)) for column in columns
            )
            first = columns[0]
            others = [channels[column].name for column in columns[1:]]
            sentence = reason.impossible(channels[first], float(batch.values[row, first]), others)
            return Explained(sentence, reasons, first)

        return Found(IMPOSSIBLE, np.asarray(outside.any(axis=1)), explain)


def channels_of(profile: Profile, device: str) -> tuple[Channel, ...]:
    """The profile's channels with the ranges of one device."""
    own = profile.ranges.get(device)
    if own is None:
        return profile.channels
    return tuple(
        Channel(c.name, c.unit, own[c.name].low, own[c.name].high) if c.name in own else c for c in profile.channels
    )


def _ranges(channels: tuple[Channel, ...]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    low = np.array([-np.inf if c.low is None else c.low for c in channels])
    return low, np.array([np.inf if c.high is None else c.high for c in channels])


def _reason(channel: Channel, value: float, count: int) -> ChannelReason:
    return ChannelReason(
        channel.name,
        value,
        min(value, 0.0) if channel.low is None else channel.low,
        max(value, 0.0) if channel.high is None else channel.high,
        round(1.0 / count, 4),
        unit=channel.unit,
    )
