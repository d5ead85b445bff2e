"""Orders over the API: clear answers for what cannot be ordered, and what gateways run."""

from __future__ import annotations

import time
from typing import Any

import msgspec
import pytest
from sqlalchemy import Engine

from tests.hub.conftest import Call
from tests.hub.updating import add_model
from vedette_hub import state
from vedette_hub.config import Config, LimitsSection
from vedette_hub.fleet.arrivals import parse
from vedette_hub.fleet.commit import commit
from vedette_models import topics
from vedette_models.messages import Activation, Delivery, Report, Row, RunningModel, Status, to_bytes


def say(engine: Engine, name: str = "gw-1", **fields: Any) -> None:
    status = Status(**{"gateway": name, "online": True, "time": time.time(), **fields})
    commit(engine, parse(topics.gateway_up(name, "status"), to_bytes(status)), time.time(), LimitsSection())


def report(engine: Engine, *activations: Activation, name: str = "gw-1", sequence: int = 1) -> None:
    body = msgspec.Raw(to_bytes(Report(1_800_000_000.0, activations=activations)))
    delivery = Delivery((Row("e1", sequence, body),))
    commit(engine, parse(topics.gateway_up(name, "reports"), to_bytes(delivery)), time.time(), LimitsSection())


@pytest.fixture
def fleet(engine: Engine, config: Config) -> Engine:
    state.new_signing_key(config.state_dir, "test")
    for name in ("gw-1", "gw-2"):
        say(engine, name)
    add_model(engine)
    add_model(engine)
    return engine


def test_push_roll_back_and_unload_answer_with_what_was_ordered(fleet: Engine, call: Call) -> None:
    assert call("POST", "models/pump/1/push", json={"gateways": ["gw-1"]}) == (
        200,
        {"profile": "pump", "gateways": [{"gateway": "gw-1", "version": 1, "counter": 1}], "skipped": []},
    )
    status, body = call("POST", "models/pump/2/push", json={"all": True})
    assert (status, [item["counter"] for item in body["gateways"]]) == (200, [2, 1])
    status, body = call("POST", "models/pump/rollback", json={"all": True})
    assert (status, body["gateways"][0]["version"], body["skipped"]) == (200, 1, ["gw-2"])
    status, body = call("POST", "models/pump/unload", json={"gateways": ["gw-2"]})
    assert (status, body["gateways"]) == (200, [{"gateway": "gw-2", "version": None, "counter": 2}])


@pytest.mark.parametrize(
    ("path", "body", "status", "words"),
    [
        ("models/fan/1/push", {"all": True}, 404, "no model of profile 'fan'; profiles with models: 'pump'"),
        ("models/pump/9/push", {"all": True}, 404, "has no version 9; its newest are 2, 1"),
        ("models/pump/99999999999999999999/push", {"all": True}, 404, "nothing at this address"),
        ("models/pump/0/push", {"all": True}, 404, "nothing at this address"),
        ("models/pump/one/push", {"all": True}, 404, "nothing at this address"),
        ("models/pump/1/push", {"gateways": ["moon"]}, 422, "no such gateway: 'moon'"),
        ("models/pump/1/push", {"group": "hall"}, 422, "no gateway is in group 'hall'"),
        ("models/pump/1/push", {}, 422, "say for whom"),
        ("models/pump/1/push", {"all": True, "group": "hall"}, 422, "say for whom"),
        ("models/pump/1/push", {"gateways": []}, 422, "at least 1 item"),
        ("models/pump/1/push", {"gateways": "gw-1"}, 422, "valid list"),
        ("models/pump/1/push", {"everybody": True}, 422, "unknown field"),
        ("models/pump/rollback", {"all": True}, 409, "no earlier version"),
        ("models/pump/unload", {"all": True}, 409, "no model is ordered"),
        ("models/fan/rollback", {"all": True}, 404, "no model of profile 'fan'"),
    ],
)
def test_what_cannot_be_ordered_is_answered_with_what_to_do(
    fleet: Engine, call: Call, path: str, body: dict[str, Any], status: int, words: str
) -> None:
    found, answer = call("POST", path, json=body)
    assert found == status
    assert words in str(answer)


def test_a_field_that_is_wrong_is_named(fleet: Engine, call: Call) -> None:
    _, answer = call("POST", "models/pump/1/push", json={"gateways": ["moon"]})
    assert answer["error"]["fields"][0]["field"] == "gateways"


def test_without_a_signing_key_the_hub_says_so(fleet: Engine, call: Call, config: Config) -> None:
    (config.state_dir / state.SIGNING_KEY_FILE).unlink()
    status, answer = call("POST", "models/pump/1/push", json={"all": True})
    assert (status, "restore it from a backup" in answer["error"]["message"]) == (503, True)


def test_orders_need_a_token(fleet: Engine, client: Any) -> None:
    for path in ("models/pump/1/push", "models/pump/rollback", "models/pump/unload"):
        assert client.post(f"/api/v1/{path}", json={"all": True}).status_code == 401
    assert client.put("/api/v1/gateways/gw-1/group", json={"group": "x"}).status_code == 401


def test_a_group_can_be_set_and_ordered_to(fleet: Engine, call: Call) -> None:
    assert call("PUT", "gateways/gw-2/group", json={"group": "hall"}) == (200, {"gateway": "gw-2", "group": "hall"})
    assert call("PUT", "gateways/moon/group", json={"group": "hall"})[0] == 404
    assert call("PUT", "gateways/gw-2/group", json={"group": "  "})[0] == 422
    assert call("PUT", "gateways/gw-2/group", json={})[0] == 422
    _, body = call("POST", "models/pump/1/push", json={"group": "hall"})
    assert [item["gateway"] for item in body["gateways"]] == ["gw-2"]
    assert call("GET", "gateways/gw-2")[1]["group"] == "hall"


def test_a_gateway_shows_what_was_ordered_what_runs_and_what_became_of_it(fleet: Engine, call: Call) -> None:
    _, first = add_model(fleet, "fan")
    call("POST", "models/fan/1/push", json={"gateways": ["gw-1"]})
    (model,) = call("GET", "gateways/gw-1")[1]["models"]
    assert (model["progress"], model["ordered"], model["running"]) == ("queued", 1, None)
    report(fleet, Activation("fan", first, 1, "refused", "golden_mismatch", "score 0.4, expected 0.6", 1))
    say(fleet, manifest=1, models={"other": RunningModel(4, "e" * 64, "lof")})
    fan, other = call("GET", "gateways/gw-1")[1]["models"]
    assert (fan["last_activation"]["outcome"], fan["last_activation"]["reason"]) == ("refused", "golden_mismatch")
    assert (other["progress"], other["running"], other["on_probation"]) == ("not ordered here", 4, False)
    listed = call("GET", "gateways")[1]["gateways"]
    assert [len(gateway["models"]) for gateway in listed] == [2, 0]
    say(fleet, manifest=1, models={"fan": RunningModel(1, first, "lof", on_probation=True)})
    (fan,) = call("GET", "gateways/gw-1")[1]["models"]
    assert (fan["progress"], fan["on_probation"]) == ("running", True)


@pytest.mark.parametrize(
    "activation",
    [
        Activation("p" * 300, "a" * 64, 1, "activated"),
        Activation("pump", "no hash", 1, "activated"),
        Activation("pump", "a" * 64, -1, "activated"),
        Activation("pump", "a" * 64, 1, "refused", counter=2**60),
    ],
)
def test_a_report_with_nonsense_is_kept_raw_and_receipted(fleet: Engine, call: Call, activation: Activation) -> None:
    report(fleet, activation)
    found = call("GET", "gateways/gw-1")[1]
    assert (found["rows"], found["unparsed"], found["models"]) == (1, 1, [])
