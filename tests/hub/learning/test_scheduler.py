"""On a schedule, what has new samples is trained again; what was missed is made up for once."""

from __future__ import annotations

import asyncio
import contextlib
import time
from datetime import datetime
from pathlib import Path

import pytest
from click.testing import CliRunner
from sqlalchemy import Engine

from tests.hub.gateway import wait_for
from tests.hub.learning.alerts import raise_alert
from tests.hub.learning.readings import deliver, samples
from vedette_hub.alerts.actions import act
from vedette_hub.cli import main
from vedette_hub.config import LearningSection
from vedette_hub.errors import ConfigurationError
from vedette_hub.learning import jobs, worker
from vedette_hub.learning.scheduler import BY, Scheduler, cron_trigger, queue_due
from vedette_hub.store.alerts import Action
from vedette_hub.store.database import reading, writing

SETTINGS = LearningSection(trees=5)
DAY = 86_400.0


def due(engine: Engine) -> list[str]:
    with writing(engine) as connection:
        return [job.profile for job in queue_due(connection, SETTINGS, 1.0)]


def work(engine: Engine) -> None:
    with writing(engine) as connection:
        job = jobs.claim(connection, 2.0)
    assert job is not None
    worker.work(engine, SETTINGS, job.number)


def queued(engine: Engine) -> int:
    with reading(engine) as connection:
        return jobs.count_jobs(connection, "queued")


def test_only_what_has_new_samples_is_queued_and_only_once(engine: Engine) -> None:
    assert due(engine) == []
    deliver(engine, samples(1), samples(2, profile="fan", readings=20))
    assert due(engine) == ["pump"]
    assert due(engine) == []
    work(engine)
    assert due(engine) == []
    deliver(engine, samples(3), first=3)
    assert due(engine) == ["pump"]


def test_labels_given_since_the_newest_version_make_it_due(engine: Engine) -> None:
    deliver(engine, samples(1), samples(2))
    assert due(engine) == ["pump"]
    work(engine)
    raise_alert(engine, 1)
    assert due(engine) == []
    act(engine, ("gw-1", "a-1"), Action("label", time.time() + 1.0, "ann", label="false"))
    assert due(engine) == ["pump"]
    assert due(engine) == []


async def run_until(engine: Engine, scheduler: Scheduler, wanted: int) -> None:
    task = asyncio.create_task(scheduler.run())
    try:
        await asyncio.to_thread(wait_for, lambda: queued(engine) >= wanted, "what is due is queued")
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def test_a_run_missed_while_the_hub_was_away_is_made_up_for(engine: Engine) -> None:
    deliver(engine, samples(1))
    last = datetime(2026, 1, 5, 12).timestamp()  # the schedule is in local time, too
    with writing(engine) as connection:
        job = jobs.enqueue(connection, jobs.TrainRequest("pump"), BY, last, 10)
        jobs.cancel(connection, job.number, "ana", last)
    early = Scheduler(SETTINGS, engine, lambda: last + 3600.0)
    assert not early._is_overdue()
    await run_until(engine, Scheduler(SETTINGS, engine, lambda: last + DAY), 1)


async def test_the_schedule_fires(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    from apscheduler.triggers.interval import IntervalTrigger

    deliver(engine, samples(1))
    scheduler = Scheduler(SETTINGS, engine)
    monkeypatch.setattr(scheduler, "_trigger", IntervalTrigger(seconds=1))
    await run_until(engine, scheduler, 1)


async def test_an_empty_schedule_never_fires(engine: Engine) -> None:
    await Scheduler(LearningSection(schedule=""), engine).run()


@pytest.mark.parametrize(
    ("schedule", "problem"),
    [
        ("often", "write five fields"),
        ("61 3 * * *", "write five fields"),
        ("0 3 * * 0", "write days of the week as mon to sun"),
    ],
)
def test_a_wrong_schedule_is_explained(schedule: str, problem: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        cron_trigger(schedule)
    path = tmp_path / "hub.toml"
    path.write_text(f'[learning]\nschedule = "{schedule}"\n')
    result = CliRunner().invoke(main, ["config", "check", "--config", str(path)])
    assert (result.exit_code, problem in result.stderr) == (2, True)
