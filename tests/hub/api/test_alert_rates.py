"""The realised alert rate of a gateway beside its target."""

from __future__ import annotations

import time
from typing import Any

import pytest
from sqlalchemy import Engine

from tests.hub.conftest import Call
from tests.hub.gateway import alert, row
from vedette_hub.config import LimitsSection
from vedette_hub.fleet.arrivals import parse
from vedette_hub.fleet.commit import commit
from vedette_models import topics
from vedette_models.messages import Alert, AlertRate, Delivery, Status, to_bytes


@pytest.fixture
def take(engine: Engine) -> Any:
    """Commit alerts as if gateways had sent them."""
    sequences: dict[str, int] = {}

    def take(*events: Alert, now: float = 1_800_000_000.0) -> None:
        for event in events:
            sequences[event.gateway] = sequences.get(event.gateway, 0) + 1
            rows = Delivery((row(sequences[event.gateway], event),))
            topic = topics.gateway_up(event.gateway, "alerts")
            commit(engine, parse(topic, to_bytes(rows)), now, LimitsSection())

    return take


def say(engine: Engine, **rates: AlertRate) -> None:
    status = Status("gw-1", online=True, time=time.time(), alert_rates=rates)
    commit(engine, parse(topics.gateway_up("gw-1", "status"), to_bytes(status)), time.time(), LimitsSection())


def rates(call: Call) -> list[dict[str, Any]]:
    (one,) = call("GET", "gateways")[1]["gateways"]
    assert one["alert_rates"] == call("GET", "gateways/gw-1")[1]["alert_rates"]
    return list(one["alert_rates"])


def test_a_gateway_says_what_its_budgets_came_to(call: Call, engine: Engine) -> None:
    say(engine, pump=AlertRate(0.5, 6, 8.0), fan=AlertRate(None, 0, 0.0))
    assert rates(call) == [
        {"profile": "fan", "target": None, "realised": None, "alerts": 0, "labelled_true": 0, "device_weeks": 0.0},
        {"profile": "pump", "target": 0.5, "realised": 0.75, "alerts": 6, "labelled_true": 0, "device_weeks": 8.0},
    ]


def test_alerts_labelled_true_are_no_false_ones(call: Call, take: Any, engine: Engine) -> None:
    for number, fields in enumerate(({}, {}, {}, {"kind": "impossible"}, {"profile": "fan"}), start=1):
        take(alert(number, **{"kind": "anomaly", "profile": "pump", **fields}))
        call("POST", f"alerts/gw-1/a-{number}/label", json={"label": "false" if number == 3 else "true"})
    say(engine, pump=AlertRate(0.5, 6, 8.0), fan=AlertRate(1.0, 0, 2.0))
    fan, pump = rates(call)
    assert (pump["labelled_true"], pump["realised"]) == (2, 0.5)
    assert (fan["labelled_true"], fan["realised"]) == (1, 0.0), "never below zero, though the gateway has forgotten it"


def test_an_agent_from_before_budgets_has_none(call: Call, engine: Engine) -> None:
    body = b'{"gateway":"gw-1","online":true}'
    commit(engine, parse(topics.gateway_up("gw-1", "status"), body), time.time(), LimitsSection())
    assert rates(call) == []


def test_metrics_have_target_alerts_and_time(call: Call, client: Any, engine: Engine) -> None:
    say(engine, pump=AlertRate(0.5, 6, 8.0))
    text = client.get("/metrics", headers={"Authorization": f"Bearer {client.token}"}).get_data(as_text=True)
    for name, value in (("alert_budget", 0.5), ("anomaly_alerts", 6.0), ("watched_device_weeks", 8.0)):
        (line,) = [line for line in text.split("\n") if line.startswith(f"vedette_hub_{name}{{")]
        assert line.split()[0].endswith('{gateway="gw-1",profile="pump"}')
        assert float(line.split()[1]) == pytest.approx(value)
