"""The runner: takes jobs from the queue, one at a time, and has each done by a child process."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from vedette_hub.config import Config
from vedette_hub.learning import jobs
from vedette_hub.learning.jobs import Job
from vedette_hub.store.database import describe, reading, writing

logger = logging.getLogger(__name__)

COMMAND = ["-m", "vedette_hub.cli", "job"]
WATCH_SECONDS = 0.3
IDLE_SECONDS = 1.0
RETRY_SECONDS = 5.0
_OF_SYSTEMD = {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID"}
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}

_T = TypeVar("_T")


class Runner:
    """Does what is in the queue until it is cancelled."""

    def __init__(self, config: Config, engine: Engine, clock: Callable[[], float] = time.time) -> None:
        self._config = config
        self._engine = engine
        self._clock = clock

    async def run(self) -> None:
        """Do jobs until cancelled; a database that does not answer is tried again for ever."""
        try:
            await self._until_it_works(self._interrupt)
            while True:
                job = await self._until_it_works(self._claim)
                if job is None:
                    await asyncio.sleep(IDLE_SECONDS)
                else:
                    await self._do(job)
        finally:
            try:
                self._interrupt()
            except SQLAlchemyError as error:  # the next start does it
                logger.warning("jobs: the database does not answer: %s", describe(error))

    async def _do(self, job: Job) -> None:
        logger.info("jobs: job %d: training %s for %s", job.number, job.profile, job.by)
        child = await asyncio.to_thread(start, job.number, self._config)
        try:
            fault = await self._wait(child, job.number)
        finally:
            end(child)
        # No effect on a job that has ended, be it well or because somebody cancelled it.
        if await self._until_it_works(lambda: self._fail(job.number, fault or explain(child.returncode))):
            logger.error("jobs: job %d: %s", job.number, fault or explain(child.returncode))

    async def _wait(self, child: subprocess.Popen[bytes], number: int) -> str:
        """Return when the child has ended, or should: because it was cancelled, or because it is too slow (says so)."""
        deadline = time.monotonic() + self._config.learning.timeout
        while child.poll() is None:
            if time.monotonic() > deadline:
                return f"it took longer than {self._config.learning.timeout:g} s (learning.timeout) and was ended"
            if not await self._until_it_works(lambda: self._is_running(number)):
                return ""
            await asyncio.sleep(WATCH_SECONDS)
        return ""

    async def _until_it_works(self, function: Callable[[], _T]) -> _T:
        while True:
            try:
                return await asyncio.to_thread(function)
            except SQLAlchemyError as error:
                logger.warning("jobs: the database does not answer: %s", describe(error))
                await asyncio.sleep(RETRY_SECONDS)

    def _claim(self) -> Job | None:
        with reading(self._engine) as connection:
            if not jobs.count_jobs(connection, "queued"):
                return None
        with writing(self._engine) as connection:
            return jobs.claim(connection, self._clock())

    def _is_running(self, number: int) -> bool:
        with reading(self._engine) as connection:
            return jobs.is_running(connection, number)

    def _fail(self, number: int, message: str) -> bool:
        with writing(self._engine) as connection:
            return jobs.fail(connection, number, message, self._clock())

    def _interrupt(self) -> None:
        with writing(self._engine) as connection:
            if number := jobs.interrupt(connection, self._clock()):
                logger.warning("jobs: %d interrupted, because the hub stopped", number)


def start(number: int, config: Config) -> subprocess.Popen[bytes]:
    """Start the child that does a job; it ends with this process, however that ends."""
    child = subprocess.Popen(  # noqa: S603  # our own interpreter and arguments
        [sys.executable, *COMMAND, "--number", str(number)],
        stdin=subprocess.PIPE,
        process_group=0,
        env={name: value for name, value in os.environ.items() if name not in _OF_SYSTEMD} | _ONE_THREAD,
    )
    assert child.stdin is not None  # noqa: S101  # a pipe was asked for
    try:
        child.stdin.write(config.model_dump_json().encode() + b"\n")
        child.stdin.flush()
    except BrokenPipeError:
        logger.error("jobs: job %d: its process ended at once", number)
    return child


def end(child: subprocess.Popen[bytes]) -> None:
    """End the child, which has nothing to clean up: what it has not committed is not there."""
    if child.poll() is None:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
    if child.stdin is not None:
        child.stdin.close()


def explain(code: int) -> str:
    """What the exit code of a child that left no result means to a person."""
    if code == -signal.SIGKILL:
        return "its process was killed; has memory run out? Lower learning.max_vectors, or see the system's log"
    if code < 0:
        return f"its process crashed (signal {-code}); the hub's log may say more"
    return f"its process ended with code {code} and no result; the hub's log says why"
