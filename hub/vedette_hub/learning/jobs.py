"""Jobs: work that is asked for, done later, and remembered. The store is the queue."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
from sqlalchemy import Connection, RowMapping, Select, func, insert, select, update

from vedette_hub.learning.errors import JobError
from vedette_hub.store import job_data
from vedette_hub.store.schema import jobs

State = Literal["queued", "running", "succeeded", "failed", "cancelled", "interrupted"]
"""`interrupted`: the hub stopped while it ran."""
STATES: tuple[State, ...] = ("queued", "running", "succeeded", "failed", "cancelled", "interrupted")

_TRAIN = "train"


class Synthetic(msgspec.Struct, frozen=True):
    """Generated data in place of samples."""

    samples: int
    features: int
    seed: int = 0


class Vectors(msgspec.Struct, frozen=True, omit_defaults=True):
    """Vectors that came with the request, in place of samples; the job's data has them."""

    rows: int
    features: int
    at_least: int
    """Fewer are refused."""
    trees: int | None = None
    samples_per_tree: int | None = None
    seed: int | None = None


class TrainRequest(msgspec.Struct, frozen=True, omit_defaults=True):
    """What to train."""

    profile: str
    algorithm: str | None = None
    """None: the one in the configuration."""
    contamination: float | None = None
    """Share of the training windows beyond the boundary, in place of the alert budget."""
    synthetic: Synthetic | None = None
    vectors: Vectors | None = None


@dataclass(frozen=True)
class Job:
    """A job as it stands."""

    number: int
    kind: str
    profile: str
    request: TrainRequest
    by: str
    state: State
    progress: float
    """0 to 1."""
    message: str
    """What is done now, or how it ended."""
    result: dict[str, Any] | None
    created: float
    started: float | None
    finished: float | None


def enqueue(connection: Connection, request: TrainRequest, by: str, now: float, most: int) -> Job:
    """Add a job to the queue of at most `most`.

    Raises:
        JobError: the queue is full, or a job for this profile waits or runs already.
    """
    waiting = jobs.c.state.in_(["queued", "running"])
    same = select(jobs.c.number).where(waiting, jobs.c.profile == request.profile).limit(1)
    if (number := connection.execute(same).scalar()) is not None:
        raise JobError(f"profile {request.profile!r}: job {number} trains it already; wait for it, or cancel it")
    if connection.execute(select(func.count()).select_from(jobs).where(waiting)).scalar_one() >= most:
        raise JobError(f"{most} jobs wait already (learning.queue); try again when some have ended")
    values: dict[str, Any] = {
        "kind": _TRAIN,
        "profile": request.profile,
        "by": by,
        "state": "queued",
        "message": "waiting",
        "created": now,
    }
    values["request"] = msgspec.json.encode(request).decode()
    made = connection.execute(insert(jobs).values(values).returning(jobs.c.number)).scalar_one()
    found = find(connection, made)
    assert found is not None  # noqa: S101  # it has just been inserted
    return found


def claim(connection: Connection, now: float) -> Job | None:
    """Begin the job that has waited longest; None when none waits."""
    query = select(jobs.c.number).where(jobs.c.state == "queued").order_by(jobs.c.number).limit(1)
    number = connection.execute(query).scalar()
    if number is None:
        return None
    connection.execute(
        update(jobs).where(jobs.c.number == number).values(state="running", started=now, message="starting")
    )
    return find(connection, number)


def tell(connection: Connection, number: int, progress: float, message: str) -> None:
    """Say how far a running job is; no effect on one that has ended."""
    connection.execute(_running(number).values(progress=min(max(progress, 0.0), 1.0), message=message))


def is_running(connection: Connection, number: int) -> bool:
    """Whether a job runs, and nobody has cancelled it."""
    query = select(jobs.c.state).where(jobs.c.number == number)
    return connection.execute(query).scalar() == "running"


def succeed(connection: Connection, number: int, result: dict[str, Any], message: str, now: float) -> None:
    """End a running job well.

    Raises:
        JobError: it no longer runs, so that what it did must not count.
    """
    values = {"state": "succeeded", "progress": 1.0, "message": message, "result": json.dumps(result), "finished": now}
    if not connection.execute(_running(number).values(values)).rowcount:
        raise JobError(f"job {number} was ended while it ran; its result is dropped")
    job_data.drop_unneeded(connection)


def fail(connection: Connection, number: int, message: str, now: float) -> bool:
    """End a running job badly; False when it had ended already."""
    values = {"state": "failed", "message": message, "finished": now}
    failed = bool(connection.execute(_running(number).values(values)).rowcount)
    job_data.drop_unneeded(connection)
    return failed


def cancel(connection: Connection, number: int, by: str, now: float) -> Job | None:
    """End a job that waits or runs; None when there is no such job.

    Raises:
        JobError: it has ended already.
    """
    waiting = jobs.c.state.in_(["queued", "running"])
    values = {"state": "cancelled", "message": f"cancelled by {by}", "finished": now}
    changed = connection.execute(update(jobs).where(jobs.c.number == number, waiting).values(values)).rowcount
    job_data.drop_unneeded(connection)
    found = find(connection, number)
    if found is not None and not changed:
        raise JobError(f"job {number} has {found.state} already")
    return found


def interrupt(connection: Connection, now: float) -> int:
    """End what runs, because the hub stops or was stopped; how many jobs."""
    values = {"state": "interrupted", "message": "the hub stopped while it ran; ask for it again", "finished": now}
    many = connection.execute(update(jobs).where(jobs.c.state == "running").values(values)).rowcount
    job_data.drop_unneeded(connection)
    return many


def find(connection: Connection, number: int) -> Job | None:
    """One job; None when there is none."""
    row = connection.execute(select(jobs).where(jobs.c.number == number)).mappings().first()
    return None if row is None else _job(row)


def list_jobs(
    connection: Connection,
    *,
    limit: int,
    before: int | None = None,
    state: State | None = None,
    profile: str | None = None,
) -> list[Job]:
    """Jobs, the newest first; `before` continues after the job with that number."""
    query = _where(select(jobs), state, profile).order_by(jobs.c.number.desc()).limit(limit)
    if before is not None:
        query = query.where(jobs.c.number < before)
    return [_job(row) for row in connection.execute(query).mappings()]


def newest_jobs(connection: Connection) -> dict[str, Job]:
    """Of each profile the job that was asked for last."""
    newest = select(func.max(jobs.c.number)).group_by(jobs.c.profile)
    found = (_job(row) for row in connection.execute(select(jobs).where(jobs.c.number.in_(newest))).mappings())
    return {job.profile: job for job in found}


def count_jobs(connection: Connection, state: State | None = None, profile: str | None = None) -> int:
    """How many jobs there are."""
    return int(connection.execute(_where(select(func.count()).select_from(jobs), state, profile)).scalar_one())


def newest_by(connection: Connection, by: str) -> float | None:
    """When `by` last asked for a job; None for never."""
    return connection.execute(select(func.max(jobs.c.created)).where(jobs.c.by == by)).scalar()


def _running(number: int) -> Any:
    return update(jobs).where(jobs.c.number == number, jobs.c.state == "running")


def _where(query: Select[Any], state: State | None, profile: str | None) -> Select[Any]:
    if state is not None:
        query = query.where(jobs.c.state == state)
    return query if profile is None else query.where(jobs.c.profile == profile)


def _job(row: RowMapping) -> Job:
    request = msgspec.json.decode(row["request"], type=TrainRequest)
    result = json.loads(row["result"]) if row["result"] is not None else None
    return Job(**{**row, "request": request, "result": result})
