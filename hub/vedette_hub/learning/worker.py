"""The worker: one job, in a process of its own, so that it can neither slow down nor break the hub."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from vedette_hub.config import LearningSection
from vedette_hub.errors import HubError
from vedette_hub.learning import jobs
from vedette_hub.learning.datasets import Source
from vedette_hub.learning.jobs import Job
from vedette_hub.learning.registry import ModelVersion
from vedette_hub.store.database import describe, reading, writing

logger = logging.getLogger(__name__)

NICENESS = 10
OOM_SCORE = 500
"""Where memory runs out, the kernel ends this process rather than the hub."""
_TELL_SECONDS = 0.3


def step_back() -> None:
    """Leave processor and memory to the hub and to everybody else."""
    os.nice(NICENESS)
    try:
        Path("/proc/self/oom_score_adj").write_text(str(OOM_SCORE))
    except OSError:
        logger.debug("jobs: this system does not let a process be the first to go when memory runs out")


def work(engine: Engine, settings: LearningSection, number: int, clock: Callable[[], float] = time.time) -> None:
    """Do the running job of this number, and end it: the version is kept in the transaction that ends it well."""
    with reading(engine) as connection:
        job = jobs.find(connection, number)
    if job is None or job.state != "running":
        logger.warning("jobs: job %d does not run; nothing is done", number)
        return
    try:
        _train(engine, settings, job, clock)
    except HubError as error:
        logger.info("jobs: job %d: %s", number, error)
        _fail(engine, number, str(error), clock())
    except Exception as error:
        logger.exception("jobs: job %d: unexpected error", number)
        text = describe(error) if isinstance(error, SQLAlchemyError) else str(error)
        _fail(engine, number, f"{type(error).__name__}: {text}; the hub's log has the trace", clock())


def _train(engine: Engine, settings: LearningSection, job: Job, clock: Callable[[], float]) -> None:
    tell = _Progress(engine, job.number)
    tell(0.0, "loading scikit-learn")
    # Imported here: a hub that does not train needs none of its memory.
    from vedette_hub.learning.next_version import train_next

    def succeed(connection: Connection, version: ModelVersion) -> None:
        jobs.succeed(connection, job.number, result(version), f"version {version.version} is trained", version.created)

    tell(0.05, "reading samples")
    version = train_next(
        engine,
        _source(engine, job),
        _settings(job, settings),
        clock,
        algorithm=job.request.algorithm,
        contamination=job.request.contamination,
        by=job.by,
        tell=tell,
        then=succeed,
    )
    logger.info("jobs: job %d: %s version %d is trained", job.number, job.profile, version.version)


def result(version: ModelVersion) -> dict[str, object]:
    """What a job that trained leaves behind."""
    return {
        "profile": version.profile,
        "version": version.version,
        "sha256": version.sha256,
        "bytes": version.bytes,
        "dropped": version.report.get("dropped", []),
    }


def _source(engine: Engine, job: Job) -> Source:
    from vedette_hub.learning.sources import store, synthetic, vectors

    wanted = job.request.synthetic
    if wanted is not None:
        return synthetic.generate(job.profile, wanted.samples, wanted.features, wanted.seed)
    sent = job.request.vectors
    with reading(engine) as connection:
        if sent is not None:
            return vectors.read(connection, job.number, sent.seed)
        return store.read(connection, job.profile)


def _settings(job: Job, settings: LearningSection) -> LearningSection:
    """The settings, with what the request says of vectors: each is a window of its own."""
    sent = job.request.vectors
    if sent is None:
        return settings
    wanted = {"trees": sent.trees, "samples_per_tree": sent.samples_per_tree}
    given = {name: value for name, value in wanted.items() if value is not None}
    return settings.model_copy(update={"window": 1, "min_vectors": sent.at_least, **given})


def _fail(engine: Engine, number: int, message: str, now: float) -> None:
    with writing(engine) as connection:
        jobs.fail(connection, number, message, now)


class _Progress:
    """Writes progress to the store, not too often; a store that is busy then is no reason to stop."""

    def __init__(self, engine: Engine, number: int) -> None:
        self._engine = engine
        self._number = number
        self._last = (-1e9, "")

    def __call__(self, done: float, what: str) -> None:
        now = time.monotonic()
        if what == self._last[1] and now - self._last[0] < _TELL_SECONDS:
            return
        self._last = (now, what)
        try:
            with writing(self._engine) as connection:
                jobs.tell(connection, self._number, done, what)
        except SQLAlchemyError as error:
            logger.debug("jobs: progress is not written: %s", describe(error))
