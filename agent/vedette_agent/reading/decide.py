"""Decide: verdicts → alert events, by severity, hysteresis, cooldown and rate limit. Pure: time is the readings' own.

An alert opens with the first reading at or above the threshold, rises in severity as the score does, and clears after
`clear_after` quiet readings in a row. Cooldown and rate limit hold back what would open next; what was held back is
counted. Faults of sensors and devices are alerts of their own kinds, by their own rules (`health.faults`): they have a
cooldown and no rate limit, and do not count against the alert budget.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from vedette_agent.reading.alert_state import ANOMALY, KINDS, AlertState, StateChange, clear
from vedette_agent.reading.alert_steps import AlertSteps, Signal
from vedette_agent.reading.health.faults import SILENT, Faults, Found
from vedette_agent.reading.pipeline import Verdicts
from vedette_models.readings import Quality, ReadingBatch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from vedette_agent.reading.devices import DeviceTable
    from vedette_agent.reading.health.faults import Transient
    from vedette_agent.reading.health.silent import Missed
    from vedette_models.messages import Alert
    from vedette_models.profile import Profile


class Decided(NamedTuple):
    """Alert events in order, the states behind them, and how many alerts were held back."""

    events: list[Alert]
    rows: list[int]
    """In the batch: the reading that caused each event."""
    changes: list[StateChange]
    suppressed: int
    alerting: NDArray[np.bool_] = np.zeros(0, np.bool_)
    """(N,) readings before or after which an alert of their device was open, or held back."""


class Decider:
    """Alerts of the devices of one profile."""

    def __init__(self, profile: Profile, gateway: str, epoch: str, table: DeviceTable) -> None:
        self.profile, self.table = profile, table
        self._steps = AlertSteps(profile, gateway, epoch, table)
        self._states: dict[tuple[int, str], AlertState] = {}
        self._open = np.zeros(0, np.bool_)
        """(D,) devices that must be looked at whatever their score: an alert is open, or being held back."""

    @property
    def open_alerts(self) -> list[Alert]:
        """The newest revision of every open alert."""
        return [state.alert for state in self._states.values() if state.alert is not None]

    @property
    def states(self) -> list[StateChange]:
        """All that is remembered of alerts."""
        return [self._change(device, kind) for device, kind in self._states]

    def decide(self, verdicts: Verdicts) -> Decided:
        """What the readings of a batch raise, escalate and clear."""
        batch = verdicts.batch
        self._make_room()
        striking = (verdicts.anomaly >= 1.0) | verdicts.faults.at_fault(len(batch))
        events: list[Alert] = []
        rows: list[int] = []
        changes: dict[tuple[int, str], None] = {}
        suppressed = 0
        alerting = self._open[batch.device]
        if striking.any() or alerting.any():
            look = self._open.copy()
            look[batch.device[striking]] = True
            for row in np.flatnonzero(look[batch.device]):
                device, time = int(batch.device[row]), float(batch.time[row])
                for kind in KINDS:
                    strength = _strength(kind, int(row), verdicts)
                    if strength == 0.0 and (device, kind) not in self._states:
                        continue
                    signal = Signal(int(row), device, time, strength)
                    event, held = self._step(kind, signal, verdicts)
                    suppressed += held
                    caused = [event] if event is not None else []
                    if kind == SILENT:
                        caused += self._heard(signal, verdicts.faults)
                    for one in caused:
                        events.append(one)
                        rows.append(int(row))
                        changes[device, kind] = None
                for transient in verdicts.faults.transients.get(int(row), ()):
                    if (event := self._explained(device, time, transient)) is not None:
                        events.append(event)
                        rows.append(int(row))
                        changes[device, ANOMALY] = None
                before = self._open[device]
                self._watch(device)
                alerting[row] = before or self._open[device]
        return Decided(events, rows, [self._change(*key) for key in changes], suppressed, alerting)

    def miss(self, missed: Sequence[Missed], now: float) -> Decided:
        """Alert devices that are silent at `now`, unless they are alerted already."""
        if not missed:
            return Decided([], [], [], 0)
        self._make_room()
        count, channels = len(missed), len(self.profile.channels)
        silent = Found(SILENT, np.ones(count, np.bool_), lambda row: missed[row].explain())
        batch = ReadingBatch.of(
            [one.device for one in missed],
            np.full(count, now),
            np.full((count, channels), np.nan),
            np.full(count, int(Quality.ARRIVAL_TIME), np.uint8),
        )
        verdicts = Verdicts(batch, np.zeros(count), Faults((silent,)), ())
        events, rows, changes, suppressed = [], [], [], 0
        for row, one in enumerate(missed):
            signal = Signal(row, one.device, now, 1.0)
            event, held = self._step(SILENT, signal, verdicts)
            suppressed += held
            state = self._states[one.device, SILENT]
            if state.alert is not None and state.channel >= 0:
                event = self._steps.restate(state, state.alert, SILENT, signal, verdicts)  # not one channel: all of it
            self._watch(one.device)
            if event is not None:
                events.append(event)
                rows.append(row)
                changes.append(self._change(one.device, SILENT))
        return Decided(events, rows, changes, suppressed)

    def _heard(self, signal: Signal, faults: Faults) -> list[Alert]:
        """A device that was silent is heard again: what was said of it is over, but for a channel still gone."""
        state = self._states.get((signal.device, SILENT))
        if state is None or state.channel in faults.unreported.get(signal.row, ()):
            return []
        state.holding = False
        return [] if state.alert is None else [clear(state, state.alert, signal.time, "heard again")]

    def _explained(self, device: int, time: float, transient: Transient) -> Alert | None:
        """Clear the anomaly that a transient opened before it was recognised as one."""
        state = self._states.get((device, ANOMALY))
        if state is None or state.alert is None or state.alert.opened < transient.began:
            return None
        return clear(state, state.alert, time, "sensor fault") if state.channel == transient.column else None

    def _step(self, kind: str, signal: Signal, verdicts: Verdicts) -> tuple[Alert | None, int]:
        """Advance one alert by one reading: (event, 1 if an alert was held back)."""
        state = self._states.get((signal.device, kind))
        if state is None:
            if signal.strength < 1.0:
                return None, 0
            state = self._states[signal.device, kind] = AlertState()
        return self._steps.advance(state, kind, signal, verdicts)

    def replace_model(self, detector: str) -> Decided:
        """Clear what a detector holds open that is no longer asked.

        No cooldown begins and the budget is not charged: if the condition goes on, whoever is asked now must be able to
        say so.
        """
        events, changes = [], []
        for (row, kind), state in self._states.items():
            alert = state.alert
            if alert is None or alert.detector != detector:
                continue
            cooling = state.cleared, state.cleared_severity
            events.append(clear(state, alert, alert.time, "model replaced"))
            state.cleared, state.cleared_severity = cooling
            state.load = None if state.load is None else max(0.0, state.load - 1.0)
            changes.append(self._change(row, kind))
            self._watch(row)
        return Decided(events, [], changes, 0)

    # ---------------------------------------------------------------- devices

    def forget(self, device: str, row: int, time: float) -> Decided:
        """Clear a device's alerts and drop what is known of them."""
        self._steps.forgotten += 1
        events, changes = [], []
        for kind in KINDS:
            state = self._states.pop((row, kind), None)
            if state is None:
                continue
            if state.alert is not None:
                events.append(clear(state, state.alert, time, "forgotten"))
            changes.append(StateChange(device, kind, None))
        if row < len(self._open):
            self._open[row] = False
        return Decided(events, [], changes, 0)

    def restore(self, states: Sequence[StateChange]) -> list[StateChange]:
        """Take over committed states; a device that has no row gets one. Returns those there is no room for."""
        left = []
        for change in states:
            device, kind, state = change
            row = self.table.row(device)
            if row is None or state is None or kind not in KINDS:
                left.append(change)
                continue
            state.channel = self.channel_of(state.alert)
            self._states[row, kind] = state
            self._make_room()
            self._watch(row)
        return left

    def channel_of(self, alert: Alert | None) -> int:
        """Column of an alert's main channel, by name: the profile may have other channels than when it was raised."""
        main = alert.channels[0].channel if alert is not None and alert.channels else None
        return self.profile.channel_names.index(main) if main in self.profile.channel_names else -1

    def _change(self, device: int, kind: str) -> StateChange:
        return StateChange(self.table.name(device), kind, self._states[device, kind])

    def _watch(self, device: int) -> None:
        self._open[device] = any(
            (state := self._states.get((device, kind))) is not None and (state.alert is not None or state.holding)
            for kind in KINDS
        )

    def _make_room(self) -> None:
        if len(self._open) < self.table.rows:
            grown = np.zeros(max(self.table.rows, 2 * len(self._open), 16), np.bool_)
            grown[: len(self._open)] = self._open
            self._open = grown


def _strength(kind: str, row: int, verdicts: Verdicts) -> float:
    """Of one kind at one reading; faults are there or not."""
    if kind == ANOMALY:
        return float(verdicts.anomaly[row])
    return max((1.0 for found in verdicts.faults.found if found.kind == kind and found.rows[row]), default=0.0)
