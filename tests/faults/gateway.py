"""A gateway's updater on its real disk, in a time of its own: it is ordered to, restarted, killed, and looked at."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
from nacl.signing import SigningKey

from tests.agent.update.model_hub import CHANNELS, PROFILE, model, release
from vedette_agent.clock import Clock
from vedette_agent.update.model_store import ModelStore
from vedette_agent.update.probation import Terms
from vedette_agent.update.updater import Updater
from vedette_models import artifact, manifest, topics
from vedette_models.artifact import Model
from vedette_models.keys import KeyRing, key_ring
from vedette_models.manifest import Manifest, Release
from vedette_models.messages import Activation
from vedette_models.readings import ReadingBatch
from vedette_models.succession import KeyStatement

HUB = SigningKey(b"the hub of these tests, known to")
NAME = "gw"
ISSUED, DAY = 1.8e9, 86_400.0
GOOD = model(1)


class Time(Clock):
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.wall, self.passed = ISSUED, 0.0

    def now(self) -> float:
        return self.wall

    def uptime(self) -> float:
        return self.passed

    def passes(self, seconds: float) -> None:
        self.wall += seconds
        self.passed += seconds


def order(counter: int, releases: Mapping[str, Release] | None = None, **changes: object) -> Manifest:
    """A manifest of version 1 for this gateway, with something changed."""
    wanted = {PROFILE: release(1, GOOD)} if releases is None else dict(releases)
    made = Manifest(NAME, counter, ISSUED, ISSUED + DAY, wanted)
    return msgspec.structs.replace(made, **changes)


def signed(made: Manifest, key: SigningKey = HUB, statements: Sequence[KeyStatement] = ()) -> bytes:
    return manifest.sign(made, key, statements)


class Gateway:
    """What outlives the agent is its folder; everything else begins anew with `start`."""

    up = True

    def __init__(
        self,
        folder: Path,
        *,
        ring: KeyRing | None = None,
        terms: Terms | None = None,
        profiles: Mapping[str, tuple[str, ...]] | None = None,
    ) -> None:
        self.folder, self.terms = folder, terms
        self.ring = key_ring(HUB.verify_key) if ring is None else ring
        self.profiles = {PROFILE: CHANNELS} if profiles is None else dict(profiles)
        self.time = Time()
        self.artefacts: dict[str, bytes] = {}
        self.told: list[Activation] = []
        self.running: dict[str, Model] = {}
        self.readings: ReadingBatch | None = None
        self.starts = 0

    # ------------------------------------------------------------ what an updater needs

    async def use(self, profile: str, model: Model | None) -> None:
        if model is None:
            self.running.pop(profile, None)
        else:
            self.running[profile] = model

    async def report(self, activations: Sequence[Activation]) -> None:
        self.told += activations

    def changed(self) -> None:
        """Nobody reads a status."""

    def recent(self, profile: str) -> ReadingBatch | None:
        return self.readings

    async def subscribe(self, filters: Sequence[str], *, own_echo: bool = True, retained_always: bool = False) -> None:
        for topic in filters:
            if (data := self.artefacts.get(topic)) is not None:
                asyncio.get_running_loop().call_soon(self.updater.received, topic, data)

    def unsubscribe(self, filters: Sequence[str]) -> None:
        """Nothing comes twice here."""

    # ------------------------------------------------------------------------- its life

    async def start(self) -> None:
        """A start of the agent, after a stop or a kill; its nonce is new."""
        self.running.clear()
        self.starts += 1
        self.store = ModelStore(self.folder)
        self.updater = Updater(
            NAME,
            self.profiles,
            self.ring,
            self.store,
            self,
            nonce=f"nonce {self.starts}",
            fetch_timeout=5.0,
            clock=self.time,
            probation=self.terms,
        )
        self.updater.attach(self)  # type: ignore[arg-type]  # all of a connection that an updater uses
        await self.updater.start()
        await self.step()

    async def step(self) -> None:
        """Everything that can be done now."""
        for _ in range(4):
            await self.updater._step()
            await asyncio.sleep(0)

    async def hear(self, data: bytes) -> None:
        """A retained manifest comes from the broker."""
        self.updater.received(topics.gateway_down(NAME, "desired"), data)
        await self.step()

    def publish(self, data: bytes, sha256: str | None = None) -> str:
        """The broker retains an artefact, under its own name or another's."""
        name = sha256 or artifact.sha256(data)
        self.artefacts[topics.artifact(name)] = data
        return name

    async def follow(self, counter: int, version: int, data: bytes, **changes: object) -> str:
        """The hub orders a version, artefact first; its hash."""
        name = self.publish(data)
        await self.hear(signed(order(counter, {PROFILE: release(version, data)}, **changes)))
        return name

    @property
    def runs(self) -> str:
        """Hash of what runs; empty: nothing."""
        found = self.running.get(PROFILE)
        return "" if found is None else found.sha256
