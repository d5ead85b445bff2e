"""What gateways say of devices whose readings are not all taken, and of their own clocks."""

from __future__ import annotations

import time
from typing import Any

import pytest
from sqlalchemy import Engine

from tests.hub.conftest import Call
from vedette_hub.config import LimitsSection
from vedette_hub.fleet.arrivals import parse
from vedette_hub.fleet.commit import commit
from vedette_models import topics
from vedette_models.messages import Counters, Restricted, Status, to_bytes
from vedette_models.readings import Quality


def say(engine: Engine, **fields: Any) -> None:
    status = Status("gw-1", online=True, time=time.time(), **fields)
    commit(engine, parse(topics.gateway_up("gw-1", "status"), to_bytes(status)), time.time(), LimitsSection())


def values(client: Any, name: str) -> dict[str, float]:
    """Value by labels of one metric."""
    text = client.get("/metrics", headers={"Authorization": f"Bearer {client.token}"}).get_data(as_text=True)
    lines = [line for line in text.split("\n") if line.startswith(f"{name}{{")]
    return {line[len(name) : line.rindex(" ")]: float(line.rsplit(" ", 1)[1]) for line in lines}


def test_restricted_devices_and_dead_letters_are_metrics(client: Any, engine: Engine) -> None:
    say(
        engine,
        rate_limited=1,
        quarantined=2,
        counters=Counters(dead_letters=12, dead_by_reason={"not_json": 7, "rate_limited": 5}),
        time_quality=int(Quality.GATEWAY_UNSET),
    )
    assert values(client, "vedette_hub_restricted_devices") == {
        '{gateway="gw-1",state="rate_limited"}': 1.0,
        '{gateway="gw-1",state="quarantined"}': 2.0,
    }
    assert values(client, "vedette_hub_dead_letters_total") == {
        '{gateway="gw-1",reason="not_json"}': 7.0,
        '{gateway="gw-1",reason="rate_limited"}': 5.0,
    }
    assert values(client, "vedette_hub_gateway_clock_unset") == {'{gateway="gw-1"}': 1.0}


def test_a_gateway_that_makes_up_reasons_does_not_grow_the_metrics(client: Any, engine: Engine) -> None:
    made_up = {f'reason {i} "\n' + "x" * 500: -i for i in range(300)}
    say(engine, counters=Counters(dead_by_reason=made_up))
    assert len(values(client, "vedette_hub_dead_letters_total")) <= 32


@pytest.mark.parametrize("state", ["quarantined", "something newer"])
def test_the_status_is_shown_as_the_gateway_said_it(call: Call, engine: Engine, state: str) -> None:
    say(engine, restricted=(Restricted("pump-7", state, 1.0, 2.0, "not_json", 3),))
    (one,) = call("GET", "gateways")[1]["gateways"]
    assert one["status"]["restricted"][0]["state"] == state
