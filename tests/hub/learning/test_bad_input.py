"""Bad training data through the API: a job that says why it refuses, or a version that says what was left out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sqlalchemy import Engine

from tests.hub.conftest import Call
from tests.hub.learning.alerts import raise_alert
from tests.hub.learning.readings import START, deliver, series
from vedette_hub.config import LearningSection
from vedette_hub.learning import jobs, worker
from vedette_hub.learning.cleaning import Series
from vedette_hub.learning.training.algorithms import ALGORITHMS
from vedette_hub.store.database import writing
from vedette_models.messages import SampleBatch, Segment

MINUTE = 60.0
UNEXPECTED = "the hub's log has the trace"


def send(engine: Engine, *parts: Series) -> None:
    """As a gateway sends them: null where nothing was reported."""
    segments = [
        Segment(
            one.device,
            tuple(one.times.tolist()),
            tuple(tuple(None if np.isnan(v) else float(v) for v in reading) for reading in one.values),
        )
        for one in parts
    ]
    deliver(engine, SampleBatch("pump", ("pressure", "flow"), tuple(segments), START))


def train(call: Call, engine: Engine, **request: Any) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """(the job when it has ended, the report of the version it made)"""
    status, job = call("POST", "models/train", json={"profile": "pump", **request})
    assert status == 202
    with writing(engine) as connection:
        jobs.claim(connection, 2.0)
    worker.work(engine, LearningSection(trees=10), job["number"])
    _, job = call("GET", f"jobs/{job['number']}")
    if job["state"] != "succeeded":
        assert call("GET", "models")[1]["models"] == []
        return job, None
    return job, call("GET", f"models/pump/{job['result']['version']}")[1]["report"]


def refusal(call: Call, engine: Engine, **request: Any) -> str:
    job, _ = train(call, engine, **request)
    assert job["state"] == "failed"
    assert UNEXPECTED not in job["message"]
    return str(job["message"])


def dropped(report: dict[str, Any] | None) -> dict[str, tuple[str, int]]:
    assert report is not None
    return {note["reason"]: (note["name"], note["count"]) for note in report["dropped"]}


def column(values: Any, readings: int = 600) -> Series:
    one = series(1, readings)
    one.values[:, 1] = values
    return one


def test_too_few_readings_are_refused_with_how_many_are_needed(call: Call, engine: Engine) -> None:
    send(engine, series(1, 100))
    said = refusal(call, engine)
    assert "85 full windows of 16 readings in 100 of 100 readings of 1 devices; at least 200 are needed" in said


def test_a_profile_without_samples_is_refused_with_what_to_do(call: Call, engine: Engine) -> None:
    assert "no samples have come yet" in refusal(call, engine)


def test_channels_of_which_none_changes_are_refused_by_name(call: Call, engine: Engine) -> None:
    one = series(1, 400)
    one.values[:] = (7.0, -3.0)
    send(engine, one)
    said = refusal(call, engine)
    assert "pressure always 7" in said
    assert "flow always -3" in said


def test_channels_of_which_none_reports_are_refused(call: Call, engine: Engine) -> None:
    one = series(1, 400)
    one.values[:] = np.nan
    send(engine, one)
    assert "no channel of which anything can be learnt in 0 of 400 readings" in refusal(call, engine)


@pytest.mark.parametrize(
    ("algorithm", "values", "reason"),
    [("isolation_forest", 5.0, "always 5"), *((name, np.nan, "never reported") for name in sorted(ALGORITHMS))],
)
def test_a_channel_that_tells_nothing_is_named_and_the_other_learnt(
    call: Call, engine: Engine, algorithm: str, values: float, reason: str
) -> None:
    send(engine, column(values))
    job, report = train(call, engine, algorithm=algorithm)
    if report is None:  # not every algorithm can do with so little, but each says why
        assert UNEXPECTED not in job["message"]
        assert len(job["message"]) > 40
    else:
        assert dropped(report)[f"{reason}: the model does not judge it"][0] == "flow"
        assert job["result"]["dropped"] == report["dropped"]


def test_gaps_are_learnt_from_and_their_share_is_told(call: Call, engine: Engine) -> None:
    values = series(1).values[:, 1].copy()
    values[::4] = np.nan
    send(engine, column(values))
    job, report = train(call, engine)
    assert report is not None
    lineage = call("GET", f"models/pump/{job['result']['version']}")[1]["lineage"]
    assert 0.2 < lineage["channels"]["flow"]["missing"] < 0.3
    assert lineage["channels"]["pressure"]["missing"] == 0.0
    assert dropped(report)["not reported in 150 of 600 readings"] == ("flow", 150)


def test_repeated_and_unordered_times_are_put_in_order_and_told(call: Call, engine: Engine) -> None:
    one = series(1, 600)
    times = one.times.copy()
    times[100:110] = times[99]
    times[[300, 301]] = times[[301, 300]]
    send(engine, replace(one, times=times))
    _, report = train(call, engine)
    found = dropped(report)
    assert found["its device has another reading at that time: left out"] == ("", 10)
    assert found["older than the one before it: sorted by time"] == ("", 1)


def test_a_fault_of_the_sensor_is_left_out_and_told(call: Call, engine: Engine) -> None:
    send(engine, series(1, 1000))
    raise_alert(
        engine, kind="stuck", opened=START + 300 * MINUTE, state="cleared", cleared=START + 399 * MINUTE, label=None
    )
    _, report = train(call, engine)
    assert dropped(report)["during faults of the sensor: left out"] == ("", 100)


def test_when_every_reading_lies_in_a_fault_that_is_what_the_refusal_says(call: Call, engine: Engine) -> None:
    send(engine, series(1, 1000))
    raise_alert(engine, kind="clock", opened=START - MINUTE)
    said = refusal(call, engine)
    assert "0 full windows" in said
    assert "1000 readings: during faults of the sensor: left out" in said
