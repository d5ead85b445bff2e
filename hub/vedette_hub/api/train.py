"""`/api/v1/train`: a model from the rows of a request."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from apiflask import APIBlueprint, abort
from flask import Response, jsonify

from vedette_hub.api.access import requires
from vedette_hub.api.auditing import note
from vedette_hub.api.body_limits import takes
from vedette_hub.api.caller import who
from vedette_hub.api.context import context
from vedette_hub.api.idempotency import MARK, idempotent
from vedette_hub.api.jobs import job_answer
from vedette_hub.api.scoring_shapes import LEAST_ROWS, QueuedOut, TrainedOut, TrainQuery, TrainVectorsIn
from vedette_hub.learning import jobs, registry
from vedette_hub.learning.errors import JobError
from vedette_hub.learning.jobs import Job, TrainRequest, Vectors
from vedette_hub.learning.registry import ModelVersion
from vedette_hub.learning.sources.vectors import pack, profile_of
from vedette_hub.scoring.service import scoring
from vedette_hub.store import job_data
from vedette_hub.store.database import reading, writing
from vedette_hub.times import rfc3339

BODY_BYTES = 32 * 1024 * 1024
CONTAMINATION = 0.01
"""What `auto` stands for."""
WATCH_SECONDS = 0.1

blueprint = APIBlueprint("train", __name__, url_prefix="/api/v1", tag="Detection")

_ANSWERS: dict[int | str, Any] = {
    202: {
        "description": "The training goes on; `Location` is its job",
        "content": {"application/json": {"schema": QueuedOut.model_json_schema()}},
    },
    400: "The body is not JSON",
    409: "A model of so many features is being trained already, the queue is full, or the job was ended",
    413: "The body is too large",
}


@blueprint.post("/train")
@requires("approver", "train")
@takes(BODY_BYTES)
@blueprint.input(TrainQuery, location="query")
@blueprint.input(TrainVectorsIn)
@blueprint.output(TrainedOut)
@blueprint.doc(responses=_ANSWERS)
def train(query_data: TrainQuery, json_data: TrainVectorsIn) -> Any:
    """Train a model for vectors of so many features as the rows have; from then on it is the one that scores them.

    The training is a job. Its end is waited for as long as `wait` says; then, or where too many wait already, the
    answer is 202 with the job as it stands.
    """
    queued = queue_training(json_data)
    number = int(queued.headers["Location"].rsplit("/", 1)[-1])
    job = _ended(number, query_data.wait)
    if job.state in {"queued", "running"}:
        answer = jsonify({"status": "accepted", "job": job_answer(job)})
        answer.status_code, answer.headers["Location"] = 202, queued.headers["Location"]
        return answer
    if job.state == "failed":
        abort(422, f"Job {number} failed: {job.message}.")
    with reading(context().engine) as connection:
        version = registry.find(connection, job.profile, (job.result or {}).get("version", 0))
    if version is None:
        abort(409, f"Job {number} left no version: {job.message}.")
    scoring().models.forget_newest()
    return {"status": "success", "model": trained_answer(version)}


setattr(train, MARK, True)  # `queue_training` keeps the promise; the specification tells of it


@idempotent
def queue_training(sent: TrainVectorsIn) -> Response:
    """Queue the training with its rows, once for each idempotency key; `Location` is the job."""
    here, config = context(), sent.config
    rows, features = len(sent.data), len(sent.data[0])
    wanted = Vectors(
        rows,
        features,
        2 if sent.small else LEAST_ROWS,
        config.n_estimators,
        config.max_samples,
        config.random_state,
    )
    contamination = CONTAMINATION if isinstance(config.contamination, str) else config.contamination
    request = TrainRequest(profile_of(features), sent.algorithm, contamination, vectors=wanted)
    body = pack(np.array(sent.data, np.float64))
    try:
        with writing(here.engine) as connection:
            job = jobs.enqueue(connection, request, who(), here.now(), here.config.learning.queue)
            job_data.keep(connection, job.number, body)
            note(connection, "model.train", request.profile, detail=f"job {job.number}, {rows} rows")
    except JobError as error:
        abort(409, f"{error}.")
    answer = jsonify({})
    answer.headers["Location"] = f"/api/v1/jobs/{job.number}"
    return answer


def trained_answer(version: ModelVersion) -> dict[str, Any]:
    """Fields of `TrainedModelOut`."""
    listed = version.listed
    return {
        "algorithm": listed.algorithm,
        "version": listed.version,
        "trained_at": rfc3339(listed.created),
        "n_samples": listed.readings,
        "n_features": listed.features,
        "contamination": listed.contamination,
        "performance": None if listed.performance is None else listed.performance.__dict__,
    }


def _ended(number: int, seconds: float) -> Job:
    """The job when it has ended, or when so many seconds are over, or at once where too many wait already."""
    waiting, engine = scoring().waiting, context().engine
    deadline = time.monotonic() + seconds
    may_wait = seconds > 0 and waiting is not None and waiting.acquire(blocking=False)
    try:
        while True:
            with reading(engine) as connection:
                job = jobs.find(connection, number)
            if job is None:
                abort(409, f"Job {number} is no longer kept.")
            if not may_wait or job.state not in {"queued", "running"} or time.monotonic() > deadline:
                return job
            time.sleep(WATCH_SECONDS)
    finally:
        if may_wait and waiting is not None:
            waiting.release()
