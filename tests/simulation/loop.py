"""A virtual-time event loop: time jumps to the next timer, threads are run inline, and a process can be killed.

Everything a simulated process does runs in its own context. When it is killed nothing of that context runs any more,
clean-up included, as after `kill -9`.
"""

from __future__ import annotations

import asyncio
import contextvars
import weakref
from collections.abc import Callable
from random import Random
from typing import Any

_PROCESS: contextvars.ContextVar[Process | None] = contextvars.ContextVar("process", default=None)
THREAD_DELAY = 0.004
"""Seconds that a call in another thread waits before it is run, and its result after, at most."""

CLEAN_UPS = 20
"""Places at which one coroutine may wait while it cleans up."""


class Killed(BaseException):
    """`kill -9`, as the killed program sees it: not at all."""


class Process:
    """One life of a simulated program."""

    def __init__(self, name: str) -> None:
        self.name, self.dead = name, False
        self.context = contextvars.Context()
        self.context.run(_PROCESS.set, self)
        self.tasks: weakref.WeakSet[asyncio.Task[Any]] = weakref.WeakSet()
        self.remains: list[asyncio.Task[Any]] = []
        self.before_call: Callable[[str], str] = lambda call: ""
        """Before each call in another thread: `before`, `within`, `after` kill it there; with `fails` it lives."""
        self.interrupt: Callable[[], None] = lambda: None
        """Make the next statement of its database fail halfway."""
        self.calm: Callable[[], None] = lambda: None
        """Undo `interrupt`."""
        self.kill: Callable[[], None] = lambda: None


class Threads:
    """What becomes of the calls a program makes in other threads: its database's, above all."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self.until_kill = -1
        """So many calls until the process is killed; negative: it is not."""
        self.of = ""
        """Only calls of this name count; empty: all."""
        self.where = "after"
        self.failing = 0.0
        """Share of calls during which the disk refuses."""

    def before_call(self, call: str) -> str:
        """See `Process.before_call`; `fails`: the process lives."""
        if self.of in ("", call):
            if self.until_kill == 0:
                self.until_kill = -1
                return self.where
            self.until_kill -= self.until_kill > 0
        return "fails" if self.failing and self._random.random() < self.failing else ""

    def calm(self) -> None:
        """Nothing more goes wrong."""
        self.until_kill, self.failing = -1, 0.0


class _Clockwork:
    """Stands where a selector stands: instead of waiting for sockets it moves the time."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop

    def select(self, timeout: float | None) -> list[Any]:
        if timeout is None:
            raise RuntimeError("the simulation stands still: nothing will ever happen again")
        self._loop.now += timeout
        return []

    def close(self) -> None:
        pass


class VirtualLoop(asyncio.BaseEventLoop):
    """Runs simulated processes; what belongs to none of them belongs to the world around them."""

    def __init__(self, random: Random) -> None:
        super().__init__()
        self.now = 0.0
        self._random = random
        self._selector = _Clockwork(self)
        self._clock_resolution = 1e-9
        self._threads: dict[object, float] = {}
        """When each executor's last call ends: calls to one are in turn."""
        self.world = contextvars.Context()
        self.failures: list[str] = []
        """What ended with an exception that nobody looked at."""
        self.set_task_factory(_new_task)
        self.set_exception_handler(self._note_failure)

    def time(self) -> float:
        return self.now

    def _process_events(self, events: list[Any]) -> None:
        pass

    def _write_to_self(self) -> None:
        pass

    def _asyncgen_finalizer_hook(self, agen: Any) -> None:
        """What a killed process has left behind is not finished."""

    def add_signal_handler(self, sig: int, callback: Callable[..., Any], *args: Any) -> None:
        """Nobody sends signals here."""

    def _note_failure(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if not isinstance(error, Killed):
            self.failures.append(f"{context.get('message')}: {error!r}")

    # ------------------------------------------------------------ what is to be run

    def call_soon(self, callback: Any, *args: Any, context: contextvars.Context | None = None) -> asyncio.Handle:
        handle = super().call_soon(callback, *args, context=context)
        if _is_dead(context):
            handle.cancel()
        return handle

    def call_at(
        self, when: float, callback: Any, *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        handle = super().call_at(when, callback, *args, context=context)
        if _is_dead(context):
            handle.cancel()
        return handle

    def later(self, delay: float, callback: Callable[..., Any], *args: Any) -> None:
        """Have the world do something after so many seconds."""
        self.call_at(self.now + delay, callback, *args, context=self.world)

    def start(self, process: Process, coroutine: Any) -> asyncio.Task[Any]:
        """Run a coroutine as a process."""
        return process.context.run(self.create_task, coroutine)

    def bury(self, process: Process) -> None:
        """Nothing of this process is run from now on."""
        process.dead = True
        # Kept, or their clean-up would run whenever they are collected.
        process.remains = [task for task in process.tasks if not task.done()]
        for handle in (*self._ready, *self._scheduled):  # type: ignore[attr-defined]  # the loop's own queues
            if not handle.cancelled() and handle._context.get(_PROCESS) is process:
                handle.cancel()

    def dissolve(self, process: Process) -> None:
        """Let go of a dead process when the world ends."""
        for task in process.remains:
            task._log_destroy_pending = False  # type: ignore[attr-defined]  # they are meant to be
            coroutine = task.get_coro()
            for _ in range(CLEAN_UPS):
                try:
                    coroutine.close()  # type: ignore[union-attr]  # all of ours have it
                except BaseException:  # it waits for something in its clean-up, which will not come
                    continue
                break
        process.remains = []

    # --------------------------------------------------------- threads, without any

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:  # type: ignore[override]
        process = _PROCESS.get()
        future: asyncio.Future[Any] = self.create_future()
        begin = max(self.now, self._threads.get(executor, 0.0)) + self._random.random() * THREAD_DELAY
        end = begin + self._random.random() * THREAD_DELAY
        self._threads[executor] = end
        self.call_at(begin, self._run_call, process, future, end, func, args, context=self.world)
        return future

    def _run_call(
        self, process: Process | None, future: asyncio.Future[Any], end: float, func: Any, args: tuple[Any, ...]
    ) -> None:
        if process is None:
            raise RuntimeError(f"{func} is called by nobody's process")
        if process.dead:
            return
        when = process.before_call(_name(func))
        if when == "before":
            process.kill()
            return
        if when in ("within", "fails"):
            process.interrupt()
        outcome, error = None, None
        try:
            outcome = func(*args)
        except Exception as failed:  # it goes to whoever waits
            error = failed
        process.calm()
        if when in ("within", "after") and not process.dead:
            process.kill()
        if not process.dead:
            self.call_at(end, _finish, future, outcome, error, context=process.context)


def _name(func: Callable[..., Any]) -> str:
    """What is called, also where it is wrapped."""
    for cell in getattr(func, "__closure__", None) or ():
        if callable(cell.cell_contents):
            return str(getattr(cell.cell_contents, "__name__", ""))
    return str(getattr(func, "__name__", ""))


def _finish(future: asyncio.Future[Any], outcome: Any, error: Exception | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(outcome)
    else:
        future.set_exception(error)


def _is_dead(context: contextvars.Context | None) -> bool:
    process = _PROCESS.get() if context is None else context.get(_PROCESS)
    return process is not None and process.dead


def _new_task(loop: asyncio.AbstractEventLoop, coro: Any, **options: Any) -> asyncio.Task[Any]:
    task: asyncio.Task[Any] = asyncio.Task(coro, loop=loop, **options)
    process = _PROCESS.get()
    if process is not None:
        process.tasks.add(task)
    return task
