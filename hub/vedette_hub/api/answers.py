"""What is stored → what is answered. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import msgspec

from vedette_hub.alerts.maintenance import Window
from vedette_hub.alerts.suppression import Silence, suppressed_by
from vedette_hub.api.shapes import HistoryItem
from vedette_hub.fleet.presence import presence, problems
from vedette_hub.store.alert_rows import StoredAlert
from vedette_hub.store.alerts import Action, Event
from vedette_hub.store.fleet import StoredGateway
from vedette_hub.times import rfc3339
from vedette_models.messages import Alert, AlertRate


def alert_answer(
    stored: StoredAlert, now: float = 0.0, silences: Sequence[Silence] = (), windows: Sequence[Window] = ()
) -> dict[str, Any]:
    """Fields of `AlertOut`, with the silences and maintenance windows that there are `now`."""
    record, event = stored.record, stored.record.event
    seen, resolution, label = record.acknowledgement, record.resolution, record.label
    return {
        "gateway": event.gateway,
        "id": event.id,
        "revision": event.revision,
        "device": event.device,
        "profile": event.profile,
        "kind": event.kind,
        "state": record.state,
        "severity": record.severity,
        "gateway_severity": event.severity,
        "severity_rule": record.ruling.rule if record.ruling else None,
        "acknowledged": record.acknowledged,
        "acknowledgement": {"by": seen.by, "time": seen.time} if seen else None,
        "resolution": {"by": resolution.by, "time": resolution.time} if resolution else None,
        "label": {"value": label.value, "by": label.by, "time": label.time} if label else None,
        "assignment": vars(record.assignment) if record.assignment else None,
        "suppressed_by": _suppressed_by(suppressed_by(record, silences, windows, now), now),
        "opened": event.opened,
        "opened_at": rfc3339(event.opened),
        "time": event.time,
        "cleared": record.cleared,
        "cleared_at": rfc3339(record.cleared),
        "cleared_by": record.cleared_by,
        "score": event.score,
        "reason": event.reason,
        "message": event.reason,
        "source": event.device,
        "timestamp": rfc3339(event.opened),
        "detector": event.detector,
        "channels": [msgspec.structs.asdict(channel) for channel in event.channels],
        "suppressed": event.suppressed,
        "coalesced": _coalesced(event),
        "time_quality": event.time_quality,
        "received": stored.received,
        "received_at": rfc3339(stored.received),
        "updated": stored.updated,
    }


def _suppressed_by(found: Silence | Window | None, now: float) -> dict[str, Any] | None:
    """Fields of `SuppressedOut`."""
    match found:
        case Silence():
            return _suppression("silence", found.number, found.comment, found.end)
        case Window():
            period = found.period(now)
            return _suppression("maintenance", found.number, found.name, period[1] if period else found.end)
        case None:
            return None


def _suppression(what: str, number: int, name: str, end: float) -> dict[str, Any]:
    return {"what": what, "number": number, "name": name, "end": end, "end_at": rfc3339(end)}


def _coalesced(event: Alert) -> dict[str, Any] | None:
    """Fields of `CoalescedOut`."""
    if (several := event.coalesced) is None:
        return None
    return {
        "alerts": several.alerts,
        "events": several.events,
        "first": several.first,
        "first_at": rfc3339(several.first),
        "last": several.last,
        "last_at": rfc3339(several.last),
    }


def history_answer(events: list[Event], actions: list[Action]) -> list[dict[str, Any]]:
    """Items of `AlertDetailOut.history`, in the order in which the hub learnt of them."""
    items = [
        (
            event.received,
            HistoryItem(
                what="event",
                time=event.event.time,
                at=rfc3339(event.event.time),
                by=event.event.gateway,
                revision=event.event.revision,
                state=event.event.state,
                severity=event.event.severity,
                score=event.event.score,
                reason=event.event.reason,
            ),
        )
        for event in events
    ] + [
        (
            action.time,
            HistoryItem(
                what=action.action,
                time=action.time,
                at=rfc3339(action.time),
                by=action.by,
                comment=action.comment,
                label=action.label,
                assignee=action.assignee,
            ),
        )
        for action in actions
    ]
    return [item.model_dump() for _, item in sorted(items, key=lambda pair: pair[0])]


def alert_rate(profile: str, rate: AlertRate, labelled_true: int) -> dict[str, Any]:
    """Fields of `AlertRateOut`: what was labelled true is no false alert."""
    false = max(rate.alerts - labelled_true, 0)
    return {
        "profile": profile,
        "target": rate.target,
        "realised": false / rate.device_weeks if rate.device_weeks > 0.0 else None,
        "alerts": rate.alerts,
        "labelled_true": labelled_true,
        "device_weeks": rate.device_weeks,
    }


def gateway_answer(
    gateway: StoredGateway, now: float, silent_after: float, true_anomalies: Mapping[str, int] = MappingProxyType({})
) -> dict[str, Any]:
    """Fields of `GatewayOut`; with the number of its alerts that were labelled true, by profile."""
    state = presence(gateway, now, silent_after)
    return {
        "gateway": gateway.gateway,
        "group": gateway.group,
        "state": state,
        "online": state == "online",
        "first_seen": gateway.first_seen,
        "last_seen": gateway.last_seen,
        "last_seen_at": rfc3339(gateway.last_seen),
        "rows": gateway.rows,
        "duplicates": gateway.duplicates,
        "unparsed": gateway.unparsed,
        "lost_rows": gateway.lost_rows,
        "held_back": gateway.held_back,
        "problems": problems(gateway, state, now),
        "alert_rates": [
            alert_rate(profile, rate, true_anomalies.get(profile, 0))
            for profile, rate in sorted(gateway.status.alert_rates.items() if gateway.status is not None else ())
        ],
        "status": msgspec.to_builtins(gateway.status) if gateway.status is not None else None,
    }
