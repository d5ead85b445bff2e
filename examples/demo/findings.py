"""Findings: which of the injected faults were found, and which alerts belong to none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from examples.demo.faults import AFTERMATH

if TYPE_CHECKING:
    from collections.abc import Sequence

    from examples.demo.faults import Fault
    from examples.demo.hub_alerts import HubAlert
    from examples.demo.plant import Plant


class Finding(NamedTuple):
    """An injected fault, and what came of it."""

    fault: Fault
    began: float
    """Seconds since 1970, simulated."""
    outcome: Literal["found", "watching", "missed"]
    alert: HubAlert | None
    """The first one that belongs to it."""


def judge(plant: Plant, number: int, alerts: Sequence[HubAlert]) -> tuple[list[Finding], int]:
    """(what came of each fault injected before reading `number`, how many alerts belong to no fault).

    An alert belongs to a fault when it is on the same device and was opened by a reading during it or in its aftermath.
    """
    findings = []
    others = {alert.id for alert in alerts}
    for fault in plant.faults:
        if fault.first >= number:
            continue
        began, ended = plant.time_of(fault.first), plant.time_of(fault.last + AFTERMATH)
        own = [a for a in alerts if a.device == fault.device and began <= a.opened <= ended]
        others -= {alert.id for alert in own}
        first = min(own, key=lambda alert: alert.opened, default=None)
        over = number > fault.last + AFTERMATH
        findings.append(Finding(fault, began, "found" if first else "missed" if over else "watching", first))
    return findings, len(others)
