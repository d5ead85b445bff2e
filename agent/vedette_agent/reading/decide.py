"""Decide: verdicts → alert events, by severity, hysteresis, cooldown and rate limit. Pure: time is the readings' own.

An alert opens with the first reading at or above the threshold, rises in severity as the score does, and clears after
`clear_after` quiet readings in a row. Cooldown and rate limit hold back what would open next; what was held back is
counted. Faults of sensors and devices are alerts of their own kinds, by their own rules (`health.faults`): they have a
cooldown and no rate limit, and do not count against the alert budget.
"""

from __future__ import annotations

import hashlib
import math
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np

from vedette_agent.reading import reason
from vedette_agent.reading.health.faults import CLOCK, RULES, SILENT, Faults, Found
from vedette_agent.reading.pipeline import Verdicts
from vedette_models.messages import SEVERITIES, Alert, ChannelReason, Severity
from vedette_models.readings import Quality, ReadingBatch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from vedette_agent.reading.devices import DeviceTable
    from vedette_agent.reading.health.faults import Transient
    from vedette_agent.reading.health.silent import Missed
    from vedette_models.profile import Decisions, Profile

ANOMALY = "anomaly"
KINDS = (ANOMALY, *RULES)
DAY = 86_400.0
WEEK = 7 * DAY
DEARER, DEAREST = 1.7, 3.0
"""Each alert on the budget makes the next one of the device dearer: it must be so many times rarer, for up to so many
alerts. Without it a bad device is a bad device every day.
"""
DRAIN = 4.5
"""Alerts that leave the budget per week, as multiples of it: at 0.5 a week one is forgotten after three days."""
LATE = 3_600.0
"""A reading up to so many seconds older than what it follows was late, or comes again after a crash whose commit knew
the readings after it: it neither opens nor ends an alert. One that is older still comes from a clock that was set back.
"""


class AlertState(msgspec.Struct):
    """One kind of alert on one device: what is open, and what holds back the next."""

    alert: Alert | None = None
    """Its newest revision while it is open."""
    channel: int = -1
    """Column of the channel that raised it: only readings that report it can be quiet."""
    quiet: int = 0
    raised: int = 0
    """Alerts raised so far: makes the next id."""
    cleared: float | None = None
    cleared_severity: int = 0
    tokens: float | None = None
    """Left in the rate limit's bucket; None: full."""
    tokens_time: float = 0.0
    suppressed: int = 0
    """Held back since the newest alert."""
    holding: bool = False
    """The condition goes on, held back: counted once."""
    load: float | None = None
    """What earlier alerts weigh on the alert budget, in alerts; None: none was judged yet."""
    load_time: float = 0.0


def cleared(alert: Alert, time: float, why: str) -> Alert:
    """The event that ends an alert."""
    return msgspec.structs.replace(
        alert, revision=alert.revision + 1, state="cleared", time=time, cleared=time, cleared_by=why
    )


class Signal(NamedTuple):
    """One reading as seen by one kind of alert."""

    row: int
    """In the batch."""
    device: int
    time: float
    strength: float
    """Score / threshold; 1 and more is anomalous."""


class StateChange(NamedTuple):
    """State to be committed with the events it belongs to; None: forget it."""

    device: str
    kind: str
    state: AlertState | None


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
        self.profile, self.gateway, self.epoch, self.table = profile, gateway, epoch, table
        self._states: dict[tuple[int, str], AlertState] = {}
        self._forgotten = 0
        """Devices forgotten so far: who comes back counts its alerts anew, and must not reuse their ids."""
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
                        caused += self._heard(signal)
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
            event, held = self._step(SILENT, Signal(row, one.device, now, 1.0), verdicts)
            suppressed += held
            self._watch(one.device)
            if event is not None:
                events.append(event)
                rows.append(row)
                changes.append(self._change(one.device, SILENT))
        return Decided(events, rows, changes, suppressed)

    def _heard(self, signal: Signal) -> list[Alert]:
        """A device that was silent is heard again: whatever was said of it is over."""
        state = self._states.get((signal.device, SILENT))
        if state is None:
            return []
        state.holding = False
        return [] if state.alert is None else [self._clear(state, state.alert, signal.time, "heard again")]

    def _explained(self, device: int, time: float, transient: Transient) -> Alert | None:
        """Clear the anomaly that a transient opened before it was recognised as one."""
        state = self._states.get((device, ANOMALY))
        if state is None or state.alert is None or state.alert.opened < transient.began:
            return None
        return self._clear(state, state.alert, time, "sensor fault") if state.channel == transient.column else None

    def _step(self, kind: str, signal: Signal, verdicts: Verdicts) -> tuple[Alert | None, int]:
        """Advance one alert by one reading: (event, 1 if an alert was held back)."""
        state = self._states.get((signal.device, kind))
        if state is None:
            if signal.strength < 1.0:
                return None, 0
            state = self._states[signal.device, kind] = AlertState()
        if state.alert is not None:
            return self._go_on(state, state.alert, kind, signal, verdicts), 0
        if signal.strength < 1.0:
            if state.holding:
                self._hold_on(state, kind, signal, verdicts)
            return None, 0
        severity = self._severity(kind, signal.strength)
        if (
            self._cooling(state, kind, severity, signal.time)
            or (kind == ANOMALY and not self._is_worth_it(state, signal, verdicts))
            or (kind == ANOMALY and not self._take_token(state, signal.time))
        ):
            newly = not state.holding
            if newly:
                state.channel = self._explain(kind, signal, verdicts)[-1]
            state.suppressed += newly
            state.holding, state.quiet = True, 0
            return None, int(newly)
        return self._raise(state, kind, severity, signal, verdicts), 0

    def _hold_on(self, state: AlertState, kind: str, signal: Signal, verdicts: Verdicts) -> None:
        """A condition that is held back: it ends as an open alert would."""
        if signal.strength >= self.profile.decisions.hysteresis:
            state.quiet = 0
        elif self._reports(state, kind, signal, verdicts):
            state.quiet += 1
            state.holding = state.quiet < self._clear_after(kind)

    def _raise(self, state: AlertState, kind: str, severity: Severity, signal: Signal, verdicts: Verdicts) -> Alert:
        device = self.table.name(signal.device)
        detector, sentence, channels, channel = self._explain(kind, signal, verdicts)
        state.raised += 1
        unique = (self.profile.name, device, kind, str(self._forgotten), str(state.raised))
        identity = hashlib.blake2b("\0".join(unique).encode(), digest_size=8).hexdigest()
        state.alert = Alert(
            id=f"{self.epoch}-{identity}",
            revision=1,
            gateway=self.gateway,
            device=device,
            profile=self.profile.name,
            kind=kind,
            state="active",
            severity=severity,
            opened=signal.time,
            time=signal.time,
            score=signal.strength,
            reason=sentence,
            detector=detector,
            channels=channels,
            suppressed=state.suppressed,
            time_quality=int(verdicts.batch.quality[signal.row]),
        )
        state.channel, state.quiet, state.suppressed, state.holding = channel, 0, 0, False
        if state.load is not None:
            state.load += 1.0
        return state.alert

    def _go_on(self, state: AlertState, alert: Alert, kind: str, signal: Signal, verdicts: Verdicts) -> Alert | None:
        """An open alert: quiet, louder, or over."""
        rules = self.profile.decisions
        if signal.strength < rules.hysteresis:
            late = kind not in (CLOCK, SILENT) and _is_late(signal.time, alert.time)
            if late or kind == SILENT or not self._reports(state, kind, signal, verdicts):
                return None
            state.quiet += 1
            if state.quiet < self._clear_after(kind):
                return None
            return self._clear(state, alert, signal.time, "quiet")
        state.quiet = 0
        if signal.strength <= alert.score:
            return None
        severity = self._severity(kind, signal.strength)
        if SEVERITIES.index(severity) <= SEVERITIES.index(alert.severity):
            # not worth an event; told with the next one
            state.alert = msgspec.structs.replace(alert, score=signal.strength)
            return None
        detector, sentence, channels, channel = self._explain(kind, signal, verdicts)
        state.channel = channel
        state.alert = msgspec.structs.replace(
            alert,
            revision=alert.revision + 1,
            time=signal.time,
            severity=severity,
            score=signal.strength,
            reason=sentence,
            detector=detector,
            channels=channels,
        )
        return state.alert

    @staticmethod
    def _clear(state: AlertState, alert: Alert, time: float, why: str) -> Alert:
        state.alert, state.quiet = None, 0
        state.cleared, state.cleared_severity = time, SEVERITIES.index(alert.severity)
        return cleared(alert, time, why)

    def _explain(
        self, kind: str, signal: Signal, verdicts: Verdicts
    ) -> tuple[str, str, tuple[ChannelReason, ...], int]:
        """(detector, sentence, reasons, column of the main channel)."""
        if kind != ANOMALY:
            return "sensor_health", *verdicts.faults.explain(kind, signal.row)
        detector, reasons = verdicts.reasons(signal.row, self.profile)
        main = self.profile.channel_names.index(reasons[0].channel) if reasons else -1
        return detector, reason.anomaly(reasons), reasons, main

    def _reports(self, state: AlertState, kind: str, signal: Signal, verdicts: Verdicts) -> bool:
        """Whether the reading says anything about the channel concerned: no data, or none to believe, is not quiet."""
        if state.channel < 0:
            return True
        withheld = verdicts.faults.withheld
        if kind == ANOMALY and withheld is not None and withheld[signal.row, state.channel]:
            return False
        return not np.isnan(verdicts.batch.values[signal.row, state.channel])

    def _severity(self, kind: str, strength: float) -> Severity:
        rules = self.profile.decisions
        if kind != ANOMALY:
            return RULES[kind].severity
        if strength >= rules.critical:
            return "critical"
        if strength >= rules.high:
            return "high"
        return "medium" if strength >= rules.medium else "low"

    def _clear_after(self, kind: str) -> int:
        """Readings without the condition that end it."""
        own = None if kind == ANOMALY else RULES[kind].clear_after
        return self.profile.decisions.clear_after if own is None else own

    def _cooling(self, state: AlertState, kind: str, severity: Severity, time: float) -> bool:
        """Within the cooldown or late, unless this is worse than the last one; a clock that was set back ends it."""
        if state.cleared is None or SEVERITIES.index(severity) > state.cleared_severity:
            return False
        cooldown = self.profile.decisions.cooldown if kind == ANOMALY else self.profile.health.cooldown
        return _is_late(time, state.cleared) or 0.0 <= time - state.cleared < cooldown

    def _is_worth_it(self, state: AlertState, signal: Signal, verdicts: Verdicts) -> bool:
        """Whether it is rare enough after the alerts that were raised lately: each makes the next dearer for a time.

        What holds the budget of a bad device, and lets pass what is clearly worse than its everyday alerts.
        """
        rules = self.profile.decisions
        if rules.threshold is not None:
            return True
        drain = DRAIN * rules.alerts_per_week / WEEK
        if state.load is None:
            state.load = 0.0
        else:
            state.load = max(0.0, state.load - drain * max(0.0, signal.time - state.load_time))
        state.load_time = signal.time
        return verdicts.log_rarity(signal.row) >= math.log(DEARER) * min(state.load, DEAREST)

    def _take_token(self, state: AlertState, time: float) -> bool:
        """Token bucket: `burst` at once, refilled by `per_day`."""
        rules: Decisions = self.profile.decisions
        if state.tokens is None:
            state.tokens = float(rules.burst)
        else:
            refill = max(0.0, time - state.tokens_time) * rules.per_day / DAY
            state.tokens = min(float(rules.burst), state.tokens + refill)
        state.tokens_time = time
        if state.tokens < 1.0:
            return False
        state.tokens -= 1.0
        return True

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
            events.append(self._clear(state, alert, alert.time, "model replaced"))
            state.cleared, state.cleared_severity = cooling
            state.load = None if state.load is None else max(0.0, state.load - 1.0)
            changes.append(self._change(row, kind))
            self._watch(row)
        return Decided(events, [], changes, 0)

    # ---------------------------------------------------------------- devices

    def forget(self, device: str, row: int, time: float) -> Decided:
        """Clear a device's alerts and drop what is known of them."""
        self._forgotten += 1
        events, changes = [], []
        for kind in KINDS:
            state = self._states.pop((row, kind), None)
            if state is None:
                continue
            if state.alert is not None:
                events.append(self._clear(state, state.alert, time, "forgotten"))
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
            state.channel = self._column(state.alert)
            self._states[row, kind] = state
            self._make_room()
            self._watch(row)
        return left

    def _column(self, alert: Alert | None) -> int:
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


def _is_late(time: float, newest: float) -> bool:
    """Whether a reading is older than the event it comes after, and not by so much that its clock was set back."""
    return 0.0 < newest - time <= LATE
