"""The gateway as a simulated process: the whole real agent, on a state folder that survives kills."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
from functools import lru_cache
from pathlib import Path
from random import Random
from typing import Any

from tests.simulation.agent_transport import SimulatedTransport
from tests.simulation.broker import Broker
from tests.simulation.client import Connection
from tests.simulation.loop import Killed, Process, Threads, VirtualLoop
from tests.simulation.models import KEY
from tests.simulation.network import Network
from tests.simulation.scratch import folder
from tests.simulation.story import Story
from tests.simulation.witness import Witness
from vedette_agent.agent import Agent
from vedette_agent.clock import Clock
from vedette_agent.config import Config, load
from vedette_agent.delivery.database import FILE, OutboxError
from vedette_models.keys import format_key_ring, key_ring

CONFIG = """
[gateway]
id = "gw"
state_dir = "state"
heartbeat = "45s"
checkpoint_every = "120s"

[devices]
url = "mqtt://devices.simulated"

[hub]
url = "mqtt://hub.simulated"

[time]
max_age = "none"

[models]
key_ring = "keys"
fetch_timeout = "20s"

[samples]
every = "12s"
segment = 2
segments = 8

[live]
bytes_per_second = 0

[[streams]]
topic = "plant/{device}/telemetry"
profile = "pump"

[profiles.pump.channels.flow]
low = 0.0
high = 100.0

[profiles.pump.decisions]
clear_after = 2

[profiles.pump.health]
silent = false
stuck = false
jump = false
clock = false
cooldown = "0s"
"""

OUTBOX_BYTES = 128 * 1024


@lru_cache
def config() -> Config:
    """Before it is told where its state lies."""
    home = folder("configuration")
    (home / "agent.toml").write_text(CONFIG)
    (home / "keys").write_text(format_key_ring(key_ring(KEY.verify_key)))
    return load(home / "agent.toml", {})


class GatewayClock(Clock):
    """`error`: by how much people have set it wrong."""

    def __init__(self, loop: VirtualLoop, since: float) -> None:
        self._loop, self._since = loop, since
        self.error = 0.0

    def now(self) -> float:
        return max(0.0, self._since + self._loop.now + self.error)

    def uptime(self) -> float:
        return self._loop.now

    def steered(self) -> bool | None:
        return self.error == 0.0


class Gateway:
    """Its state lies in `state`, a new folder after every kill."""

    def __init__(
        self, home: Path, loop: VirtualLoop, network: Network, brokers: dict[str, Broker], random: Random,
        story: Story, witness: Witness, now: float, outbox_rows: int,
    ) -> None:  # fmt: skip
        self.home, self.loop, self.network, self.brokers = home, loop, network, brokers
        self.random, self.story, self.witness = random, story, witness
        self.clock = GatewayClock(loop, now)
        self.outbox_rows = outbox_rows
        self.life = 0
        self.state = home / "gateway0"
        self.agent: Agent | None = None
        self.process: Process | None = None
        self._task: asyncio.Task[None] | None = None
        self.lives: list[Process] = []
        self.threads = Threads(random)
        self.model_disk_full = False
        self.files_until_kill = -1
        """So many files are still written to the folder of models; negative: any number."""
        self.spoil = lambda state: None
        """What happens to the state folder at the next kill."""

    # --------------------------------------------------------------------- life

    def start(self) -> None:
        """Begin a life, unless one is being lived."""
        if self.process is not None:
            return
        self.life += 1
        process = Process("gateway")
        process.before_call = self.threads.before_call
        process.interrupt, process.calm, process.kill = self._interrupt, self._calm, self.kill
        base = config()
        where = base.gateway.model_copy(update={"state_dir": self.state})
        box = base.outbox.model_copy(update={"max_rows": self.outbox_rows, "max_bytes": OUTBOX_BYTES})
        self.story.tell("gateway", "starts (life %d)", self.life)
        self.process = process
        self.lives.append(process)
        self._task = None
        try:
            agent = process.context.run(
                Agent, base.model_copy(update={"gateway": where, "outbox": box}), self.witness.trace(self.life),
                clock=self.clock,
            )  # fmt: skip
        except (OutboxError, OSError) as error:
            self.story.tell("gateway", "cannot start: %s", error)
            self.loop.bury(process)
            self.process = None
            self.loop.later(5.0, self.start)
            return
        self.agent = agent
        self.witness.watch(agent)
        task = self._task = self.loop.start(process, agent.run())
        task.add_done_callback(lambda done: self._ended(process, done), context=self.loop.world)

    def _ended(self, process: Process, task: Any) -> None:
        """It has stopped, as it was told to or by itself."""
        if process.dead:
            return
        self.loop.bury(process)
        if (error := task.exception()) is not None:
            self.story.wrong("stays up", f"the agent ended by itself: {error!r}")
            if self.agent is not None:
                self._let_go(self.agent)
        self.process = self.agent = None
        self.story.tell("gateway", "has stopped")
        self.loop.later(self.random.uniform(0.2, 10.0), self.start)

    def stop(self) -> None:
        """SIGTERM."""
        if self.agent is not None:
            self.story.tell("gateway", "is told to stop")
            self.agent.stop()

    def kill(self) -> None:
        """`kill -9`; it comes back after a while."""
        if self.process is None or (self._task is not None and self._task.done()):
            return
        self.story.tell("gateway", "is killed")
        self.loop.bury(self.process)
        for name in self.brokers:
            self.network.client_dies("gateway", name)
        self.process = None
        after = self.home / f"gateway{self.life}"
        if self.state.exists():
            shutil.copytree(self.state, after, ignore=shutil.ignore_patterns("*-shm"))
        self.state = after
        if self.agent is not None:
            self._let_go(self.agent)
        self.spoil(after)
        self.spoil = lambda state: None
        self.loop.later(self.random.uniform(0.2, 12.0), self.start)

    def _let_go(self, agent: Agent) -> None:
        """What the system takes back when a process ends."""
        self.agent = None
        agent._outbox.database.connection.close()
        os.close(agent._lock._file)
        if agent._trace is not None:
            agent._trace.close()

    def end(self) -> None:
        """The world ends."""
        if self.process is not None:
            self.loop.bury(self.process)
            if self.agent is not None:
                self._let_go(self.agent)

    # ------------------------------------------------------------------- its edges

    def transport(self, broker: Any, will: Any, inbox: Any) -> SimulatedTransport:
        """Stands in for the transports of `vedette_agent.mqtt.connection`."""
        assert self.process is not None
        connection = Connection(
            self.loop, self.network, self.brokers[broker.host.partition(".")[0]], self.process, broker.client_id
        )
        return SimulatedTransport(self.loop, self.random, connection, will, inbox, self.witness.wrongly_acknowledged)

    def before_file(self) -> None:
        """A file of the models' folder is about to be written."""
        if self.files_until_kill == 0:
            self.files_until_kill = -1
            self.kill()
            raise Killed
        self.files_until_kill -= self.files_until_kill > 0
        if self.model_disk_full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _interrupt(self) -> None:
        if self.agent is None:
            return
        left = int(self.random.expovariate(1 / 25))
        committing = False

        def count() -> int:
            nonlocal left
            left -= not committing
            return left == -1 and not committing  # once

        def begins(statement: str) -> None:
            nonlocal committing
            committing = statement == "COMMIT"  # SQLite may say that it was interrupted when it has committed

        connection = self.agent._outbox.database.connection
        connection.set_progress_handler(count, 5)
        connection.set_trace_callback(begins)

    def _calm(self) -> None:
        if self.agent is not None:
            self.agent._outbox.database.connection.set_progress_handler(None, 0)
            self.agent._outbox.database.connection.set_trace_callback(None)

    @property
    def database(self) -> Path:
        return self.state / FILE
