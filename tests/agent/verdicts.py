"""Verdicts with scores of one's own choosing, and a device's alerts fed with them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vedette_agent.reading.decide import Decided, Decider
from vedette_agent.reading.devices import DeviceTable
from vedette_agent.reading.health.faults import Faults
from vedette_agent.reading.health.impossible import Impossible
from vedette_agent.reading.pipeline import Scored, Verdicts
from vedette_models.detectors.base import Finding
from vedette_models.messages import Alert
from vedette_models.profile import Channel, Decisions, Profile
from vedette_models.readings import ReadingBatch

NAN = float("nan")


class GivenScores:
    """Scores by channel as given; every finding is the value against 0 to 1."""

    def __init__(self, by_channel: NDArray[np.float64], values: NDArray[np.float64]) -> None:
        self.by_channel = by_channel
        self.total: NDArray[np.float64] = by_channel.max(axis=1, initial=0.0)
        self._values = values

    def finding(self, row: int, channel: int) -> Finding | None:
        if self.by_channel[row, channel] == 0:
            return None
        return Finding("value", float(self._values[row, channel]), 0.0, 1.0)


def verdicts(
    devices: Sequence[int],
    times: Sequence[float],
    strengths: Sequence[Sequence[float]] | NDArray[np.float64],
    values: Sequence[Sequence[float]] | None = None,
    impossible: Sequence[Sequence[bool]] | None = None,
) -> Verdicts:
    """What a pipeline with threshold 1 would say: strengths (N, C); values default to 0.5."""
    by_channel = np.asarray(strengths, np.float64)
    batch = ReadingBatch.of(devices, times, np.full(by_channel.shape, 0.5) if values is None else np.asarray(values))
    outside = np.zeros(by_channel.shape, np.bool_) if impossible is None else np.asarray(impossible, np.bool_)
    faults = Faults()
    if outside.any():
        ranges = Impossible(Profile("pump", tuple(Channel(name, low=-100.0, high=100.0) for name in "ab")))
        table = DeviceTable(1000)
        for device in range(max(devices) + 1):
            table.row(f"device-{device}")
        faults = Faults((ranges.found(batch, outside, table),), outside)
    scores = GivenScores(by_channel, batch.values)
    return Verdicts(batch, scores.total, faults, (Scored("given", scores.total, scores),))


class Watched:
    """A decider, one reading at a time."""

    def __init__(
        self, decisions: Decisions | None = None, *, epoch: str = "e1", channels: Sequence[str] = "ab"
    ) -> None:
        listed = tuple(Channel(name, low=-100.0, high=100.0) for name in channels)
        self.profile = Profile("pump", listed, decisions or Decisions(threshold=1.0))
        self.table = DeviceTable(1000)
        self.decider = Decider(self.profile, "gw", epoch, self.table)
        self.decided: Decided

    def see(
        self,
        time: float,
        *strengths: float,
        device: str = "d1",
        values: Sequence[float] | None = None,
        impossible: Sequence[bool] | None = None,
    ) -> list[Alert]:
        """Events of one reading; strengths of channels not given are 0."""
        row = self.table.row(device)
        assert row is not None
        given = [list(strengths) + [0.0] * (len(self.profile.channels) - len(strengths))]
        said = verdicts(
            [row], [time], given, None if values is None else [values], None if impossible is None else [impossible]
        )
        self.decided = self.decider.decide(said)
        return self.decided.events

    def quiet(self, start: float, count: int, *, step: float = 1.0, device: str = "d1") -> list[Alert]:
        """Events of `count` quiet readings."""
        return [event for i in range(count) for event in self.see(start + i * step, 0.0, device=device)]

    def alert_and_clear(self, time: float, strength: float, device: str = "d1") -> list[Alert]:
        """Events of one strong reading and the quiet ones that end it, within a second."""
        events = list(self.see(time, strength, device=device))
        return events + self.quiet(time + 0.01, self.profile.decisions.clear_after, step=0.01, device=device)
