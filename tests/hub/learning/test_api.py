"""Models and jobs through the API, in its manner."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Engine

from tests.hub.conftest import Call
from tests.hub.learning.readings import deliver, samples
from vedette_hub.config import LearningSection
from vedette_hub.learning import jobs, worker
from vedette_hub.learning.training.algorithms import ALGORITHMS
from vedette_hub.store.database import writing


def work(engine: Engine) -> None:
    with writing(engine) as connection:
        job = jobs.claim(connection, 2.0)
    assert job is not None
    worker.work(engine, LearningSection(trees=10), job.number)


def test_a_training_is_queued_followed_and_becomes_a_version(call: Call, engine: Engine) -> None:
    deliver(engine, samples(1), samples(2))
    assert call("GET", "samples")[1]["samples"][0]["readings"] == 600
    status, job = call("POST", "models/train", json={"profile": "pump"})
    assert (status, job["state"], job["by"], job["request"]) == (202, "queued", "first (token)", {"profile": "pump"})
    assert call("GET", f"jobs/{job['number']}")[1] == job
    assert call("POST", "models/train", json={"profile": "pump"})[0] == 409
    work(engine)
    _, job = call("GET", f"jobs/{job['number']}")
    assert (job["state"], job["progress"], job["result"]["version"]) == ("succeeded", 1.0, 1)
    _, listed = call("GET", "models")
    assert listed["total"] == 1
    (model,) = listed["models"]
    assert (model["profile"], model["version"], model["origin"]) == ("pump", 1, "gateways")
    _, found = call("GET", "models/pump/1")
    assert {key: found[key] for key in model} == model
    assert found["report"]["parity"]["flips"] == 0
    assert found["lineage"]["by"] == "first (token)"


def test_versions_and_jobs_come_in_pages_and_are_filtered(call: Call, engine: Engine) -> None:
    for profile in ("a/b", "a/b", "c"):
        body = {"profile": profile, "synthetic": {"samples": 1000, "features": 1, "seed": 1}}
        assert call("POST", "models/train", json=body)[0] == 202
        work(engine)
    _, first = call("GET", "models?limit=2")
    assert [(m["profile"], m["version"]) for m in first["models"]] == [("a/b", 2), ("a/b", 1)]
    after = first["next"]
    query = f"models?limit=2&after_profile=a%2Fb&after_version={after['after_version']}"
    _, second = call("GET", query)
    assert [m["profile"] for m in second["models"]] == ["c"]
    assert second["next"] is None
    assert call("GET", "models?profile=c")[1]["total"] == 1
    assert call("GET", "models?stage=released")[1]["models"] == []
    assert call("GET", "models/a%2Fb/2")[1]["version"] == 2
    _, page = call("GET", "jobs?limit=2")
    assert [job["number"] for job in page["jobs"]] == [3, 2]
    assert [job["number"] for job in call("GET", f"jobs?before={page['next']}")[1]["jobs"]] == [1]
    assert call("GET", "jobs?state=succeeded&profile=c")[1]["total"] == 1


def test_a_version_comes_with_a_report_and_plots_that_are_kept(call: Call, client: Any, engine: Engine) -> None:
    for seed in (1, 2):
        body = {"profile": "a/b", "synthetic": {"samples": 2000, "features": 2, "seed": seed}}
        assert call("POST", "models/train", json=body)[0] == 202
        work(engine)
    _, first = call("GET", "models/a%2Fb/1")
    _, second = call("GET", "models/a%2Fb/2")
    assert (first["drift"], second["drift"]) == (None, "strong")
    assert second["report"]["drift"]["version"] == 1
    assert set(second["report"]["backtest"]) == {"this", "previous", "timeline"}
    assert [plot["name"] for plot in second["plots"]] == ["scores", "backtest", "drift", "channels"]
    headers = {"Authorization": f"Bearer {client.token}"}
    for plot in second["plots"]:
        assert plot["path"].startswith("/api/v1/models/a%2Fb/2/plots/")
        answer = client.get(plot["path"], headers=headers)
        assert (answer.status_code, answer.mimetype) == (200, "image/svg+xml")
        assert f'<title id="title">{plot["title"]}</title>' in answer.get_data(as_text=True)
        assert "immutable" in answer.headers["Cache-Control"]
        known = {**headers, "If-None-Match": answer.headers["ETag"]}
        assert client.get(plot["path"], headers=known).status_code == 304
    assert client.get(second["plots"][0]["path"]).status_code == 401
    assert call("GET", "models/a%2Fb/2/plots/magic.svg")[0] == 404


def test_the_algorithm_is_chosen_by_name_and_shown(call: Call, engine: Engine) -> None:
    _, known = call("GET", "algorithms")
    assert known == {"algorithms": sorted(ALGORITHMS), "default": "isolation_forest"}
    body = {"profile": "p", "algorithm": "isolation_forest", "synthetic": {"samples": 1000, "features": 1}}
    _, job = call("POST", "models/train", json=body)
    assert job["request"]["algorithm"] == "isolation_forest"
    work(engine)
    assert call("GET", "models")[1]["models"][0]["algorithm"] == "isolation_forest"
    assert call("GET", "models/p/1")[1]["lineage"]["algorithm"] == "isolation_forest"


def test_an_unknown_algorithm_is_refused_with_those_there_are(call: Call) -> None:
    status, answer = call("POST", "models/train", json={"profile": "p", "algorithm": "magic"})
    (field,) = answer["error"]["fields"]
    assert (status, field["field"]) == (422, "algorithm")
    assert field["problems"] == [f'there is no algorithm "magic"; there are {", ".join(sorted(ALGORITHMS))}']
    assert call("POST", "models/train", json={"profile": "p", "algorithm": 3})[0] == 422


def test_a_job_is_cancelled_once(call: Call) -> None:
    number = call("POST", "models/train", json={"profile": "pump"})[1]["number"]
    status, job = call("POST", f"jobs/{number}/cancel")
    assert (status, job["state"], job["message"]) == (200, "cancelled", "cancelled by first (token)")
    status, answer = call("POST", f"jobs/{number}/cancel")
    assert (status, answer["error"]["message"]) == (409, f"job {number} has cancelled already.")


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "field"),
    [
        ("POST", "models/train", {}, 422, "profile"),
        ("POST", "models/train", {"profile": ""}, 422, "profile"),
        ("POST", "models/train", {"profile": "a\nb"}, 422, "profile"),
        ("POST", "models/train", {"profile": 3}, 422, "profile"),
        ("POST", "models/train", {"profile": "p", "contaminatoin": 0.1}, 422, "contaminatoin"),
        ("POST", "models/train", {"profile": "p", "contamination": 0.7}, 422, "contamination"),
        ("POST", "models/train", {"profile": "p", "synthetic": {"samples": 1}}, 422, "synthetic.samples"),
        ("GET", "models?stage=best", None, 422, "stage"),
        ("GET", "models?after_version=1", None, 422, ""),
        ("GET", "models?sort=up", None, 422, "sort"),
        ("GET", "models/pump/7", None, 404, None),
        ("GET", "models/pump/99999999999999999999", None, 404, None),
        ("GET", "jobs?state=done", None, 422, "state"),
        ("GET", "jobs/7", None, 404, None),
        ("GET", "jobs/99999999999999999999", None, 404, None),
        ("POST", "jobs/7/cancel", None, 404, None),
        ("DELETE", "models/pump/1", None, 405, None),
    ],
)
def test_a_wrong_request_is_answered_in_one_shape(
    call: Call, method: str, path: str, body: Any, status: int, field: str | None
) -> None:
    answer = call(method, path, **({} if body is None else {"json": body}))
    assert answer[0] == status
    error = answer[1]["error"]
    assert error["message"]
    assert [item["field"] for item in error["fields"]] == ([] if field is None else [field])
