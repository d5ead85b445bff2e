"""`/api/v1/jobs`."""

from __future__ import annotations

from typing import Any, NoReturn

import msgspec
from apiflask import APIBlueprint, abort

from vedette_hub.api.access import requires
from vedette_hub.api.auditing import note
from vedette_hub.api.caller import who
from vedette_hub.api.context import context
from vedette_hub.api.idempotency import idempotent
from vedette_hub.api.learning_shapes import JobOut, JobQuery, JobsOut
from vedette_hub.learning import jobs
from vedette_hub.learning.errors import JobError
from vedette_hub.learning.jobs import Job
from vedette_hub.store.database import reading, writing
from vedette_hub.times import rfc3339

blueprint = APIBlueprint("jobs", __name__, url_prefix="/api/v1/jobs", tag="Jobs")


@blueprint.get("")
@requires("viewer")
@blueprint.input(JobQuery, location="query")
@blueprint.output(JobsOut)
def list_jobs(query_data: JobQuery) -> dict[str, Any]:
    """Jobs, the newest first."""
    state, profile = query_data.state, query_data.profile
    with reading(context().engine) as connection:
        found = jobs.list_jobs(
            connection, limit=query_data.limit + 1, before=query_data.before, state=state, profile=profile
        )
        total = jobs.count_jobs(connection, state, profile)
    page = found[: query_data.limit]
    return {
        "jobs": [job_answer(job) for job in page],
        "total": total,
        "next": page[-1].number if len(found) > len(page) else None,
    }


@blueprint.get("/<int(min=1, max=9007199254740992):number>")
@requires("viewer")
@blueprint.output(JobOut)
@blueprint.doc(responses=[404])
def show_job(number: int) -> dict[str, Any]:
    """One job, with its progress or its result."""
    with reading(context().engine) as connection:
        found = jobs.find(connection, number)
    if found is None:
        _no_such_job(number)
    return job_answer(found)


@blueprint.post("/<int(min=1, max=9007199254740992):number>/cancel")
@requires("approver", "train")
@idempotent
@blueprint.output(JobOut)
@blueprint.doc(responses=[404, 409])
def cancel(number: int) -> dict[str, Any]:
    """End a job that waits or runs; what it has not finished counts for nothing."""
    here = context()
    try:
        with writing(here.engine) as connection:
            found = jobs.cancel(connection, number, who(), here.now())
            if found is not None:
                note(connection, "job.cancel", str(number))
    except JobError as error:
        abort(409, f"{error}.")
    if found is None:
        _no_such_job(number)
    return job_answer(found)


def job_answer(job: Job) -> dict[str, Any]:
    """Fields of `JobOut`."""
    return {**job.__dict__, "request": msgspec.to_builtins(job.request), "created_at": rfc3339(job.created)}


def _no_such_job(number: int) -> NoReturn:
    abort(404, f"There is no job {number}; GET /api/v1/jobs lists those there are.")
