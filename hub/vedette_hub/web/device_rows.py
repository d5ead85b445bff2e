"""Rows of a list of devices: last reading, rhythm, model and open alerts, read from the store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection

from vedette_hub.store.alert_search import AlertFilter, list_alerts
from vedette_hub.store.devices import StoredDevice
from vedette_hub.store.fleet import StoredGateway
from vedette_models.messages import SEVERITIES

ALERTS_READ = 2_000
"""Open alerts of the gateways of a list that are counted."""


def device_rows(
    connection: Connection, devices: Sequence[StoredDevice], gateways: Mapping[str, StoredGateway]
) -> list[dict[str, Any]]:
    """One row for each device."""
    names = sorted({device.gateway for device in devices})
    found = list_alerts(connection, AlertFilter(gateway=names, state=("active",)), limit=ALERTS_READ) if names else []
    active: dict[tuple[str, str], list[str]] = {}
    silent: set[tuple[str, str]] = set()
    for one in found:
        key = (one.record.event.gateway, one.record.event.device)
        active.setdefault(key, []).append(one.record.severity)
        if one.record.event.kind == "silent":
            silent.add(key)
    return [_row(device, gateways.get(device.gateway), active, silent) for device in devices]


def _row(
    device: StoredDevice,
    gateway: StoredGateway | None,
    active: Mapping[tuple[str, str], list[str]],
    silent: set[tuple[str, str]],
) -> dict[str, Any]:
    key = (device.gateway, device.device)
    status = gateway.status if gateway is not None else None
    severities = active.get(key, [])
    restricted = next((one for one in status.restricted if one.device == device.device), None) if status else None
    model = status.models.get(device.profile) if status else None
    state = restricted.state if restricted else "silent" if key in silent else ""
    return {
        "gateway": device.gateway,
        "device": device.device,
        "profile": device.profile,
        "last": device.last,
        "interval": device.interval,
        "channels": device.channels,
        "state": state,
        "alerts": len(severities),
        "severity": max(severities, key=SEVERITIES.index) if severities else "",
        "model": model,
    }
