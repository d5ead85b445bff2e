"""The world of one seed: devices, a gateway, two brokers, a hub, and what goes wrong between them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random as randoms
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from random import Random
from types import SimpleNamespace
from typing import Any

from tests.simulation import invariants
from tests.simulation.broker import Broker
from tests.simulation.devices import Devices
from tests.simulation.faults import Faults
from tests.simulation.gateway import Gateway
from tests.simulation.hub import Hub
from tests.simulation.loop import VirtualLoop
from tests.simulation.network import Network
from tests.simulation.scratch import folder
from tests.simulation.story import Story, StoryHandler
from tests.simulation.witness import Witness
from vedette_agent import agent, durable_file, heartbeat
from vedette_agent.delivery import database, disk_room, outbox
from vedette_agent.mqtt import connection
from vedette_agent.update import model_store
from vedette_hub.fleet import broker as hub_broker
from vedette_hub.fleet import ingest, ingest_state, publisher

NOW = 1_900_000_000.0
TROUBLE = 60.0
"""Seconds in which faults happen."""
HEALING = 2 * 3600.0
"""Seconds after the last fault until everything must have come right."""
LOOK_EVERY = 5.0
SELDOM = 20.0
"""Seconds between two looks of those that look twice a second: each costs a seed time, and none is about faults."""
KIB = 1024
"""What is taken of a disk beforehand is measured in these here, and in MiB on a gateway."""

_HANDLER = StoryHandler()


class World:
    """Everything of one seed."""

    def __init__(self, seed: int) -> None:
        self.seed, self.random = seed, Random(seed)
        self.story = Story(seed)
        self.loop = VirtualLoop(self._random())
        self.story.clock = self.loop.time
        home = self._home = folder(f"seed{seed}")
        self.network = Network(self.loop, self._random())
        self.brokers = {name: Broker(name, self.loop, self._random()) for name in ("devices", "hub")}
        self.hub = Hub(home, self.loop, self.network, self.brokers["hub"], self._random(), self.story, NOW)
        self.witness = Witness(home, self.story, self.hub.now)
        rows = self.random.choice((2, 4, 8, 1_000))
        self.gateway = Gateway(
            home, self.loop, self.network, self.brokers, self._random(), self.story, self.witness, NOW, rows
        )
        self.brokers["devices"].acknowledged = self.witness.devices_acknowledged
        self.brokers["hub"].saw = self.witness.hub_saw
        self.devices = Devices(self.loop, self.brokers["devices"], self._random(), self.story, NOW)
        self.faults = Faults(self, self._random())

    def _random(self) -> Random:
        return Random(self.random.getrandbits(64))

    async def live(self) -> None:
        """From the first reading to the last repair."""
        self.gateway.start()
        self.hub.start()
        self.devices.start(TROUBLE)
        self.faults.start(TROUBLE)
        await asyncio.sleep(TROUBLE)
        self.faults.heal()
        self.devices.start(2 * LOOK_EVERY)
        await asyncio.sleep(3 * LOOK_EVERY)
        waited = 0.0
        while (why := invariants.unsettled(self)) and waited < HEALING:
            step = LOOK_EVERY if waited < 300.0 else 60.0
            await asyncio.sleep(step)
            waited += step
        if why:
            self.story.wrong("everything comes right", f"{HEALING:.0f} s after the last fault {why}")
        invariants.check(self)

    def end(self) -> None:
        """Let go of everything."""
        self.gateway.end()
        if self.hub.process is not None:
            self.loop.bury(self.hub.process)
        for process in (*self.gateway.lives, *self.hub.lives):
            self.loop.dissolve(process)
        self.hub.engine.dispose()
        self.loop.close()
        shutil.rmtree(self._home)


class _Entropy:
    """`secrets`, as random as the seed."""

    def __init__(self, random: Random) -> None:
        self._random = random

    def token_hex(self, size: int) -> str:
        return self._random.randbytes(size).hex()

    def randbits(self, bits: int) -> int:
        return self._random.getrandbits(bits)


@contextlib.contextmanager
def _in_place(world: World) -> Iterator[None]:
    """What stands for the edges of agent and hub while this world lives."""
    entropy = _Entropy(world._random())

    def replace(*arguments: Any) -> None:
        world.gateway.before_file()
        durable_file.replace(*arguments)

    with ExitStack() as stack:
        for owner, name, value in (
            (connection, "transport_for", lambda broker: world.gateway.transport),
            (outbox, "secrets", entropy),
            (agent, "secrets", entropy),
            (agent, "ASKED_EVERY", SELDOM),
            (heartbeat, "version", lambda name: "0"),
            (heartbeat, "return_freed", lambda: None),
            (model_store, "durable_file", SimpleNamespace(replace=replace)),
            (database, "SPARE_BYTES", 512 * KIB),
            (database, "LOG_BYTES", 128 * KIB),
            (disk_room, "LOG_BYTES", 128 * KIB),
            (disk_room, "RESERVE_BYTES", 128 * KIB),
            (disk_room, "CHUNK_BYTES", 64 * KIB),
            (disk_room, "_SLACK_BYTES", 256 * KIB),
            (hub_broker, "new_client", world.hub.client),
            (publisher, "POLL_SECONDS", 9.0),
            (ingest, "PRUNE_SECONDS", 600.0),
            (ingest, "refresh_statistics", lambda engine: None),
            (ingest_state, "HEARTBEAT_SECONDS", 600.0),
        ):
            stack.callback(setattr, owner, name, getattr(owner, name))
            setattr(owner, name, value)
        yield


def run(seed: int, planted: Callable[[], contextlib.AbstractContextManager[None]] | None = None) -> Story:
    """Live through one seed, with a planted bug if there is one; what happened, and what went wrong."""
    randoms.seed(seed)
    loggers = [logging.getLogger(name) for name in ("vedette_agent", "vedette_hub")]
    before = [(logger.level, logger.propagate) for logger in loggers]
    with ExitStack() as stack:
        world = World(seed)
        stack.callback(setattr, _HANDLER, "story", None)
        _HANDLER.story = world.story
        for logger in loggers:
            logger.setLevel(logging.INFO)
            logger.propagate = False
            logger.addHandler(_HANDLER)
            stack.callback(logger.removeHandler, _HANDLER)
        stack.enter_context(_in_place(world))
        if planted is not None:
            stack.enter_context(planted())
        stack.callback(world.end)
        try:
            world.loop.run_until_complete(world.loop.create_task(world.live()))
        except Exception as error:  # the simulation itself, or what a bug has done to it
            world.story.wrong("the simulation goes on", repr(error))
        for failure in world.loop.failures:
            world.story.wrong("nothing fails unseen", failure)
    for logger, (level, propagate) in zip(loggers, before, strict=True):
        logger.setLevel(level)
        logger.propagate = propagate
    return world.story
