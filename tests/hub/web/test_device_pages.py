"""The console's pages about gateways and devices, and what its charts are drawn from."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from sqlalchemy import Engine

from tests.hub.learning.readings import START, deliver, samples
from tests.hub.web.test_console import raise_alert, report_status
from tests.hub.web.test_model_pages import train
from vedette_hub.learning import registry
from vedette_hub.store.database import reading
from vedette_models.messages import RunningModel

FIRST = START + 100_000.0
"""Time of the first reading of `samples(1)`, which come every minute."""


def page(browser: Any, path: str) -> str:
    answer = browser.get(path)
    assert answer.status_code == 200, path
    return str(answer.get_data(as_text=True))


def history(browser: Any, start: float, end: float, device: str = "pump-1") -> dict[str, Any]:
    answer = browser.get(f"/devices/gw-1/{device}/history.json?start={start}&end={end}")
    assert answer.status_code == 200
    found = answer.get_json()
    assert isinstance(found, dict)
    return found


def test_without_devices_and_gateways_it_says_what_to_do_next(browser: Any) -> None:
    assert "vedette-hub enroll NAME" in page(browser, "/gateways")
    assert "vedette-agent status" in page(browser, "/devices")


def test_gateways_are_chosen_by_what_is_wrong_with_them(browser: Any, engine: Engine) -> None:
    report_status(engine, "well", ingest="receiving")
    report_status(engine, "deaf", ingest="stalled")
    report_status(engine, "gone", online=False, reason="lost")
    names = {
        state: set(re.findall(r'href="/gateways/(\w+)"', page(browser, f"/gateways?state={state}")))
        for state in ("", "online", "trouble", "offline", "no-data", "nonsense")
    }
    assert names == {
        "": {"well", "deaf", "gone"},
        "online": {"well", "deaf"},
        "trouble": {"deaf", "gone"},
        "offline": {"gone"},
        "no-data": {"deaf"},
        "nonsense": {"well", "deaf", "gone"},
    }
    assert browser.get("/gateways?page=99999").status_code == 200


def test_a_gateway_shows_its_devices_outbox_and_alerts(browser: Any, engine: Engine) -> None:
    report_status(engine, outbox_rows=12, outbox_hours=61.5, devices=2)
    deliver(engine, samples(1))
    raise_alert(engine)
    text = page(browser, "/gateways/gw-1")
    for words in ("room for 61.5 h offline", 'href="/devices/gw-1/pump-1"', "every 1 min", "vibration 4.1 mm/s"):
        assert words in text
    assert browser.get("/gateways/gone").status_code == 404


def test_a_device_is_known_by_its_samples_or_by_an_open_alert(browser: Any, engine: Engine) -> None:
    report_status(engine)
    deliver(engine, samples(1))
    raise_alert(engine, number=2)
    raise_alert(engine, number=3, state="cleared", cleared=1_700_000_100.0)
    assert re.findall(r'href="/devices/gw-1/([^"]+)"', page(browser, "/devices")) == ["pump-1", "pump-2"]
    assert re.findall(r'href="/devices/gw-1/([^"]+)"', page(browser, "/devices?gateway=gw-9")) == []
    assert "between readings" in page(browser, "/devices/gw-1/pump-1")
    assert "no sample has come" in page(browser, "/devices/gw-1/pump-2")
    assert browser.get("/devices/gw-1/fan-1").status_code == 404


def test_charts_show_readings_and_the_usual_range_around_them(browser: Any, engine: Engine) -> None:
    deliver(engine, samples(1))
    found = history(browser, FIRST, FIRST + 6_000.0)
    assert [channel["name"] for channel in found["channels"]] == ["pressure", "flow"]
    pressure = found["channels"][0]
    assert pressure["time"] == [FIRST + 60.0 * i for i in range(101)]
    values, low, high = (np.array(pressure[name]) for name in ("values", "low", "high"))
    inside = (low <= values) & (values <= high)
    assert 0.95 < np.mean(inside) < 1.0
    assert found["score"] is None
    assert (found["first"], found["last"]) == (FIRST, FIRST + 299 * 60.0)
    assert history(browser, 0.0, 1_000.0)["channels"] == []


def test_readings_are_scored_again_by_the_model_that_the_gateway_runs(browser: Any, engine: Engine) -> None:
    deliver(engine, samples(1), samples(2))
    form = {"algorithm": "isolation_forest", "csrf_token": _token(browser)}
    assert browser.post("/models/pump/train", data=form).status_code == 303
    train(engine)
    with reading(engine) as connection:
        model = registry.newest(connection, "pump")
    assert model is not None
    report_status(engine, models={"pump": RunningModel(1, model.sha256, model.detector)})
    score = history(browser, FIRST + 6_000.0, FIRST + 12_000.0)["score"]
    assert score["model"] == "isolation forest, version 1"
    assert len(score["values"]) == 101
    assert max(score["values"]) < 1.0  # they are normal
    assert "v1</b>" in page(browser, "/devices/gw-1/pump-1")


def _token(browser: Any) -> str:
    found = re.search(r'name="csrf-token" content="([^"]+)"', page(browser, "/models"))
    assert found
    return found[1]


def test_no_peak_is_lost_where_there_are_more_readings_than_can_be_drawn(browser: Any, engine: Engine) -> None:
    batch = samples(1, readings=3_000)
    values = [list(row) for row in batch.segments[0].values]
    values[1_777][0] = 5_000.0
    spiked = type(batch.segments[0])("pump-1", batch.segments[0].times, tuple(map(tuple, values)))
    deliver(engine, samples(1, readings=3_000, segments=(spiked,)))
    pressure = history(browser, FIRST, FIRST + 3_000 * 60.0)["channels"][0]
    assert len(pressure["values"]) <= 800
    assert pressure["readings"] == 3_000
    assert max(pressure["values"]) == 5_000.0


def test_alerts_stand_in_the_chart_for_as_long_as_they_lasted(browser: Any, engine: Engine) -> None:
    deliver(engine, samples(1))
    opened = FIRST + 600.0
    raise_alert(engine, device="pump-1", opened=opened, time=opened + 60.0, state="cleared", cleared=opened + 300.0)
    (alert,) = history(browser, FIRST, FIRST + 6_000.0)["alerts"]
    assert (alert["opened"], alert["until"]) == (opened, opened + 300.0)
    assert history(browser, FIRST + 3_000.0, FIRST + 6_000.0)["alerts"] == []


@pytest.mark.parametrize(
    "query", ["", "start=1", "start=2&end=1", "start=x&end=1", "start=nan&end=inf", "start=0&end=1e300"]
)
def test_times_that_make_no_sense_are_refused(browser: Any, engine: Engine, query: str) -> None:
    deliver(engine, samples(1))
    assert browser.get(f"/devices/gw-1/pump-1/history.json?{query}").status_code == 422
