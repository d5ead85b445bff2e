"""An alert's record ↔ its row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import RowMapping

from vedette_hub.alerts.lifecycle import Acknowledgement, AlertRecord, Assignment, Label, Resolution, Ruling
from vedette_hub.store.schema import NAME_LENGTH
from vedette_models.messages import Alert

_decoder = msgspec.json.Decoder(Alert)


@dataclass(frozen=True)
class StoredAlert:
    """An alert with its place in the store."""

    serial: int
    """Higher for an alert that reached the hub later."""
    received: float
    updated: float
    changed: int
    """Higher for an alert that has changed later."""
    record: AlertRecord


def columns_of(record: AlertRecord) -> dict[str, Any]:
    """What of a record is in columns of its own; its event is not."""
    event = record.event
    seen, resolution, label = record.acknowledgement, record.resolution, record.label
    assignment = record.assignment
    return {
        "gateway": event.gateway,
        "alert": event.id,
        "revision": event.revision,
        "device": event.device,
        "profile": event.profile,
        "kind": event.kind,
        "state": record.state,
        "severity": record.severity,
        "acknowledged": record.acknowledged,
        "opened": event.opened,
        "acknowledged_by": seen.by if seen else None,
        "acknowledged_time": seen.time if seen else None,
        "acknowledged_severity": seen.severity if seen else None,
        "resolved_by": resolution.by if resolution else None,
        "resolved_time": resolution.time if resolution else None,
        "resolved_revision": resolution.revision if resolution else None,
        "label": label.value if label else None,
        "label_by": label.by if label else None,
        "label_time": label.time if label else None,
        "assignee": assignment.to if assignment else None,
        "assigned_by": assignment.by if assignment else None,
        "assigned_time": assignment.time if assignment else None,
        "detector": event.detector[:NAME_LENGTH],
        "rule": record.ruling.rule if record.ruling else None,
    }


def stored_alert(row: RowMapping) -> StoredAlert:
    """The alert of a row."""
    seen = resolution = label = assignment = None
    if row["acknowledged_by"] is not None:
        seen = Acknowledgement(row["acknowledged_by"], row["acknowledged_time"], row["acknowledged_severity"])
    if row["resolved_by"] is not None:
        resolution = Resolution(row["resolved_by"], row["resolved_time"], row["resolved_revision"])
    if row["label"] is not None:
        label = Label(row["label"], row["label_by"], row["label_time"])
    if row["assignee"] is not None:
        assignment = Assignment(row["assignee"], row["assigned_by"], row["assigned_time"])
    ruling = None if row["rule"] is None else Ruling(row["severity"], row["rule"])
    record = AlertRecord(_decoder.decode(row["event"]), seen, resolution, label, assignment, ruling)
    return StoredAlert(row["serial"], row["received"], row["updated"], row["changed"], record)
