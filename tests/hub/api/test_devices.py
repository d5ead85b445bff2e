"""Devices and profiles over the API, and lists as CSV."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest
from sqlalchemy import Engine

from tests.hub.conftest import Call
from tests.hub.gateway import alert, row
from vedette_hub.config import LimitsSection
from vedette_hub.fleet.arrivals import parse
from vedette_hub.fleet.commit import commit
from vedette_models import topics
from vedette_models.messages import Delivery, Row, SampleBatch, Segment, to_bytes

NOW = 1_700_000_000.0


def take(engine: Engine, gateway: str, subject: str, sent: Row) -> None:
    commit(engine, parse(topics.gateway_up(gateway, subject), to_bytes(Delivery((sent,)))), NOW, LimitsSection())


@pytest.fixture(autouse=True)
def fleet(engine: Engine) -> None:
    """Three devices: two that samples have come of, one of which only an alert tells."""
    for sequence, (gateway, device, profile) in enumerate(
        [("gw-1", "pump-1", "pump"), ("gw-1", "=cmd()", "pump"), ("gw-2", "fan-1", "fan")], start=1
    ):
        segment = Segment(device, (NOW, NOW + 5.0, NOW + 10.0), ((1.0,), (2.0,), (3.0,)))
        batch = SampleBatch(profile, ("flow",), (segment,), NOW + 11.0)
        take(engine, gateway, "samples", row(sequence, to_bytes(batch)))
    take(engine, "gw-2", "alerts", row(1, alert(7, gateway="gw-2")))


def as_rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_devices_are_listed_page_by_page_and_by_gateway(call: Call) -> None:
    found: list[tuple[str, str]] = []
    more: dict[str, Any] | None = {}
    while more is not None:
        query = "&".join(f"{name}={value}" for name, value in more.items())
        status, page = call("GET", f"devices?limit=1&{query}".replace("=cmd()", "%3Dcmd()"))
        assert (status, len(page["devices"])) == (200, 1)
        found += [(device["gateway"], device["device"]) for device in page["devices"]]
        more = page["next"]
    assert found == [("gw-1", "=cmd()"), ("gw-1", "pump-1"), ("gw-2", "fan-1"), ("gw-2", "pump-7")]
    devices = call("GET", "devices?gateway=gw-2")[1]["devices"]
    assert [(one["device"], one["profile"], one["interval"]) for one in devices] == [
        ("fan-1", "fan", 5.0),
        ("pump-7", "pump", None),
    ]


def test_a_device_is_shown_and_an_unknown_one_is_not(call: Call) -> None:
    status, device = call("GET", "devices/gw-1/pump-1")
    assert (status, device["channels"], device["last"]) == (200, ["flow"], NOW + 10.0)
    assert call("GET", "devices/gw-1/pump-2")[0] == 404
    assert call("GET", "devices?after_gateway=gw-1")[0] == 422


def test_profiles_say_what_there_is_to_train_with(call: Call) -> None:
    answer = call("GET", "profiles?limit=1")[1]
    assert (answer["total"], answer["next"]) == (2, "fan")
    assert answer["profiles"][0] == {
        "profile": "fan", "segments": 1, "readings": 3, "versions": 0, "newest": None, "released": None
    }  # fmt: skip
    assert [one["profile"] for one in call("GET", "profiles?after=fan")[1]["profiles"]] == ["pump"]
    assert call("GET", "profiles/pump")[1]["readings"] == 6
    assert call("GET", "profiles/nothing")[0] == 404


def test_lists_as_csv_are_whole_and_no_formulas(client: Any) -> None:
    header = {"Authorization": f"Bearer {client.token}"}

    def rows_of(name: str) -> list[dict[str, str]]:
        answer = client.get(f"/api/v1/{name}.csv", headers=header)
        assert (answer.status_code, answer.mimetype) == (200, "text/csv")
        assert f'filename="{name}.csv"' in answer.headers["Content-Disposition"]
        return as_rows(answer.get_data(as_text=True))

    assert [one["gateway"] for one in rows_of("gateways")] == ["gw-1", "gw-2"]
    assert [one["device"] for one in rows_of("devices")] == ["'=cmd()", "pump-1", "fan-1", "pump-7"]
    client.post("/api/v1/models/train", json={"profile": "pump"}, headers=header)
    (job,) = rows_of("jobs")
    assert (job["profile"], job["state"]) == ("pump", "queued")
    assert rows_of("models") == []
