"""Somebody who has got hold of the hub's broker: may publish anything there, and has kept what was published before."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import msgspec

from tests.simulation.broker import as_it_is
from tests.simulation.models import GOOD, KEY, PROFILE, STRANGER, versions
from vedette_models import artifact, manifest, topics
from vedette_models.manifest import Manifest, Release

if TYPE_CHECKING:
    from tests.simulation.world import World

DAY = 86_400.0
DESIRED = topics.gateway_down("gw", "desired")


class Attacker:
    """Has no key, but may have old signatures of the true one."""

    def __init__(self, world: World, random: Random) -> None:
        self._world, self._random = world, random

    def replay_a_manifest(self) -> None:
        """One that was published before, and comes again to stay."""
        known = sorted(self._world.witness.manifests.items(), key=lambda item: item[1].counter)
        if known:
            self._publish(self._random.choice(known[:-1] or known)[0])

    def send_a_foreign_manifest(self) -> None:
        """The hub's order for another gateway."""
        self._publish(manifest.sign(self._order(gateway="gw2"), KEY))

    def send_an_expired_manifest(self) -> None:
        """An order that was withheld until its time was over."""
        now = self._world.hub.now()
        self._publish(manifest.sign(self._order(issued=now - 40 * DAY, expires=now - 10 * DAY), KEY))

    def forge_a_manifest(self) -> None:
        """An order signed by somebody else."""
        self._publish(manifest.sign(self._order(), STRANGER))

    def swap_artefacts(self) -> None:
        """Other bytes under the names of versions, of a model that is sound or of none: now, and for a while."""
        data = list(versions().values())
        broker = self._world.brokers["hub"]

        def swapped(topic: str, payload: bytes) -> bytes:
            is_artefact = topic == topics.artifact(topic.rpartition("/")[2])
            return self._random.choice([*data[:GOOD], data[0][:-20]]) if is_artefact and payload else payload

        broker.tampered = swapped
        self._world.loop.later(self._random.uniform(5.0, 30.0), setattr, broker, "tampered", as_it_is)
        for topic, payload in list(broker.retained.items()):
            if swapped(topic, payload) != payload:
                broker.publish(topic, payload, retain=True)

    def send_garbage(self) -> None:
        """What is no message at all, where messages are expected."""
        for subject in ("receipts", "desired"):
            self._world.brokers["hub"].publish(topics.gateway_down("gw", subject), b'{"committed": 7')

    def _order(self, **changes: object) -> Manifest:
        version = self._random.randint(1, GOOD)
        data = versions()[version]
        release = Release(version, "isolation_forest", artifact.sha256(data), len(data))
        now = self._world.hub.now()
        counter = self._world.witness.counter + self._random.randint(1, 3)
        return msgspec.structs.replace(Manifest("gw", counter, now, now + DAY, {PROFILE: release}), **changes)

    def _publish(self, payload: bytes) -> None:
        self._world.brokers["hub"].publish(DESIRED, payload, retain=True)
