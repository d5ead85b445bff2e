"""What is expected of a device, through the API and on its page, from samples as gateways send them."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import pytest
from sqlalchemy import Engine

from tests.hub import people
from tests.hub.conftest import Call
from tests.hub.learning.readings import deliver
from tests.models.forecasts import DAILY, START, following, rhythm, small_artifact
from vedette_hub.learning import registry
from vedette_hub.store import fleet
from vedette_hub.store.database import writing
from vedette_models import messages
from vedette_models.artifact import Artifact, to_bytes
from vedette_models.messages import Limits, SampleBatch, Segment, Status

DAY = 86_400.0


@lru_cache
def model() -> tuple[Artifact, bytes]:
    artifact = small_artifact()
    return artifact, to_bytes(artifact)


def know(engine: Engine) -> None:
    artifact, data = model()
    with writing(engine) as connection:
        registry.add(connection, artifact, data, lineage={}, report={}, now=START)


def send(engine: Engine, device: str = "p/1", *, days: float = 3.0, profile: str = "pump", **more: Any) -> None:
    time, values = following(days, every=900.0)
    values = values + more.pop("drift", 0.0) * (time - START) / DAY
    pieces = [
        Segment(device, tuple(time[i : i + 32].tolist()), tuple((v,) for v in values[i : i + 32].tolist()))
        for i in range(0, len(time), 32)
    ]
    random = np.random.default_rng(0)
    random.shuffle(pieces)  # type: ignore[arg-type]  # a list will do
    deliver(engine, SampleBatch(profile, ("flow",), tuple(pieces), START), **more)


def test_a_device_is_expected_to_follow_its_rhythm(call: Call, engine: Engine) -> None:
    know(engine)
    send(engine)
    status, body = call("GET", "devices/p%2F1/forecast?horizon=24h")
    assert status == 200
    assert (body["gateway"], body["device"], body["profile"], body["version"]) == ("gw-1", "p/1", "pump", 1)
    assert (body["horizon"], body["readings"]) == (86_400.0, 288)
    assert body["since"] == START + 287 * 900.0
    (channel,) = body["channels"]
    times = np.array(channel["times"])
    assert (len(times), times[0], times[-1]) == (288, body["since"] + 300.0, body["since"] + 86_400.0)
    assert np.abs(np.array(channel["expected"]) - 50.0 - rhythm(times)).max() < 1.0
    assert (np.array(channel["low"]) < channel["expected"]).all()
    assert (np.array(channel["high"]) > channel["expected"]).all()


def test_it_says_when_a_limit_is_crossed(call: Call, engine: Engine) -> None:
    know(engine)
    send(engine, drift=4.0, days=6.0)
    limits = "flow:82,flow:40,flow:1000"
    _, body = call("GET", f"devices/p%2F1/forecast?horizon=7d&limit={limits}")
    first, below, never = body["limits"]
    channel = body["channels"][0]
    assert (first["side"], below["side"], never["side"]) == ("above", "below", "above")
    place = int(np.flatnonzero(np.array(channel["expected"]) >= 82.0)[0])
    assert channel["times"][place - 1] < first["expected"] <= channel["times"][place]
    assert first["band"] < first["expected"]
    assert first["expected_in"] == pytest.approx(first["expected"] - body["since"])
    assert first["expected_at"].endswith("Z")
    assert (never["expected"], never["band"], never["expected_at"]) == (None, None, None)


def say_limits(engine: Engine, **limits: Limits) -> None:
    """As the gateway does in its status."""
    said = Status("gw-1", online=True, limits={"pump": limits, "fan": {"flow": Limits(1.0, 2.0)}})
    with writing(engine) as connection:
        news = fleet.GatewayNews(online=True, status=messages.to_bytes(said).decode())
        fleet.save_news(connection, {"gw-1": news}, START)


def test_the_limits_of_the_profile_count_unless_others_are_asked_for(call: Call, client: Any, engine: Engine) -> None:
    know(engine)
    send(engine, drift=4.0, days=6.0)
    _, body = call("GET", "devices/p%2F1/forecast?horizon=7d")
    assert (body["limits_of"], body["limits"]) == ("profile", [])
    say_limits(engine, flow=Limits(low=0.0, high=82.0), speed=Limits(high=1.0))
    _, body = call("GET", "devices/p%2F1/forecast?horizon=7d")
    assert [(one["channel"], one["limit"], one["side"]) for one in body["limits"]] == [
        ("flow", 0.0, "below"),
        ("flow", 82.0, "above"),
    ]
    assert body["limits"][0]["expected"] is None
    asked = call("GET", "devices/p%2F1/forecast?horizon=7d&limit=flow:82")[1]
    assert (asked["limits_of"], asked["limits"]) == ("request", body["limits"][1:])
    people.add(engine, "ana", "viewer")
    people.begin_session(client, engine, "ana")
    page = client.get("/devices/gw-1/p%2F1/forecast?hours=168").get_data(as_text=True)
    assert "flow above 82.0" in page
    assert "not within this time" in page


@pytest.mark.parametrize(
    ("query", "status", "words"),
    [
        ("devices/nobody/forecast", 404, "No samples have come of a device 'nobody'"),
        ("devices/p%2F1/forecast?gateway=gw-9", 404, "there are gateway 'gw-1' with profile 'pump'"),
        ("devices/p%2F1/forecast?limit=speed:3", 409, "There is no channel 'speed'; the model has flow"),
        ("devices/p%2F1/forecast?limit=flow", 422, ""),
        ("devices/p%2F1/forecast?limit=flow:nan", 422, ""),
        ("devices/p%2F1/forecast?limit=" + ",".join(["flow:1"] * 17), 422, ""),
        ("devices/p%2F1/forecast?horizon=15d", 422, ""),
        ("devices/p%2F1/forecast?horizon=1s", 422, ""),
        ("devices/p%2F1/forecast?horizon=tomorrow", 422, ""),
        ("devices/p%2F1/forecast?horizont=1d", 422, ""),
        ("devices/short/forecast", 409, "5 readings of 'short' have come as samples; at least 20 are needed"),
        ("devices/fan/forecast", 409, "Profile 'fans' has no forecast model"),
        ("devices/twin/forecast", 409, "is not one device"),
    ],
)
def test_a_wrong_question_is_told_what_is_wrong(
    call: Call, engine: Engine, query: str, status: int, words: str
) -> None:
    know(engine)
    send(engine)
    send(engine, "short", days=5 / 96, first=2)
    send(engine, "fan", profile="fans", first=3)
    send(engine, "twin", first=4)
    send(engine, "twin", gateway="gw-2", first=1)
    answer = call("GET", query)
    assert answer[0] == status
    assert words in answer[1]["error"]["message"]


def test_of_two_devices_of_one_name_the_one_that_is_meant(call: Call, engine: Engine) -> None:
    know(engine)
    send(engine, "twin")
    send(engine, "twin", gateway="gw-2")
    status, body = call("GET", "devices/twin/forecast?gateway=gw-2&horizon=1h")
    assert (status, body["gateway"]) == (200, "gw-2")


def test_without_a_token_nothing_is_told(client: Any) -> None:
    assert client.get("/api/v1/devices/p/forecast").status_code == 401
    assert client.get("/devices/gw-1/p/forecast").headers["Location"] == "/login"


def test_the_route_is_in_the_specification(client: Any) -> None:
    paths = client.get("/openapi.json").get_json()["paths"]
    assert set(paths["/api/v1/devices/{device}/forecast"]["get"]["responses"]) >= {"200", "401", "404", "409", "422"}


def test_the_page_draws_what_is_expected(browser: Any, engine: Engine) -> None:
    know(engine)
    send(engine, "<b>1")
    answer = browser.get("/devices/gw-1/%3Cb%3E1/forecast?hours=72")
    text = answer.get_data(as_text=True)
    assert answer.status_code == 200
    assert "<b>1" not in text
    assert text.split("<main")[1].count("<svg") == 1
    assert 'class="band"' in text
    assert "is expected at" in text
    assert "style=" not in text.split("<main")[1]
    missing = browser.get("/devices/gw-1/nobody/forecast")
    assert missing.status_code == 200
    assert "There is no forecast yet: no samples have come" in missing.get_data(as_text=True)


def test_the_rhythm_of_the_test_data_is_what_the_model_knows() -> None:
    assert np.ptp(rhythm(START + 900.0 * np.arange(96))) == pytest.approx(2 * DAILY, rel=0.5)
