"""Alerts to send."""

from __future__ import annotations

from typing import Any

import msgspec

from vedette_models.messages import Alert

_ALERT = Alert(
    id="e-1",
    revision=1,
    gateway="gw",
    device="d1",
    profile="pump",
    kind="anomaly",
    state="active",
    severity="low",
    opened=1.7e9,
    time=1.7e9,
    score=1.0,
    reason="vibration 4, usually 1–2",
)


def alert(**changes: Any) -> Alert:
    """One that is open, with these fields changed."""
    return msgspec.structs.replace(_ALERT, **changes)


def cleared(**changes: Any) -> Alert:
    """One that has ended."""
    return alert(**{"revision": 2, "state": "cleared", "cleared": 1.7e9, "cleared_by": "quiet", **changes})
