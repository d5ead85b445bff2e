"""Alert steps: how one alert goes on with one reading: it opens, rises in severity, or is over. Pure."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np

from vedette_agent.reading import reason
from vedette_agent.reading.alert_state import ANOMALY, AlertState, clear, is_late
from vedette_agent.reading.health.faults import CLOCK, RULES, SILENT
from vedette_agent.reading.restraint import is_cooling, is_worth_it, take_token
from vedette_models.messages import SEVERITIES, Alert, ChannelReason, Severity

if TYPE_CHECKING:
    from vedette_agent.reading.devices import DeviceTable
    from vedette_agent.reading.pipeline import Verdicts
    from vedette_models.profile import Profile


class Signal(NamedTuple):
    """One reading as seen by one kind of alert."""

    row: int
    """In the batch."""
    device: int
    time: float
    strength: float
    """Score / threshold; 1 and more is anomalous."""


class AlertSteps:
    """Alerts of the devices of one profile, each a state of its own."""

    def __init__(self, profile: Profile, gateway: str, epoch: str, table: DeviceTable) -> None:
        self.profile, self.gateway, self.epoch, self.table = profile, gateway, epoch, table
        self.forgotten = 0
        """Devices forgotten so far: who comes back counts its alerts anew, and must not reuse their ids."""

    def advance(self, state: AlertState, kind: str, signal: Signal, verdicts: Verdicts) -> tuple[Alert | None, int]:
        """Advance one alert by one reading: (event, 1 if an alert was held back)."""
        if state.alert is not None:
            return self._go_on(state, state.alert, kind, signal, verdicts), 0
        if signal.strength < 1.0:
            if state.holding:
                self._hold_on(state, kind, signal, verdicts)
            return None, 0
        severity = self._severity(kind, signal.strength)
        if self._is_held_back(state, kind, severity, signal, verdicts):
            newly = not state.holding
            if newly:
                state.channel = self._explain(kind, signal, verdicts)[-1]
            state.suppressed += newly
            state.holding, state.quiet = True, 0
            return None, int(newly)
        return self._raise(state, kind, severity, signal, verdicts), 0

    def _is_held_back(
        self, state: AlertState, kind: str, severity: Severity, signal: Signal, verdicts: Verdicts
    ) -> bool:
        if kind != ANOMALY:
            return is_cooling(state, self.profile.health.cooldown, severity, signal.time)
        rules = self.profile.decisions
        return (
            is_cooling(state, rules.cooldown, severity, signal.time)
            or not is_worth_it(state, rules, signal.time, verdicts.log_rarity(signal.row))
            or not take_token(state, rules, signal.time)
        )

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
        unique = (self.profile.name, device, kind, str(self.forgotten), str(state.raised))
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
            late = kind not in (CLOCK, SILENT) and is_late(signal.time, alert.time)
            if late or kind == SILENT or not self._reports(state, kind, signal, verdicts):
                return None
            state.quiet += 1
            if state.quiet < self._clear_after(kind):
                return None
            return clear(state, alert, signal.time, "quiet")
        state.quiet = 0
        if signal.strength <= alert.score:
            return None
        severity = self._severity(kind, signal.strength)
        if SEVERITIES.index(severity) <= SEVERITIES.index(alert.severity):
            # not worth an event; told with the next one
            state.alert = msgspec.structs.replace(alert, score=signal.strength)
            return None
        return self.restate(state, alert, kind, signal, verdicts)

    def restate(self, state: AlertState, alert: Alert, kind: str, signal: Signal, verdicts: Verdicts) -> Alert:
        """A new revision of an open alert: as bad as `signal` is, with the reason that it has."""
        detector, sentence, channels, channel = self._explain(kind, signal, verdicts)
        state.channel = channel
        state.alert = msgspec.structs.replace(
            alert,
            revision=alert.revision + 1,
            time=signal.time,
            severity=self._severity(kind, signal.strength),
            score=signal.strength,
            reason=sentence,
            detector=detector,
            channels=channels,
        )
        return state.alert

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
