"""The scheduler: on a schedule, every profile with new samples or labels is queued to be trained again."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from vedette_hub.config import LearningSection
from vedette_hub.errors import ConfigurationError
from vedette_hub.learning import jobs, registry
from vedette_hub.learning.errors import JobError
from vedette_hub.learning.jobs import Job, TrainRequest
from vedette_hub.learning.registry import ModelVersion
from vedette_hub.store.alert_periods import labels_since
from vedette_hub.store.database import describe, reading, writing
from vedette_hub.store.samples import SampleTotals, sample_totals

if TYPE_CHECKING:
    from apscheduler.triggers.cron import CronTrigger

logger = logging.getLogger(__name__)

BY = "schedule"
"""Who asks for these jobs."""


def cron_trigger(schedule: str) -> CronTrigger | None:
    """What fires at the times of a schedule in cron's five fields; None for an empty one.

    Raises:
        ConfigurationError: it is no schedule.
    """
    if not schedule.strip():
        return None
    # Imported here: only the process that serves needs it.
    from apscheduler.triggers.cron import CronTrigger

    fields = schedule.split()
    hint = 'write five fields as for cron, such as "30 3 * * *" or "0 4 * * sun"'
    if len(fields) == 5 and any(character.isdigit() for character in fields[4]):
        # cron counts from Sunday, APScheduler from Monday: a name means the same to both.
        raise ConfigurationError([f"learning.schedule: {fields[4]!r}: write days of the week as mon to sun"])
    try:
        return CronTrigger.from_crontab(schedule)
    except ValueError as error:
        raise ConfigurationError([f"learning.schedule: {schedule!r}: {error}; {hint}"]) from error


def queue_due(connection: Connection, settings: LearningSection, now: float) -> list[Job]:
    """Queue every profile that has samples or labels newer than its newest version, and is not queued yet."""
    queued = []
    for total in sample_totals(connection):
        before = registry.newest(connection, total.profile)
        if before is not None and not _is_outdated(connection, before, total):
            continue
        if before is None and total.readings < settings.min_vectors:
            continue
        try:
            queued.append(jobs.enqueue(connection, TrainRequest(total.profile), BY, now, settings.queue))
        except JobError as error:
            logger.info("schedule: %s", error)
    return queued


def _is_outdated(connection: Connection, version: ModelVersion, total: SampleTotals) -> bool:
    """Whether samples have come since, or people have labelled alerts, which changes what is normal."""
    newer = int(version.lineage.get("through", 0)) < total.newest
    return newer or labels_since(connection, total.profile, version.created) > 0


class Scheduler:
    """Queues what is due at the times of the schedule, until it is cancelled."""

    def __init__(self, settings: LearningSection, engine: Engine, clock: Callable[[], float] = time.time) -> None:
        self._settings = settings
        self._engine = engine
        self._clock = clock
        self._trigger = cron_trigger(settings.schedule)

    async def run(self) -> None:
        """Run until cancelled. What was due while the hub was away is due at once."""
        if self._trigger is None:
            return
        from apscheduler.schedulers.asyncio import AsyncIOScheduler

        scheduler = AsyncIOScheduler()
        # A run that comes late, because the machine slept, still counts; several that do count once.
        options = {"misfire_grace_time": None, "coalesce": True, "max_instances": 1}
        scheduler.add_job(self._queue, self._trigger, **options)
        if await asyncio.to_thread(self._is_overdue):
            scheduler.add_job(self._queue, **options)
        scheduler.start()
        try:
            await asyncio.Event().wait()
        finally:
            scheduler.shutdown(wait=False)

    def _is_overdue(self) -> bool:
        try:
            with reading(self._engine) as connection:
                last = jobs.newest_by(connection, BY)
        except SQLAlchemyError as error:
            logger.warning("schedule: the database does not answer: %s", describe(error))
            return False
        if last is None or self._trigger is None:
            return False
        due = self._trigger.get_next_fire_time(None, datetime.fromtimestamp(last, self._trigger.timezone))
        return due is not None and due.timestamp() <= self._clock()

    def _queue(self) -> None:
        try:
            with writing(self._engine) as connection:
                queued = queue_due(connection, self._settings, self._clock())
        except SQLAlchemyError as error:
            logger.warning("schedule: the database does not answer: %s", describe(error))
            return
        names = ", ".join(job.profile for job in queued)
        logger.info("schedule: %s", f"queued {names}" if queued else "no profile has new samples")
