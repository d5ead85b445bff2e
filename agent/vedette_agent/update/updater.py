"""Updater: desired → fetch → verify → strict read → structure → golden scores → activate → report.

The hub's order is verified and written down first; then each profile is brought to what was ordered, one step after
the other,
each of them durable. Whatever is refused is reported with its reason, and what runs goes on running.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Protocol

import msgspec

from vedette_agent.mqtt.transport import NotConnected
from vedette_agent.update.model_store import Running, with_report, without
from vedette_models import artifact, manifest, topics
from vedette_models.messages import Activation, RunningModel
from vedette_models.rejection import ArtifactRejected, ManifestRejected, Rejection

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vedette_agent.mqtt.connection import Connection
    from vedette_agent.update.model_store import ModelStore
    from vedette_models.artifact import Model
    from vedette_models.keys import KeyRing
    from vedette_models.manifest import Release

logger = logging.getLogger(__name__)

RETRY = 60.0
"""Seconds until an artefact that did not come is asked for again."""


class Watches(Protocol):
    """Who runs the models."""

    async def use(self, profile: str, model: Model | None) -> None:
        """Run a model from the next batch on, or none, and close what the one before had open."""

    async def report(self, activations: Sequence[Activation]) -> None:
        """Hand activations to the outbox; durable when this returns."""


class Updater:
    """Brings the models of a gateway to what the hub has ordered."""

    def __init__(
        self,
        gateway: str,
        profiles: Mapping[str, tuple[str, ...]],
        keys: KeyRing,
        store: ModelStore,
        watches: Watches,
        *,
        nonce: str,
        fetch_timeout: float,
    ) -> None:
        """`profiles`: the channels of every profile by its name."""
        self.gateway, self.nonce = gateway, nonce
        self._profiles, self._keys, self._store, self._watches = profiles, keys, store, watches
        self._fetch_timeout = fetch_timeout
        self._connection: Connection | None = None
        self._wake = asyncio.Event()
        self._waiting: list[bytes] = []
        self._fetching: dict[str, asyncio.Future[bytes]] = {}
        """By hash: artefacts that are awaited."""
        self._retry_at: dict[str, float] = {}
        self._last_refusal: tuple[str, str] | None = None

    def attach(self, connection: Connection) -> None:
        """The hub's connection, once there is one."""
        self._connection = connection

    @property
    def counter(self) -> int:
        """Of the manifest in force; 0: none, or it was lost."""
        return self._store.journal.counter or 0

    def running(self) -> dict[str, RunningModel]:
        """What runs, by profile."""
        return {
            profile: RunningModel(r.release.version, r.release.sha256, r.release.detector, r.since)
            for profile, r in self._store.journal.current.items()
        }

    # ------------------------------------------------------------- what comes in

    def topics(self) -> list[str]:
        """What to subscribe to at every connect."""
        return [topics.gateway_down(self.gateway, "desired")]

    def received(self, topic: str, payload: bytes) -> bool:
        """A message on the hub's connection: True if it was for us."""
        if topic == topics.gateway_down(self.gateway, "desired"):
            if payload:
                self._waiting = [*self._waiting[-3:], payload]
                self._wake.set()
            return True
        name = topic.rpartition("/")[2]
        if topic != topics.artifact(name):
            return False
        awaited = self._fetching.get(name)
        if awaited is not None and not awaited.done() and payload:
            awaited.set_result(payload)
        return True

    def connected(self) -> None:
        """The hub's broker is there again: what did not come may come now."""
        self._retry_at.clear()
        self._wake.set()

    # ---------------------------------------------------------------- what is done

    async def start(self) -> None:
        """Run what ran when we stopped, before any reading; a damaged artefact gives way to the one before."""
        for profile in list(self._store.journal.current):
            if profile not in self._profiles:
                continue
            for part in ("current", "previous"):
                running: Running | None = getattr(self._store.journal, part).get(profile)
                model = self._load(profile, running.release) if running else None
                if running is not None and model is not None:
                    if part == "previous":
                        self._note(profile, running, "rolled_back", detail="the artefact of the newer one is damaged")
                    await self._watches.use(profile, model)
                    break
            else:
                journal = self._store.journal
                self._store.write(msgspec.structs.replace(journal, current=without(journal.current, profile)))

    async def run(self) -> None:
        """Follow the hub until cancelled."""
        while True:
            await self._report()
            for data in self._take_waiting():
                self._accept(data)
            await self._report()
            again = await self._work()
            await self._report()
            self._store.clean()
            try:
                async with asyncio.timeout(again):
                    await self._wake.wait()
            except TimeoutError:
                pass
            self._wake.clear()

    def _take_waiting(self) -> list[bytes]:
        taken, self._waiting = self._waiting, []
        return taken

    def _accept(self, data: bytes) -> None:
        """Verify an order and write it down."""
        journal = self._store.journal
        try:
            order = manifest.verify(
                data, self._keys, self.gateway, now=time.time(), last_counter=journal.counter, nonce=self.nonce
            )
        except ManifestRejected as error:
            if error.reason is Rejection.REPLAYED and self._is_in_force(data):
                return  # the broker retains it: it comes with every connection
            refusal = (error.reason.value, error.detail)
            if refusal != self._last_refusal:
                self._last_refusal = refusal
                logger.warning("a manifest was refused: %s", error)
                activation = Activation("", "", 0, "refused", error.reason.value, error.detail)
                self._store.write(with_report(journal, activation))
            return
        self._last_refusal = None
        logger.info("manifest %d accepted: %d profiles", order.counter, len(order.releases))
        self._retry_at.clear()
        self._store.write(
            msgspec.structs.replace(journal, counter=order.counter, ordered=dict(order.releases), failed={})
        )

    def _is_in_force(self, data: bytes) -> bool:
        try:
            return manifest.authentic(data, self._keys).counter == self._store.journal.counter
        except ManifestRejected:
            return False

    async def _work(self) -> float | None:
        """Bring every profile one step nearer to what is ordered; seconds until another try, None: nothing to do."""
        journal = self._store.journal
        if journal.counter is None or journal.counter == 0:
            return None
        again: float | None = None
        for profile in sorted({*journal.ordered, *journal.current} & set(self._profiles)):
            release = self._store.journal.ordered.get(profile)
            current = self._store.journal.current.get(profile)
            if release is None:
                if current is not None:
                    await self._remove(profile, current)
            elif self._lags(release, current) and not await self._bring(profile, release):
                again = RETRY
        return again

    def _lags(self, release: Release, current: Running | None) -> bool:
        """Whether an ordered release must still be brought; one that failed is not tried again."""
        runs = current is not None and current.release.sha256 == release.sha256
        return not runs and release.sha256 not in self._store.journal.failed

    async def _bring(self, profile: str, release: Release) -> bool:
        """Fetch, check and activate; False: its artefact has not come."""
        if not self._store.has(release.sha256):
            if time.monotonic() < self._retry_at.get(release.sha256, 0.0):
                return False
            data = await self._fetch(release.sha256)
            if data is None:
                self._retry_at[release.sha256] = time.monotonic() + RETRY
                detail = f"it has not come within {self._fetch_timeout:.0f} s"
                self._note(profile, Running(release, 0.0), "missing", detail=detail)
                return False
            try:
                await asyncio.to_thread(
                    artifact.load, data, expected=release.sha256, profile=profile, channels=self._profiles[profile]
                )
            except ArtifactRejected as error:
                self._refuse(profile, release, error)
                return True
            self._store.keep(release.sha256, data)
        model = self._load(profile, release)
        if model is None:
            return True
        journal = self._store.journal
        current = journal.current.get(profile)
        previous = without(journal.previous, profile)
        if current is not None:
            previous[profile] = current
        running = Running(release, time.time())
        activation = self._activation(profile, release, "activated")
        self._store.write(
            with_report(
                msgspec.structs.replace(journal, current={**journal.current, profile: running}, previous=previous),
                activation,
            )
        )
        await self._watches.use(profile, model)
        logger.info("profile %s: version %d of %s runs", profile, release.version, release.detector)
        return True

    def _load(self, profile: str, release: Release) -> Model | None:
        """A stored artefact after every check; a refused one is noted and deleted."""
        data = self._store.read(release.sha256)
        if data is None:
            return None
        try:
            return artifact.load(data, expected=release.sha256, profile=profile, channels=self._profiles[profile])
        except ArtifactRejected as error:
            self._refuse(profile, release, error)
            return None

    def _refuse(self, profile: str, release: Release, error: ArtifactRejected) -> None:
        logger.warning("profile %s: version %d is refused: %s", profile, release.version, error)
        journal = self._store.journal
        failed = {**journal.failed, release.sha256: error.reason.value}
        activation = self._activation(profile, release, "refused", error.reason.value, error.detail)
        self._store.write(with_report(msgspec.structs.replace(journal, failed=failed), activation))

    async def _remove(self, profile: str, current: Running) -> None:
        journal = self._store.journal
        activation = self._activation(profile, current.release, "removed")
        changed = msgspec.structs.replace(
            journal,
            current=without(journal.current, profile),
            previous={**without(journal.previous, profile), profile: current},
        )
        self._store.write(with_report(changed, activation))
        await self._watches.use(profile, None)

    async def rollback(self, profile: str) -> str:
        """Run the version before, as the operator on the gateway asks; says what was done."""
        journal = self._store.journal
        previous, current = journal.previous.get(profile), journal.current.get(profile)
        if previous is None:
            return f"profile {profile!r} has no version to go back to"
        model = self._load(profile, previous.release)
        if model is None:
            return f"version {previous.release.version} of {profile!r} can no longer be used"
        swapped = without(journal.previous, profile)
        if current is not None:
            swapped[profile] = current
        running = Running(previous.release, time.time())
        # what was left is not brought back by the order in force, only by a new one
        failed = {**journal.failed, **({current.release.sha256: "rolled_back"} if current else {})}
        changed = msgspec.structs.replace(
            journal, current={**journal.current, profile: running}, previous=swapped, failed=failed
        )
        self._store.write(with_report(changed, self._activation(profile, previous.release, "rolled_back")))
        await self._watches.use(profile, model)
        await self._report()
        return f"profile {profile!r} runs version {previous.release.version} again, until the hub orders another"

    async def _fetch(self, sha256: str) -> bytes | None:
        """Ask the broker for an artefact by its exact name."""
        connection = self._connection
        if connection is None or not connection.up:
            return None
        awaited: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._fetching[sha256] = awaited
        try:
            async with asyncio.timeout(self._fetch_timeout):
                await connection.subscribe([topics.artifact(sha256)], retained_always=True)
                return await awaited
        except (TimeoutError, NotConnected) as error:
            logger.warning("artefact %s: %s", sha256, error or "has not come")
            return None
        finally:
            del self._fetching[sha256]
            connection.unsubscribe([topics.artifact(sha256)])

    def _note(self, profile: str, running: Running, outcome: str, *, detail: str) -> None:
        journal = self._store.journal
        activation = self._activation(profile, running.release, outcome, detail=detail)
        if outcome == "rolled_back":
            journal = msgspec.structs.replace(journal, current={**journal.current, profile: running})
        self._store.write(with_report(journal, activation))

    def _activation(
        self, profile: str, release: Release, outcome: str, reason: str = "", detail: str = ""
    ) -> Activation:
        made = {"profile": profile, "sha256": release.sha256, "version": release.version, "outcome": outcome}
        return msgspec.convert({**made, "reason": reason, "detail": detail, "counter": self.counter}, Activation)

    async def _report(self) -> None:
        """Hand over what the hub does not know yet; a kill in between reports it twice, never not."""
        unreported = self._store.journal.unreported
        if unreported:
            await self._watches.report(unreported)
            rest = self._store.journal.unreported[len(unreported) :]
            self._store.write(msgspec.structs.replace(self._store.journal, unreported=rest))
