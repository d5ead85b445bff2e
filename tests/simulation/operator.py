"""People: who order models at the hub's command line, and take them back at the gateway."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from tests.simulation.models import BAD, GOOD, KEY, PROFILE
from vedette_hub.fleet import orders
from vedette_hub.fleet.orders import NothingToChangeError, Targets

if TYPE_CHECKING:
    from tests.simulation.world import World

_GATEWAY = Targets(("gw",))


class Operator:
    """What they do goes straight to the hub's database, whether the hub runs or not."""

    def __init__(self, world: World, random: Random) -> None:
        self._world, self._random = world, random

    def push(self) -> None:
        self._push(self._random.randint(1, GOOD))

    def push_a_bad_one(self) -> None:
        self._push(BAD)

    def _push(self, version: int) -> None:
        hub = self._world.hub
        ordered = orders.push(hub.engine, KEY, PROFILE, version, _GATEWAY, "operator", hub.now())
        self._world.story.tell("operator", "orders version %d: manifest %d", version, ordered.gateways[0].counter)

    def roll_back(self) -> None:
        hub = self._world.hub
        try:
            orders.roll_back(hub.engine, KEY, PROFILE, _GATEWAY, "operator", hub.now())
        except NothingToChangeError:
            return

    def unload(self) -> None:
        hub = self._world.hub
        try:
            orders.unload(hub.engine, KEY, PROFILE, _GATEWAY, "operator", hub.now())
        except NothingToChangeError:
            return

    def roll_back_at_the_gateway(self) -> None:
        gateway = self._world.gateway
        updater = gateway.agent._updater if gateway.agent is not None else None
        if updater is None or gateway.process is None:
            return
        running = updater.running().get(PROFILE)
        self._world.loop.start(gateway.process, updater.rollback(PROFILE, running.sha256 if running else ""))
