"""EventLoop: asyncio whose timers count the time that the machine sleeps."""

from __future__ import annotations

import asyncio

from vedette_agent.clock import SYSTEM, Clock


class EventLoop(asyncio.SelectorEventLoop):
    """Every `sleep`, `timeout` and `call_later` goes by the clock that nobody sets and that goes on during a suspend.

    The kernel's wait for sockets does not count a suspend. What was due meanwhile runs at the next wake-up, which is at
    most half a second later: the agent looks for requests that often.
    """

    def __init__(self, clock: Clock = SYSTEM) -> None:
        super().__init__()
        self._uptime = clock.uptime

    def time(self) -> float:
        """Seconds of uptime."""
        return self._uptime()
