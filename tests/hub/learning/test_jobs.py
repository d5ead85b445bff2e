"""Jobs are remembered, end once, and are done by a process whose death harms nobody else."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from sqlalchemy import Engine

from tests.hub.gateway import wait_for
from tests.hub.learning.readings import deliver, samples
from vedette_hub.config import Config, LearningSection, LimitsSection
from vedette_hub.learning import jobs, registry, runner, worker
from vedette_hub.learning.errors import JobError
from vedette_hub.learning.jobs import Job, Synthetic, TrainRequest
from vedette_hub.learning.runner import Runner
from vedette_hub.store.database import reading, writing
from vedette_hub.store.retention import prune

LARGE = Synthetic(2_000_000, 8)
"""Takes far longer than any of these tests waits."""


def put(engine: Engine, profile: str = "pump", synthetic: Synthetic | None = None) -> int:
    with writing(engine) as connection:
        return jobs.enqueue(connection, TrainRequest(profile, synthetic=synthetic), "ana", 1.0, 10).number


def claim(engine: Engine) -> Job | None:
    with writing(engine) as connection:
        return jobs.claim(connection, 2.0)


def get(engine: Engine, number: int) -> Job:
    with reading(engine) as connection:
        found = jobs.find(connection, number)
    assert found is not None
    return found


async def reach(condition: Callable[[], object], what: str) -> None:
    await asyncio.to_thread(wait_for, condition, what, 180.0)


@asynccontextmanager
async def running(config: Config, engine: Engine) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(Runner(config, engine).run())
    try:
        yield task
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def children() -> list[int]:
    found = subprocess.run(
        ["ps", "-o", "pid=,args=", "--ppid", str(os.getpid())], capture_output=True, text=True, check=True
    )
    return [int(line.split()[0]) for line in found.stdout.splitlines() if "vedette_hub.cli job" in line]


def test_jobs_are_begun_in_their_order_and_one_profile_waits_once(engine: Engine) -> None:
    first, second = put(engine, "pump"), put(engine, "fan")
    with pytest.raises(JobError, match=f"job {first} trains it already"):
        put(engine, "pump")
    claimed = [claim(engine) for _ in range(3)]
    assert [job.number if job else None for job in claimed] == [first, second, None]
    assert (get(engine, first).state, get(engine, first).started) == ("running", 2.0)


def test_a_full_queue_refuses(engine: Engine) -> None:
    with writing(engine) as connection:
        for number in range(3):
            jobs.enqueue(connection, TrainRequest(f"p{number}"), "ana", 1.0, 3)
        with pytest.raises(JobError, match="3 jobs wait already"):
            jobs.enqueue(connection, TrainRequest("p3"), "ana", 1.0, 3)


def test_a_job_ends_once(engine: Engine) -> None:
    number = put(engine)
    claim(engine)
    with writing(engine) as connection:
        jobs.tell(connection, number, 7.0, "half")
        assert jobs.cancel(connection, number, "ben", 3.0) is not None
        assert not jobs.fail(connection, number, "too late", 4.0)
        jobs.tell(connection, number, 0.1, "too late")
        with pytest.raises(JobError, match="was ended while it ran"):
            jobs.succeed(connection, number, {}, "too late", 4.0)
        with pytest.raises(JobError, match="has cancelled already"):
            jobs.cancel(connection, number, "ben", 5.0)
        assert jobs.cancel(connection, 99, "ben", 5.0) is None
    found = get(engine, number)
    assert (found.state, found.message, found.finished, found.progress) == ("cancelled", "cancelled by ben", 3.0, 1.0)


def test_a_version_is_kept_only_when_its_job_still_runs(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    number = put(engine, "generated", Synthetic(2000, 2))
    claim(engine)
    genuine = registry.add

    def cancelled_meanwhile(connection: object, *arguments: object, **options: object) -> object:
        jobs.cancel(connection, number, "ben", 3.0)  # type: ignore[arg-type]  # a connection of this test
        return genuine(connection, *arguments, **options)  # type: ignore[arg-type]  # passed on as they are

    monkeypatch.setattr(registry, "add", cancelled_meanwhile)
    worker.work(engine, LearningSection(trees=5), number)
    with reading(engine) as connection:
        assert registry.count_versions(connection) == 0


def test_what_goes_wrong_ends_as_the_jobs_message(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    deliver(engine, samples(1, readings=30))
    first = put(engine)
    claim(engine)
    worker.work(engine, LearningSection(), first)
    assert "15 full windows of 16 readings" in get(engine, first).message
    second = put(engine, "fan")
    claim(engine)
    worker.work(engine, LearningSection(), second)
    assert "no samples have come yet; there are samples of: pump (30 readings)" in get(engine, second).message

    def broken(*_: object) -> None:
        raise MemoryError("no room")

    monkeypatch.setattr(worker, "_source", broken)
    third = put(engine, "fan")
    claim(engine)
    worker.work(engine, LearningSection(), third)
    assert get(engine, third).message.startswith("MemoryError: no room")
    assert {get(engine, number).state for number in (first, second, third)} == {"failed"}


async def test_a_queued_job_trains_a_version_in_a_process_of_its_own(config: Config, engine: Engine) -> None:
    deliver(engine, samples(1), samples(2))
    number = put(engine)
    async with running(config, engine):
        await reach(lambda: get(engine, number).finished, "the job has ended")
    found = get(engine, number)
    assert (found.state, found.progress, found.message) == ("succeeded", 1.0, "version 1 is trained")
    with reading(engine) as connection:
        version = registry.find(connection, "pump", 1)
    assert version is not None
    assert found.result is not None
    assert (found.result["version"], found.result["sha256"]) == (1, version.sha256)
    assert (version.lineage["origin"], version.lineage["through"], version.lineage["by"]) == ("gateways", 2, "ana")


async def test_cancelled_killed_and_interrupted_jobs_end_as_such_and_the_next_is_done(
    config: Config, engine: Engine
) -> None:
    numbers = [put(engine, f"p{i}", LARGE) for i in range(3)]
    async with running(config, engine):
        await reach(lambda: get(engine, numbers[0]).message not in ("waiting", "starting"), "the first one is at work")
        (pid,) = children()
        assert os.getpriority(os.PRIO_PROCESS, pid) >= worker.NICENESS
        with writing(engine) as connection:
            jobs.cancel(connection, numbers[0], "ben", time.time())
        await reach(lambda: get(engine, numbers[1]).state == "running" and children(), "the second one is begun")
        os.kill(children()[0], signal.SIGKILL)
        await reach(lambda: get(engine, numbers[2]).state == "running" and children(), "the third one is begun")
    assert not children()
    found = [get(engine, number) for number in numbers]
    assert [job.state for job in found] == ["cancelled", "failed", "interrupted"]
    assert "killed; has memory run out?" in found[1].message


async def test_a_job_that_takes_too_long_is_ended(config: Config, engine: Engine) -> None:
    impatient = config.model_copy(update={"learning": LearningSection(timeout=1.0)})
    number = put(engine, "p", LARGE)
    async with running(impatient, engine):
        await reach(lambda: get(engine, number).finished, "the job has ended")
    assert (get(engine, number).state, "longer than 1 s" in get(engine, number).message) == ("failed", True)


def test_a_jobs_process_ends_with_its_parent(config: Config, engine: Engine) -> None:
    number = put(engine, "p", LARGE)
    claim(engine)
    child = runner.start(number, config)
    wait_for(lambda: get(engine, number).message != "starting", "the job is at work", 180.0)
    assert child.stdin is not None
    child.stdin.close()
    assert child.wait(10) == -signal.SIGKILL


async def test_what_ran_when_the_hub_was_killed_is_interrupted_at_the_next_start(
    config: Config, engine: Engine
) -> None:
    number = put(engine)
    claim(engine)
    async with running(config, engine):
        await reach(lambda: get(engine, number).state == "interrupted", "it is noticed")
    assert "ask for it again" in get(engine, number).message


def test_jobs_that_have_ended_go_the_oldest_first(engine: Engine) -> None:
    ended = []
    for number in range(4):
        ended.append(put(engine, f"p{number}"))
        with writing(engine) as connection:
            jobs.cancel(connection, ended[-1], "ana", 3.0)
    waits = put(engine)
    assert prune(engine, LimitsSection(jobs=2)) == {"jobs_pruned": 3}
    with reading(engine) as connection:
        assert [job.number for job in jobs.list_jobs(connection, limit=9)] == [waits, ended[-1]]
