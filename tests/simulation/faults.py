"""What goes wrong, when, in one seed."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING

from tests.simulation.attacker import Attacker
from tests.simulation.broker import Weather, as_it_is
from tests.simulation.operator import Operator
from vedette_agent.update.model_store import COPY, JOURNAL

if TYPE_CHECKING:
    from pathlib import Path

    from tests.simulation.world import World

FAULTS = (6, 14)
"""Fewest and most of one seed."""
DAY = 86_400.0


class Faults:
    """Chosen by the seed; `heal` ends them all."""

    def __init__(self, world: World, random: Random) -> None:
        self._world, self._random = world, random
        self._attacker = Attacker(world, random)
        self._operator = Operator(world, random)
        self._healed = False
        self._kinds: list[tuple[Callable[[], None], float]] = [
            (self.kill_gateway, 2.0),
            (self.kill_gateway_in_a_call, 5.0),
            (self.kill_gateway_at_a_file, 2.0),
            (self.stop_gateway, 0.7),
            (self.kill_hub, 1.0),
            (self.kill_hub_in_a_call, 3.0),
            (self.cut_a_connection, 3.0),
            (self.part_the_network, 2.0),
            (self.long_outage, 3.0),
            (self.cut_off_while_the_disk_fails, 2.0),
            (self.crash_a_broker, 2.5),
            (self.save_brokers, 1.0),
            (self.bad_weather, 4.0),
            (self.gateway_disk_fails, 1.0),
            (self.hub_disk_fails, 1.0),
            (self.model_disk_is_full, 1.0),
            (self.gateway_clock_jumps, 1.5),
            (self.journal_is_damaged, 2.5),
            (self._attacker.replay_a_manifest, 2.5),
            (self._attacker.send_a_foreign_manifest, 1.5),
            (self._attacker.send_an_expired_manifest, 2.0),
            (self._attacker.forge_a_manifest, 0.5),
            (self._attacker.swap_artefacts, 2.0),
            (self._attacker.send_garbage, 0.7),
            (self._operator.push, 3.0),
            (self._operator.push_a_bad_one, 1.0),
            (self._operator.roll_back, 1.0),
            (self._operator.unload, 0.7),
            (self._operator.roll_back_at_the_gateway, 0.7),
        ]

    def start(self, seconds: float) -> None:
        """Plan them for so long from now."""
        random, loop = self._random, self._world.loop
        loop.later(random.uniform(0.0, 0.2) * seconds, self._operator.push)
        faults, weights = zip(*self._kinds, strict=True)
        for fault in random.choices(faults, weights, k=random.randint(*FAULTS)):
            loop.later(random.uniform(0.03, 0.95) * seconds, self._happen, fault)

    def _happen(self, fault: Callable[[], None]) -> None:
        if not self._healed:
            self._tell("%s", fault.__name__.strip("_").replace("_", " "))
            fault()

    def heal(self) -> None:
        """Everything works again; what was killed comes back soon."""
        self._healed = True
        self._tell("everything is mended")
        world = self._world
        world.network.mend()
        for broker in world.brokers.values():
            broker.weather, broker.tampered = Weather(), as_it_is
            broker.restart()
        for program in (world.gateway, world.hub):
            program.threads.calm()
        world.gateway.files_until_kill = -1
        world.gateway.model_disk_full = False

    def _tell(self, what: str, *details: object) -> None:
        self._world.story.tell("faults", what, *details)

    # ------------------------------------------------------------------- programs

    def kill_gateway(self) -> None:
        self._world.gateway.kill()

    def kill_gateway_in_a_call(self) -> None:
        self._kill_in_a_call(
            "gateway", self._random.choice(("commit", "commit", "commit", "commit", "apply", "local_done", ""))
        )

    def kill_gateway_at_a_file(self) -> None:
        self._world.gateway.files_until_kill = self._random.randrange(6)

    def stop_gateway(self) -> None:
        self._world.gateway.stop()

    def kill_hub(self) -> None:
        self._world.hub.kill()

    def kill_hub_in_a_call(self) -> None:
        self._kill_in_a_call("hub", self._random.choice(("commit", "commit", "commit", "")))

    def _kill_in_a_call(self, name: str, of: str) -> None:
        threads = self._world.gateway.threads if name == "gateway" else self._world.hub.threads
        threads.of, threads.until_kill = of, self._random.randrange(3)
        threads.where = self._random.choice(("before", "within", "within", "after", "after"))
        self._tell("%s: killed %s %s call, after %d others", name, threads.where, of or "any", threads.until_kill)

    # ------------------------------------------------------------ network and brokers

    def _pair(self) -> tuple[str, str]:
        return self._random.choice((("gateway", "devices"), ("gateway", "hub"), ("hub", "hub")))

    def cut_a_connection(self) -> None:
        client, broker = self._pair()
        self._tell("between %s and %s", client, broker)
        late = self._random.choice((0.0, 0.0, 15.0))
        self._world.network.cut(client, broker, broker_after=self._random.uniform(0.0, late))

    def part_the_network(self) -> None:
        client, broker = self._pair()
        self._tell("between %s and %s", client, broker)
        self._world.network.part(client, broker)
        again = self._world.network.unreachable.discard
        self._world.loop.later(self._random.uniform(3.0, 40.0), again, (client, broker))

    def long_outage(self) -> None:
        """The hub is away until the outbox is full, if it is a small one."""
        self._world.network.part("gateway", "hub")
        again = self._world.network.unreachable.discard
        self._world.loop.later(self._random.uniform(20.0, 60.0), again, ("gateway", "hub"))

    def cut_off_while_the_disk_fails(self) -> None:
        """What was received on one connection is committed on the next."""
        threads, later = self._world.gateway.threads, self._world.loop.later
        threads.failing = 1.0
        later(self._random.uniform(3.0, 8.0), setattr, threads, "failing", 0.0)
        later(self._random.uniform(1.0, 5.0), lambda: self._world.network.cut("gateway", "devices"))

    def save_brokers(self) -> None:
        for broker in self._world.brokers.values():
            broker.save()

    def crash_a_broker(self) -> None:
        broker = self._world.brokers[self._random.choice(("devices", "hub"))]
        forget = self._random.random() < 0.5
        self._tell("%s, %s", broker.name, "which forgets everything" if forget else "back to what it had saved")
        broker.crash(forget=forget)
        self._world.loop.later(self._random.uniform(0.5, 10.0), broker.restart)

    def bad_weather(self) -> None:
        random = self._random
        weather = Weather(*(random.choice((0.0, 0.3, 0.6)) for _ in range(3)))
        self._world.brokers["hub"].weather = weather
        self._tell("%s", weather)
        self._world.loop.later(random.uniform(10.0, 40.0), setattr, self._world.brokers["hub"], "weather", Weather())

    # ---------------------------------------------------------------- disks and clocks

    def gateway_disk_fails(self) -> None:
        self._disk_fails(self._world.gateway.threads)

    def hub_disk_fails(self) -> None:
        self._disk_fails(self._world.hub.threads)

    def _disk_fails(self, threads: object) -> None:
        threads.failing = self._random.choice((0.3, 1.0))  # type: ignore[attr-defined]
        self._world.loop.later(self._random.uniform(2.0, 25.0), setattr, threads, "failing", 0.0)

    def model_disk_is_full(self) -> None:
        gateway = self._world.gateway
        gateway.model_disk_full = True
        self._world.loop.later(self._random.uniform(2.0, 25.0), setattr, gateway, "model_disk_full", False)

    def gateway_clock_jumps(self) -> None:
        clock = self._world.gateway.clock
        clock.error = self._random.choice((-60 * 365 * DAY, -3600.0, -40.0, 3600.0, 40 * DAY, 0.0))
        self._tell("by %.0f s", clock.error)

    def journal_is_damaged(self) -> None:
        both = self._random.random() < 0.7

        def spoil(state: Path) -> None:
            there = [state / "models" / name for name in (JOURNAL, COPY)]
            if not all(path.exists() for path in there):
                return
            for path in there if both else there[:1]:
                path.write_bytes(path.read_bytes()[:-3])
            if both:
                self._world.witness.lose_journal()

        self._world.gateway.spoil = spoil
        self._world.gateway.kill()
