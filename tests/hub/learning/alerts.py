"""Alerts with labels, to learn from."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine

from tests.hub.gateway import alert, row
from vedette_hub.alerts.actions import act
from vedette_hub.config import LimitsSection
from vedette_hub.fleet.arrivals import parse
from vedette_hub.fleet.commit import commit
from vedette_hub.store.alerts import Action
from vedette_models import topics
from vedette_models.messages import Delivery, to_bytes

OPENED = 1_700_000_000.0


def raise_alert(engine: Engine, number: int = 1, label: Any = None, **fields: Any) -> None:
    event = alert(number, **{"opened": OPENED, **fields})
    rows = Delivery((row(1, event, epoch=f"e-{event.id}"),))
    commit(engine, parse(topics.gateway_up(event.gateway, "alerts"), to_bytes(rows)), OPENED, LimitsSection())
    if label is not None:
        act(engine, (event.gateway, event.id), Action("label", OPENED + 50.0, "ann", label=label))
