from __future__ import annotations

import time
from typing import Any

import pytest
from sqlalchemy import Engine

from tests.hub.conftest import Call
from vedette_hub.config import Config
from vedette_hub.fleet import arrivals
from vedette_hub.fleet.commit import commit
from vedette_models import topics
from vedette_models.messages import Status, to_bytes


@pytest.fixture
def gateway(config: Config, engine: Engine) -> str:
    status = to_bytes(Status("line 3", online=True, time=1.0))
    commit(engine, arrivals.parse(topics.gateway_up("line 3", "status"), status), time.time(), config.limits)
    return "line 3"


def test_a_device_can_be_looked_at_for_a_while(call: Call, gateway: str) -> None:
    assert call("POST", "devices/line%203/pump%2F1/live", json={"seconds": 30}) == (
        202,
        {"gateway": gateway, "device": "pump/1", "seconds": 30.0, "state": "asked"},
    )
    assert call("POST", "devices/line%203/pump%2F2/live")[1]["seconds"] == 60.0


def test_a_gateway_that_nobody_has_seen_is_not_asked(call: Call) -> None:
    status, body = call("POST", "devices/gw-9/pump-1/live")
    assert status == 404
    assert "gw-9" in body["error"]["message"]


@pytest.mark.parametrize("body", [{"seconds": 0}, {"seconds": 301}, {"seconds": "long"}, {"for": 3}])
def test_what_is_wrong_with_a_request_is_named(call: Call, gateway: str, body: dict[str, Any]) -> None:
    status, answer = call("POST", "devices/line%203/pump-1/live", json=body)
    assert status == 422
    assert [field["field"] for field in answer["error"]["fields"]] == list(body)


def test_more_devices_than_may_be_looked_at_are_refused(call: Call, gateway: str, config: Config) -> None:
    room = config.live.devices + config.live.gateways
    statuses = [call("POST", f"devices/line%203/pump-{number}/live")[0] for number in range(room + 1)]
    assert statuses == [202] * room + [409]
