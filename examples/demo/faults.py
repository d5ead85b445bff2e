"""Faults: what goes wrong in the simulated plant, on which device, when and for how long."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

LEARNING = 400
"""Readings of undisturbed operation before the first fault: one and a half simulated days."""
BETWEEN = 50
"""Readings between the beginnings of two faults anywhere in the plant."""
AFTERMATH = 36
"""Readings after a fault has ended in which an alert still belongs to it: a device does not recover at once."""


@dataclass(frozen=True)
class Kind:
    """A sort of fault."""

    name: str
    device_type: str
    readings: int
    """How long it lasts."""


KINDS = (
    Kind("bearing wear", "pump", 60),
    Kind("door left open", "freezer", 18),
    Kind("stuck damper", "air-handler", 48),
    Kind("pressure loss", "pump", 36),
    Kind("compressor failure", "freezer", 60),
    Kind("impossible temperature", "pump", 3),
)
"""In the order in which they happen, again and again, each time on another device of the type."""


@dataclass(frozen=True)
class Fault:
    """One fault of one device; `first` and `last` are numbers of readings."""

    kind: Kind
    device: str
    first: int

    @property
    def last(self) -> int:
        """The last disturbed reading."""
        return self.first + self.kind.readings - 1

    def progress(self, reading: int) -> float | None:
        """How far the fault has come at this reading, above 0 to 1; None when the device is healthy."""
        if not self.first <= reading <= self.last:
            return None
        return (reading - self.first + 1) / self.kind.readings


def schedule(devices: Mapping[str, Sequence[str]]) -> list[Fault]:
    """Every kind of fault once on every device of its type, by their beginning; `devices`: names by type.

    Once, because what a device has shown before is no longer unusual to a detector that learns from it alone.
    """
    longest = max(len(names) for names in devices.values())
    planned = []
    for turn in range(longest):
        for number, kind in enumerate(KINDS):
            names = devices[kind.device_type]
            if turn < len(names):
                # kinds start at different devices, so that one device is not hit all the time
                planned.append((kind, names[(turn + number) % len(names)]))
    return [Fault(kind, name, LEARNING + i * BETWEEN) for i, (kind, name) in enumerate(planned)]
