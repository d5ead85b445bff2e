"""Plant: the devices of the demo, advanced reading by reading, with the faults that are planned for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from examples.demo.devices import INTERVAL, AirHandler, Freezer, Pump
from examples.demo.faults import Fault, schedule

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from examples.demo.devices import Device

DEVICES_PER_TYPE = 5
TYPES: Mapping[str, Callable[[str, int], Device]] = {"pump": Pump, "freezer": Freezer, "air-handler": AirHandler}


class Reading(NamedTuple):
    """What a device says once."""

    device_type: str
    device: str
    sequence: int
    time: float
    """Seconds since 1970, simulated."""
    values: Mapping[str, float]


class Plant:
    """All devices; the first reading is at `start`, seconds since 1970."""

    def __init__(self, start: float, seed: int = 0) -> None:
        self.start = start
        names = {kind: [f"{kind}-{i + 1}" for i in range(DEVICES_PER_TYPE)] for kind in TYPES}
        self._devices = [
            (kind, make(name, seed + 100 * place + number))
            for place, (kind, make) in enumerate(TYPES.items())
            for number, name in enumerate(names[kind])
        ]
        self.faults = schedule(names)

    @property
    def size(self) -> int:
        """How many devices there are."""
        return len(self._devices)

    def time_of(self, number: int) -> float:
        """When the devices are read for the time `number` (the first is 0), seconds since 1970."""
        return self.start + number * INTERVAL

    def rounds(self) -> Iterator[list[Reading]]:
        """One reading of every device after the other, without end; `sequence` counts from 0."""
        number = 0
        while True:
            yield [self._read(kind, device, number) for kind, device in self._devices]
            number += 1

    def _read(self, kind: str, device: Device, number: int) -> Reading:
        fault, progress = self._fault_of(device.name, number)
        time = self.time_of(number)
        values = device.read(time, fault.kind.name if fault else None, progress)
        return Reading(kind, device.name, number, time, values)

    def _fault_of(self, device: str, number: int) -> tuple[Fault | None, float]:
        for fault in self.faults:
            if fault.device == device and (progress := fault.progress(number)) is not None:
                return fault, progress
        return None, 0.0
