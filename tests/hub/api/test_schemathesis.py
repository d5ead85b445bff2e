"""The API against its own specification: whatever is sent, no 5xx, and no answer that it does not describe."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import (
    content_type_conformance,
    not_a_server_error,
    response_schema_conformance,
    status_code_conformance,
)
from schemathesis.core.failures import Failure, FailureGroup

from tests.hub import people
from tests.hub.gateway import alert, row
from vedette_hub.config import Config, LearningSection
from vedette_hub.fleet.arrivals import parse
from vedette_hub.fleet.commit import commit
from vedette_hub.fleet.enrolment import prepare_signing_key
from vedette_hub.hub import open_database, web_application
from vedette_hub.learning import jobs, worker
from vedette_hub.store.database import writing
from vedette_models import topics
from vedette_models.messages import Delivery, SampleBatch, Segment, to_bytes

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
"""What an answer has to pass."""
EXAMPLES = int(os.environ.get("SCHEMATHESIS_EXAMPLES", "10"))
"""Random requests to each route, beside those at the bounds of every field."""
AS_MANY_AS_IT_TAKES = 10**9

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A hub with an alert, samples, a version and a job, that never waits and has no limit on requests."""
    many = {"requests_per_minute": AS_MANY_AS_IT_TAKES, "failures_per_minute": AS_MANY_AS_IT_TAKES}
    folder = tmp_path_factory.mktemp("hub")
    config = Config.model_validate({"hub": {"state_dir": str(folder)}, "web": many, "scoring": {"waiting": 0}})
    engine = open_database(config)
    prepare_signing_key(config.state_dir, engine)
    segment = Segment("pump-1", (1.0, 2.0), ((1.0, None), (2.0, 3.0)))
    samples = SampleBatch("pump", ("flow", "heat"), (segment,), 3.0)
    for subject, sent in (("alerts", row(1, alert(1))), ("samples", row(1, to_bytes(samples)))):
        commit(engine, parse(topics.gateway_up("gw-1", subject), to_bytes(Delivery((sent,)))), 10.0, config.limits)
    app = web_application(config)
    token = people.make_token(engine, "tester", "admin")
    app.extensions["tester"] = {"Authorization": f"Bearer {token}"}
    rows = np.random.default_rng(1).normal(0.0, 1.0, (100, 1)).tolist()
    body = {"data": rows, "config": {"nEstimators": 5, "contamination": 0.1}}
    queued = app.test_client().post("/api/v1/train?wait=0", json=body, headers=app.extensions["tester"])
    with writing(engine) as connection:
        jobs.claim(connection, 1.0)
    worker.work(engine, LearningSection(), queued.get_json()["job"]["number"])
    yield app
    engine.dispose()


def problems(app: Any, operation: Any, mode: GenerationMode) -> str:
    """What Schemathesis finds wrong with the answers of a route to requests that fit, or do not; empty for nothing."""

    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.explicit, Phase.generate],
    )
    def ask(case: Any) -> None:
        case.call_and_validate(headers=app.extensions["tester"], checks=CHECKS)

    try:
        ask()
    except (FailureGroup, Failure) as failure:
        return f"{operation.label}: {failure}"
    except Unsatisfiable:
        pass  # nothing can be wrong with a request that has no parameters and no body
    return ""


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["fitting", "unfitting"])
def test_every_answer_is_one_that_the_specification_describes(api: Any, mode: GenerationMode) -> None:
    schema: Any = schemathesis.openapi.from_wsgi("/openapi.json", api)
    operations = [found.ok() for found in schema.get_all_operations()]
    assert len(operations) > 50
    assert [found for operation in operations if (found := problems(api, operation, mode))] == []


def test_the_specification_is_one_of_openapi_3_1(api: Any) -> None:
    spec = api.test_client().get("/openapi.json").get_json()
    assert spec["openapi"] == "3.1.0"
    assert msgspec.json.encode(spec)
    references = set(_references(spec))
    assert references
    for reference in references:
        found: Any = spec
        for part in Path(reference.removeprefix("#/")).parts:
            found = found[part]


def _references(thing: Any) -> Iterator[str]:
    if isinstance(thing, dict):
        for name, value in thing.items():
            if name == "$ref":
                yield value
            else:
                yield from _references(value)
    elif isinstance(thing, list):
        for value in thing:
            yield from _references(value)
