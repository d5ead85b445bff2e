"""Vectors over the API: trained from a request's rows, scored by number of features, alerts for their sources."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import sklearn.ensemble
from sqlalchemy import Engine, select

from tests.hub.conftest import Call
from vedette_hub.config import LearningSection
from vedette_hub.learning import jobs, worker
from vedette_hub.store.database import reading, writing
from vedette_hub.store.schema import job_data

NORMAL = np.random.default_rng(3).normal([10.0, 50.0, 1.0], [1.0, 5.0, 0.1], (300, 3)).round(4)
FAR = [40.0, 300.0, 9.0]


def trained(engine: Engine, call: Call, body: dict[str, Any]) -> dict[str, Any]:
    """The model of a training that the runner has done in the meantime."""
    status, queued = call("POST", "train?wait=0", json=body)
    assert status == 202, queued
    number = queued["job"]["number"]
    with writing(engine) as connection:
        assert jobs.claim(connection, 1.0) is not None
    worker.work(engine, LearningSection(), number)
    status, job = call("GET", f"jobs/{number}")
    assert job["state"] == "succeeded", job["message"]
    return dict(job["result"])


@pytest.fixture
def model(engine: Engine, call: Call) -> dict[str, Any]:
    config = {"contamination": 0.05, "nEstimators": 20, "maxSamples": 64}
    return trained(engine, call, {"data": NORMAL.tolist(), "config": config})


def test_a_vector_far_from_the_training_is_an_anomaly_and_raises_an_alert(call: Call, model: dict[str, Any]) -> None:
    status, answer = call("POST", "detect", json={"features": FAR, "metadata": {"source": "sensor-001"}})
    assert (status, answer["status"]) == (200, "success")
    result, alert = answer["result"], answer["alert"]
    assert set(result) == {"eventId", "timestamp", "isAnomaly", "score", "confidence", "algorithm", "latencyMs"}
    assert result["isAnomaly"] is True
    assert result["score"] < 0.0
    assert result["algorithm"] == "isolation_forest"
    assert set(alert) == {"id", "severity", "message"}
    status, kept = call("GET", f"alerts/api/{alert['id']}")
    assert (status, kept["device"], kept["severity"]) == (200, "sensor-001", alert["severity"])
    assert kept["reason"] == alert["message"]
    assert "usually" in kept["reason"]
    # The same again belongs to the alert that is open.
    status, answer = call("POST", "detect", json={"features": FAR, "metadata": {"source": "sensor-001"}})
    assert status == 200
    assert "alert" not in answer


def test_a_normal_vector_is_none_and_ends_the_alert_of_its_source(call: Call, model: dict[str, Any]) -> None:
    normal = {"features": NORMAL.mean(axis=0).tolist(), "metadata": {"source": "sensor-001"}}
    raised = call("POST", "detect", json={**normal, "features": FAR})[1]["alert"]
    for _ in range(10):
        status, answer = call("POST", "detect", json=normal)
        assert (status, answer["result"]["isAnomaly"], "alert" in answer) == (200, False, False)
        assert answer["result"]["score"] > 0.0
        assert answer["result"]["confidence"] > 0.0
    kept = call("GET", f"alerts/api/{raised['id']}")[1]
    assert (kept["state"], kept["cleared_by"]) == ("cleared", "quiet")


def test_without_a_source_the_alert_names_who_sent_it(call: Call, model: dict[str, Any]) -> None:
    raised = call("POST", "detect", json={"features": FAR})[1]["alert"]
    assert call("GET", f"alerts/api/{raised['id']}")[1]["device"].endswith("(token)")


def test_a_batch_has_a_result_for_each_event_and_figures_of_all(call: Call, model: dict[str, Any]) -> None:
    events = [{"features": row} for row in [*NORMAL[:9].tolist(), FAR]]
    status, answer = call("POST", "detect/batch", json={"events": events, "algorithm": "isolation_forest"})
    assert (status, answer["status"]) == (200, "success")
    result = answer["result"]
    assert set(result) == {"results", "totalLatencyMs", "avgLatencyMs", "anomalyCount", "anomalyRate"}
    assert len({one["eventId"] for one in result["results"]}) == 10
    anomalous = [one["isAnomaly"] for one in result["results"]]
    assert anomalous[-1]
    assert result["anomalyCount"] == sum(anomalous)
    assert result["anomalyRate"] == sum(anomalous) / 10
    assert result["avgLatencyMs"] * 10 == pytest.approx(result["totalLatencyMs"])
    assert call("GET", "alerts")[1]["alerts"] == []


def test_scores_are_the_decision_function_of_scikit_learn(engine: Engine, call: Call) -> None:
    config = {"contamination": 0.1, "nEstimators": 50, "maxSamples": 64, "random_state": 5}
    trained(engine, call, {"algorithm": "isolation_forest", "data": NORMAL.tolist(), "config": config})
    with reading(engine) as connection:
        assert connection.execute(select(job_data.c.number)).all() == []
    # Every fifth stretch of 7 rows is held out, and the forest has learnt from all others.
    held = np.arange(len(NORMAL)) // 7 % 5 == 2
    forest = sklearn.ensemble.IsolationForest(n_estimators=50, max_samples=64, contamination=0.1, random_state=5)
    forest.fit(NORMAL[~held])
    probes = np.vstack([NORMAL[:50], FAR, NORMAL.mean(axis=0)])
    events = [{"features": row} for row in probes.tolist()]
    result = call("POST", "detect/batch", json={"events": events})[1]["result"]
    assert [one["score"] for one in result["results"]] == pytest.approx(forest.decision_function(probes), abs=1e-9)
    assert [one["isAnomaly"] for one in result["results"]] == (forest.predict(probes) < 0).tolist()


def test_the_newest_model_of_so_many_features_scores_or_that_of_an_algorithm(engine: Engine, call: Call) -> None:
    small = {"data": NORMAL[:40, :2].tolist(), "config": {"allow_small": True}}
    for algorithm in ("lof", "one_class_svm"):
        trained(engine, call, {**small, "algorithm": algorithm})
    assert call("POST", "detect", json={"features": [10.0, 50.0]})[1]["result"]["algorithm"] == "one_class_svm"
    asked = {"features": [10.0, 50.0], "algorithm": "lof"}
    assert call("POST", "detect", json=asked)[1]["result"]["algorithm"] == "lof"
    status, answer = call("POST", "detect", json={**asked, "algorithm": "isolation_forest"})
    assert (status, "POST /api/v1/train" in answer["error"]["message"]) == (404, True)
    status, answer = call("POST", "detect", json={"features": [1.0, 2.0, 3.0, 4.0, 5.0]})
    assert (status, "No model of 5 features" in answer["error"]["message"]) == (404, True)


def test_the_figures_count_what_was_scored(call: Call, model: dict[str, Any]) -> None:
    events = [{"features": row} for row in [*NORMAL[:3].tolist(), FAR]]
    found = call("POST", "detect/batch", json={"events": events})[1]["result"]["anomalyCount"]
    status, answer = call("GET", "stats/scorer")
    assert (status, answer["status"]) == (200, "success")
    stats = answer["stats"]
    assert (stats["totalScored"], stats["totalAnomalies"], stats["anomalyRate"]) == (4, found, found / 4)
    assert stats["timeoutRate"] == 0.0
    assert 0.0 < stats["minLatencyMs"] <= stats["maxLatencyMs"]


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("detect", {"features": []}, "features"),
        ("detect", {"features": [1.0, "2"]}, "features.1"),
        ("detect", {"features": [1.0, None]}, "features.1"),
        ("detect", {"features": [1.0, True]}, "features.1"),
        ("detect", {"features": [1e200]}, "features.0"),
        ("detect", {"features": [1.0], "feature": [1.0]}, "feature"),
        ("detect", {"features": [1.0], "metadata": {"source": "a\nb"}}, "metadata.source"),
        ("detect", {"features": [1.0], "algorithm": "magic"}, "algorithm"),
        ("detect/batch", {"events": []}, "events"),
        ("detect/batch", {"events": [{"features": [1.0]}, {"features": [1.0, 2.0]}]}, "events.1.features"),
        ("train", {"algorithm": "forecast", "data": [[1.0]] * 200}, "algorithm"),
        ("train", {"data": [[1.0]]}, "data"),
        ("train", {"data": [[1.0]] * 200, "config": {"trees": 5}}, "config.trees"),
        ("train", {"data": [[1.0]] * 200, "config": {"contamination": 0.7}}, "config.contamination.constrained-float"),
        ("train", {"data": [[1.0]] * 200, "surprise": 1}, "surprise"),
    ],
)
def test_what_is_wrong_with_a_body_is_named(call: Call, path: str, body: dict[str, Any], field: str) -> None:
    status, answer = call("POST", path, json=body)
    assert (status, answer["error"]["fields"][0]["field"]) == (422, field)


@pytest.mark.parametrize("data", [[[1.0, 2.0]] * 99, [[1.0, 2.0]] * 100 + [[1.0]]])
def test_too_few_rows_or_uneven_ones_are_refused_before_a_job_is_made(call: Call, data: list[Any]) -> None:
    status, answer = call("POST", "train", json={"data": data})
    assert status == 422
    assert answer["error"]["fields"][0]["problems"][0].startswith("data")
    assert call("GET", "jobs")[1]["total"] == 0


def test_a_key_queues_a_training_once(call: Call) -> None:
    body = {"data": NORMAL.tolist()}
    header = {"Idempotency-Key": "train-1"}
    first = call("POST", "train?wait=0", json=body, headers=header)
    assert call("POST", "train?wait=0", json=body, headers=header) == first
    assert call("GET", "jobs")[1]["total"] == 1
    assert call("POST", "train?wait=0", json=body)[0] == 409


def test_a_training_that_fails_says_why_and_keeps_no_rows(engine: Engine, call: Call) -> None:
    number = call("POST", "train?wait=0", json={"data": [[1.0, 2.0]] * 200})[1]["job"]["number"]
    with writing(engine) as connection:
        jobs.claim(connection, 1.0)
    worker.work(engine, LearningSection(), number)
    job = call("GET", f"jobs/{number}")[1]
    assert job["state"] == "failed"
    assert "no channel of which anything can be learnt" in job["message"]
    with reading(engine) as connection:
        assert connection.execute(select(job_data.c.number)).all() == []


def test_a_body_may_be_as_large_as_its_route_says(call: Call) -> None:
    large = {"data": "x" * 100_000}
    assert call("POST", "detect", json=large)[0] == 413
    assert call("POST", "train", json=large)[0] == 422
