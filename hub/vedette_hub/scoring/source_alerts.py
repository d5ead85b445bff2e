"""Alerts for vectors: each source has one at a time, which rises with the score and ends when the source is quiet.

The rules are those of a gateway with default decisions: an alert opens with the first anomalous vector, is over after
`clear_after` in a row that are well below the boundary, and is followed by another one only after a cooldown, unless
that is more severe.
"""

from __future__ import annotations

import logging
import secrets
import threading
from collections import OrderedDict
from dataclasses import dataclass

from sqlalchemy import Engine

from vedette_hub.alerts.intake import take_events
from vedette_hub.scoring.models import ScoringModel
from vedette_hub.store.alert_search import AlertFilter, list_alerts
from vedette_hub.store.database import reading, writing
from vedette_models.messages import SEVERITIES, Alert, ChannelReason, Severity, to_bytes
from vedette_models.profile import Decisions

logger = logging.getLogger(__name__)

GATEWAY = "api"
"""Stands in alerts for the gateway: nobody's, the API was asked."""
MOST_SOURCES = 10_000
"""Sources remembered, those heard last; an alert of one that is forgotten stays open until somebody resolves it."""


@dataclass(frozen=True)
class Judgement:
    """What a model says of one vector of a source."""

    source: str
    time: float
    """Seconds since 1970 UTC."""
    strength: float
    """1 and more is anomalous."""
    model: ScoringModel
    channels: tuple[ChannelReason, ...] = ()
    """What it rests on, worked out for an anomaly."""


@dataclass
class _Source:
    """What is remembered of a source."""

    open: Alert | None = None
    quiet: int = 0
    ended: float | None = None
    ended_severity: int = 0


class SourceAlerts:
    """The alerts of all sources; safe to be used by several threads."""

    def __init__(self, engine: Engine, keep: int, decisions: Decisions | None = None) -> None:
        self._engine, self._keep = engine, keep
        self._decisions = decisions or Decisions()
        self._sources: OrderedDict[str, _Source] | None = None
        self._lock = threading.Lock()

    def judge(self, judged: Judgement) -> Alert | None:
        """Raise, raise in severity or end the alert of a source; the alert where one was raised just now."""
        with self._lock:
            source = self._remembered(judged.source, anomalous=judged.strength >= 1.0)
            if source is None:
                return None
            if source.open is None:
                return self._maybe_raise(source, judged)
            self._go_on(source, source.open, judged)
            return None

    def _remembered(self, name: str, *, anomalous: bool) -> _Source | None:
        """What is known of a source; None for one that is not anomalous, and has no alert."""
        if self._sources is None:
            self._sources = self._stored()
        found = self._sources.get(name)
        if found is None:
            if not anomalous:
                return None
            found = self._sources[name] = _Source()
            if len(self._sources) > MOST_SOURCES:
                forgotten, state = self._sources.popitem(last=False)
                if state.open is not None:
                    logger.warning("scoring: too many sources; the alert of %r stays open", forgotten)
        self._sources.move_to_end(name)
        return found

    def _stored(self) -> OrderedDict[str, _Source]:
        """Sources with an open alert, when the process starts."""
        chosen = AlertFilter(gateway=(GATEWAY,), state=("active",))
        with reading(self._engine) as connection:
            found = list_alerts(connection, chosen, limit=MOST_SOURCES)
        return OrderedDict((one.record.event.device, _Source(one.record.event)) for one in reversed(found))

    def _maybe_raise(self, source: _Source, judged: Judgement) -> Alert | None:
        if judged.strength < 1.0:
            return None
        severity = self._severity(judged.strength)
        cooling = source.ended is not None and judged.time < source.ended + self._decisions.cooldown
        if cooling and SEVERITIES.index(severity) <= source.ended_severity:
            return None
        model = judged.model
        alert = Alert(
            id=secrets.token_hex(12),
            revision=1,
            gateway=GATEWAY,
            device=judged.source,
            profile=model.profile,
            kind="anomaly",
            state="active",
            severity=severity,
            opened=judged.time,
            time=judged.time,
            score=judged.strength,
            reason=_reason(judged),
            detector=model.algorithm,
            channels=judged.channels,
        )
        self._write(alert)
        source.open, source.quiet = alert, 0
        return alert

    def _go_on(self, source: _Source, alert: Alert, judged: Judgement) -> None:
        decisions = self._decisions
        if judged.strength >= decisions.hysteresis:
            source.quiet = 0
            severity = self._severity(judged.strength)
            if SEVERITIES.index(severity) > SEVERITIES.index(alert.severity):
                source.open = self._changed(
                    alert,
                    judged,
                    severity=severity,
                    score=judged.strength,
                    reason=_reason(judged),
                    channels=judged.channels,
                )
            return
        source.quiet += 1
        if source.quiet >= decisions.clear_after:
            self._changed(alert, judged, state="cleared", cleared=judged.time, cleared_by="quiet")
            source.open, source.ended = None, judged.time
            source.ended_severity = SEVERITIES.index(alert.severity)

    def _changed(self, alert: Alert, judged: Judgement, **fields: object) -> Alert:
        values = {name: getattr(alert, name) for name in alert.__struct_fields__}
        changed = Alert(**{**values, "revision": alert.revision + 1, "time": judged.time, **fields})
        self._write(changed)
        return changed

    def _write(self, alert: Alert) -> None:
        with writing(self._engine) as connection:
            take_events(connection, [(alert, to_bytes(alert).decode())], alert.time, self._keep)

    def _severity(self, strength: float) -> Severity:
        rules = self._decisions
        if strength >= rules.critical:
            return "critical"
        if strength >= rules.high:
            return "high"
        return "medium" if strength >= rules.medium else "low"


def _reason(judged: Judgement) -> str:
    worst = ", ".join(
        f"{one.channel} {one.value:.4g}, usually {one.low:.4g}-{one.high:.4g}" for one in judged.channels[:2]
    )
    return worst or f"an unusual combination of features, {judged.strength:.2g} times the boundary"
