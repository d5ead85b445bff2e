"""The hub as a simulated process: real ingest, publisher, ledger and store, on a database that survives kills."""

from __future__ import annotations

import shutil
import sqlite3
from functools import lru_cache
from pathlib import Path
from random import Random
from typing import Any

from sqlalchemy import Engine, event, insert

from tests.simulation.broker import Broker
from tests.simulation.client import Connection
from tests.simulation.hub_client import HubClient
from tests.simulation.loop import Process, Threads, VirtualLoop
from tests.simulation.models import BAD, KEY, PROFILE, versions
from tests.simulation.network import Network
from tests.simulation.scratch import folder
from tests.simulation.story import Story
from vedette_hub.config import BrokerSection, LimitsSection
from vedette_hub.fleet.ingest import Ingest
from vedette_hub.fleet.publisher import Publisher
from vedette_hub.store import rollout
from vedette_hub.store.database import open_store, writing
from vedette_hub.store.migrate import migrate
from vedette_hub.store.schema import models
from vedette_models import artifact

GATEWAYS = ("gw", "gw2")
SETTINGS = BrokerSection(url="mqtt://hub.simulated")
LIMITS = LimitsSection(linger=0.3)
DATABASE = "hub.db"


class Database:
    """One engine for all seeds: what SQLAlchemy has compiled once serves them all. It goes where `path` points."""

    def __init__(self, template: Path) -> None:
        self.path = template
        self.engine: Engine = open_store(f"sqlite:///{template}")
        migrate(self.engine)
        with writing(self.engine) as connection:
            for name in GATEWAYS:
                rollout.add_gateway(connection, name, 0.0)
            connection.execute(insert(models), [_registered(number) for number in versions()])
        self.connections: list[sqlite3.Connection] = []
        event.listen(self.engine, "do_connect", self._connect)
        self.engine.dispose()

    def _connect(self, _dialect: Any, _record: Any, _arguments: Any, _options: Any) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, check_same_thread=False)
        self.connections.append(connection)
        return connection

    def move(self, path: Path) -> None:
        """From now on this file; the connections to the one before are closed."""
        self.engine.dispose()
        self.connections.clear()
        self.path = path


@lru_cache
def database() -> Database:
    """With the tables, a fleet of two gateways, and models in the registry."""
    return Database(folder("template") / DATABASE)


@lru_cache
def _template() -> bytes:
    made = database()
    made.engine.dispose()
    return made.path.read_bytes()


def _registered(number: int) -> dict[str, Any]:
    data = versions()[number]
    return {
        "profile": PROFILE,
        "version": number,
        "sha256": artifact.sha256(data),
        "detector": "isolation_forest",
        "bytes": len(data),
        "artefact": data,
        "created": 1.8e9,
        "stage": "candidate",
        "lineage": "{}",
        "report": f'{{"sound": {"false" if number == BAD else "true"}}}',
    }


class Hub:
    """Its database lies in `state`, a new folder after every kill."""

    def __init__(
        self, home: Path, loop: VirtualLoop, network: Network, broker: Broker, random: Random, story: Story, now: float
    ) -> None:
        self.home, self.loop, self.network, self.broker = home, loop, network, broker
        self.random, self.story = random, story
        self._since = now
        self.life = 0
        self.state = home / "hub0"
        self.state.mkdir()
        template = _template()
        database().move(self.state / DATABASE)
        database().path.write_bytes(template)
        self.process: Process | None = None
        self.threads = Threads(random)
        self.lives: list[Process] = []

    @property
    def engine(self) -> Engine:
        return database().engine

    def now(self) -> float:
        """The hub's clock is right."""
        return self._since + self.loop.now

    def start(self) -> None:
        """Begin a life, unless one is being lived."""
        if self.process is not None:
            return
        self.life += 1
        process = self.process = Process("hub")
        self.lives.append(process)
        process.before_call = self.threads.before_call
        process.interrupt, process.calm, process.kill = self._interrupt, self._calm, self.kill
        publisher = Publisher(self.engine, KEY, clock=self.now, uptime=self.loop.time)
        ingest = Ingest(
            SETTINGS,
            LIMITS,
            self.engine,
            self.state,
            password=None,
            tls=None,
            clock=self.now,
            uptime=self.loop.time,
            beside=publisher.run,
        )
        self.story.tell("hub", "starts (life %d)", self.life)
        task = self.loop.start(process, ingest.run())
        task.add_done_callback(lambda done: self._ended(process, done), context=self.loop.world)

    def _ended(self, process: Process, task: Any) -> None:
        if not process.dead:
            self.story.wrong("stays up", f"the hub ended by itself: {task.exception()!r}")

    def client(self, _settings: Any, _password: Any, _tls: Any, queue: Any) -> HubClient:
        """Stands in for `fleet.broker.new_client`."""
        assert self.process is not None
        connection = Connection(self.loop, self.network, self.broker, self.process, "vedette-hub")
        return HubClient(self.loop, connection, queue)

    def kill(self) -> None:
        """`kill -9`; it comes back after a while."""
        if self.process is None:
            return
        self.story.tell("hub", "is killed")
        self.loop.bury(self.process)
        self.process = None
        self.network.client_dies("hub", self.broker.name)
        after = self.home / f"hub{self.life}"
        after.mkdir()
        for name in (DATABASE, f"{DATABASE}-wal"):
            if (self.state / name).exists():
                shutil.copyfile(self.state / name, after / name)
        self.state = after
        database().move(after / DATABASE)
        self.loop.later(self.random.uniform(0.2, 15.0), self.start)

    def _interrupt(self) -> None:
        left = int(self.random.expovariate(1 / 60))

        def count() -> int:
            nonlocal left
            left -= 1
            return left == -1  # once

        for connection in database().connections:
            connection.set_progress_handler(count, 5)

    def _calm(self) -> None:
        for connection in database().connections:
            connection.set_progress_handler(None, 0)
