"""Updater: desired → fetch → verify → strict read → structure → golden scores → activate → report.

The hub's order is verified and written down first; then each profile is brought to what was ordered, one step after
the other, each of them durable. Whatever is refused is reported with its reason, and what runs goes on running.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections import deque
from typing import TYPE_CHECKING, Protocol

import msgspec

from vedette_agent.clock import SYSTEM, Clock
from vedette_agent.update import journal as journals
from vedette_agent.update.answer import Answer
from vedette_agent.update.fetcher import Fetcher
from vedette_agent.update.journal import Journal, Running
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
"""Seconds until another try after a disk that refused."""
WAITING = 4
"""Manifests that wait to be looked at; the newest count."""
REFUSALS_PER_HOUR = 60
"""Refused manifests that are reported; who sends more than these is not worth the disk."""


class Watches(Protocol):
    """Who runs the models."""

    async def use(self, profile: str, model: Model | None) -> None:
        """Run a model from the next batch on, or none, and close what the one before had open."""

    async def report(self, activations: Sequence[Activation]) -> None:
        """Hand activations to the outbox; durable when this returns."""

    def changed(self) -> None:
        """What the status says about models has changed."""


class Updater:
    """Brings the models of a gateway to what the hub has ordered. `problem`: a sentence, or None."""

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
        clock: Clock = SYSTEM,
    ) -> None:
        """`profiles`: the channels of every profile by its name."""
        self.gateway, self.nonce, self._clock = gateway, nonce, clock
        self.problem: str | None = None
        self._profiles, self._keys, self._store, self._watches = profiles, keys, store, watches
        self._wake = asyncio.Event()
        self._turn = asyncio.Lock()
        self._fetcher = Fetcher(fetch_timeout, self._wake.set, clock=clock)
        self._waiting: list[bytes] = []
        self._using: dict[str, Running] = {}
        self._refusals: deque[float] = deque(maxlen=REFUSALS_PER_HOUR)

    def attach(self, connection: Connection) -> None:
        """The hub's connection, once there is one."""
        self._fetcher.attach(connection)

    @property
    def counter(self) -> int:
        """Of the manifest in force; 0: none, or it was lost."""
        return self._store.journal.counter or 0

    def running(self) -> dict[str, RunningModel]:
        """What runs, by profile."""
        return {
            profile: RunningModel(r.release.version, r.release.sha256, r.release.detector, r.since)
            for profile, r in self._using.items()
        }

    # ------------------------------------------------------------- what comes in

    def topics(self) -> list[str]:
        """What to subscribe to at every connect."""
        return [topics.gateway_down(self.gateway, "desired")]

    def received(self, topic: str, payload: bytes) -> bool:
        """A message on the hub's connection: True if it was for us."""
        if topic != topics.gateway_down(self.gateway, "desired"):
            return self._fetcher.received(topic, payload)
        if payload:
            self._waiting = [*self._waiting[1 - WAITING :], payload]
            self._wake.set()
        return True

    def connected(self) -> None:
        """The hub's broker is there again: what did not come may come now."""
        self._fetcher.connected()
        self._wake.set()

    # ---------------------------------------------------------------- what is done

    async def start(self) -> None:
        """Run what ran when we stopped, before any reading; what is damaged gives way to the one before."""
        for profile in self._profiles:
            try:
                await self._resume(profile)
            except OSError as error:
                self._say(f"profile {profile}: the state of its model cannot be written: {error}")
            except Exception:
                logger.exception("profile %s: its model cannot be resumed; please report this", profile)

    async def run(self) -> None:
        """Follow the hub until cancelled, whatever goes wrong: readings are scored all the same."""
        while True:
            again: float | None = RETRY
            try:
                async with self._turn:
                    again = await self._step()
                self.problem = None
            except OSError as error:
                self._say(f"models: cannot write to {self._store.folder}: {error}; free space on its disk")
            except Exception as error:
                logger.exception("an update failed; please report this")
                self.problem = f"models: {type(error).__name__}: {error}; see the agent's log"
            try:
                async with asyncio.timeout(again):
                    await self._wake.wait()
            except TimeoutError:
                pass
            self._wake.clear()

    async def rollback(self, profile: str, leaving: str) -> Answer:
        """Run the version before, as the operator on the gateway asks, until the hub orders anew.

        `leaving` is the hash of the version that ran when they asked, empty for none: whoever asks twice, or too late,
        does not come back to what they wanted to leave.
        """
        async with self._turn:
            try:
                answer = await self._roll_back(profile, leaving)
                await self._report()
            except OSError as error:
                return Answer(False, f"cannot write to {self._store.folder}: {error}")
            return answer

    async def _step(self) -> float | None:
        """Take orders, bring every profile nearer to them, report; seconds until another look, None: none is needed."""
        await self._report()
        while self._waiting:
            self._accept(self._waiting[0])
            del self._waiting[0]
        await self._report()
        for profile in self._profiles:
            if journals.lags(self._store.journal, profile):
                release = self._store.journal.ordered.get(profile)
                await (self._remove(profile) if release is None else self._bring(profile, release))
        await self._report()
        journal = self._store.journal
        self._fetcher.keep(
            {release.sha256 for profile, release in journal.ordered.items() if journals.lags(journal, profile)}
        )
        self._store.clean()
        return self._fetcher.wait()

    # ------------------------------------------------------------------- orders

    def _accept(self, data: bytes) -> None:
        """Verify an order and write it down."""
        journal = self._store.journal
        try:
            order = manifest.verify(
                data, self._keys, self.gateway, now=self._clock.now(), last_counter=journal.counter, nonce=self.nonce
            )
        except ManifestRejected as error:
            if error.reason is not Rejection.REPLAYED or not self._is_in_force(data):
                self._refuse_manifest(data, error)
            return  # the broker retains it: it comes with every connection
        logger.info("manifest %d accepted: %d profiles", order.counter, len(order.releases))
        reports = [
            self._activation(
                profile,
                order.releases[profile],
                "refused",
                Rejection.OTHER_PROFILE,
                f"this gateway has no profile {profile!r}",
                order.counter,
            )
            for profile in sorted(order.releases.keys() - self._profiles.keys())
        ]
        self._store.write(journals.accepted(journal, order, reports))
        self._watches.changed()

    def _is_in_force(self, data: bytes) -> bool:
        """Whether this orders what is ordered already; the same counter on another order would be the hub's mistake."""
        try:
            order = manifest.authentic(data, self._keys)
        except ManifestRejected:
            return False
        return order.counter == self._store.journal.counter and order.releases == self._store.journal.ordered

    def _refuse_manifest(self, data: bytes, error: ManifestRejected) -> None:
        refused = f"{error.reason.value} {hashlib.sha256(data).hexdigest()}"
        journal, now = self._store.journal, self._clock.uptime()
        full = len(self._refusals) == REFUSALS_PER_HOUR and now - self._refusals[0] < 3600.0
        if refused == journal.refused or full:
            return
        self._refusals.append(now)
        logger.warning("a manifest was refused: %s", error)
        activation = Activation("", "", 0, "refused", error.reason.value, error.detail)
        self._write(msgspec.structs.replace(journal, refused=refused), activation)

    # ------------------------------------------------------------------- models

    async def _resume(self, profile: str) -> None:
        journal = self._store.journal
        current = journal.current.get(profile)
        for running in (current, journal.previous.get(profile)):
            model = await self._load(profile, running.release) if running is not None and current is not None else None
            if running is None or model is None:
                continue
            await self._use(profile, running, model)
            if running is not current:
                detail = "the newer one can no longer be used"
                activation = self._activation(profile, running.release, "rolled_back", detail=detail)
                self._write(journals.fell_back(self._store.journal, profile, running), activation)
            return
        if current is not None:
            activation = self._activation(profile, current.release, "removed", detail="it can no longer be used")
            self._write(journals.removed(self._store.journal, profile, usable=False), activation)

    async def _bring(self, profile: str, release: Release) -> None:
        """Fetch, check and activate what is ordered; as far as that can be done now."""
        if release.bytes > artifact.MAX_BYTES:
            detail = f"{release.bytes} bytes are ordered, at most {artifact.MAX_BYTES}"
            self._refuse(profile, release, ArtifactRejected(Rejection.TOO_LARGE, detail))
            return
        stored = self._read(release)
        data = await self._fetcher.get(release.sha256) if stored is None else stored
        if data is None:
            why = self._fetcher.missing(release.sha256)
            if why is not None:
                logger.warning("profile %s: version %d is missing: %s", profile, release.version, why)
                activation = self._activation(profile, release, "missing", detail=why)
                self._write(self._store.journal, activation)
                await self._fetcher.get(release.sha256)
            return
        model = await self._checked(profile, release, data)
        if model is None:
            return
        if stored is None:
            self._store.keep(release.sha256, data)
        await self._activate(profile, release, model, "activated")
        logger.info("profile %s: version %d of %s runs", profile, release.version, release.detector)

    async def _load(self, profile: str, release: Release) -> Model | None:
        """A stored artefact after every check; None: it is not there, or was refused."""
        data = self._read(release)
        return None if data is None else await self._checked(profile, release, data)

    def _read(self, release: Release) -> bytes | None:
        """The bytes of a stored artefact; None: not there, or damaged, and to be fetched again."""
        data = self._store.read(release.sha256)
        if data is not None and artifact.sha256(data) != release.sha256:
            logger.error("artefact %s on disk is damaged", release.sha256)
            return None
        return data

    async def _checked(self, profile: str, release: Release, data: bytes) -> Model | None:
        try:
            return await asyncio.to_thread(
                artifact.load, data, expected=release.sha256, profile=profile, channels=self._profiles[profile]
            )
        except ArtifactRejected as error:
            self._refuse(profile, release, error)
            return None

    def _refuse(self, profile: str, release: Release, error: ArtifactRejected) -> None:
        """Report a model that is not run; what was ordered is not tried again."""
        logger.warning("profile %s: version %d is refused: %s", profile, release.version, error)
        activation = self._activation(profile, release, "refused", error.reason, error.detail)
        self._write(journals.refused(self._store.journal, profile, release, error.reason.value), activation)

    async def _activate(self, profile: str, release: Release, model: Model, outcome: str) -> None:
        """Write down what is to run from now on, then run it: a kill in between runs it after the restart."""
        running = Running(release, self._clock.now())
        changed = journals.activated(self._store.journal, profile, running)
        if outcome == journals.ROLLED_BACK:
            changed = journals.held_by_operator(changed, profile)
        self._write(changed, self._activation(profile, release, outcome))
        await self._use(profile, running, model)

    async def _use(self, profile: str, running: Running, model: Model) -> None:
        await self._watches.use(profile, model)
        self._using[profile] = running
        self._watches.changed()

    async def _remove(self, profile: str) -> None:
        """Run no model, as ordered."""
        journal = self._store.journal
        activation = self._activation(profile, journal.current[profile].release, "removed")
        self._write(journals.removed(journal, profile, usable=True), activation)
        await self._watches.use(profile, None)
        self._using.pop(profile, None)
        self._watches.changed()
        logger.info("profile %s: runs no model, as ordered", profile)

    async def _roll_back(self, profile: str, leaving: str) -> Answer:
        if profile not in self._profiles:
            return Answer(False, f"there is no profile {profile!r}")
        journal = self._store.journal
        previous, current = journal.previous.get(profile), journal.current.get(profile)
        if leaving != (current.release.sha256 if current else ""):
            now = f"version {current.release.version}" if current else "no model"
            return Answer(False, f"profile {profile!r} runs {now} meanwhile; look, and ask again")
        if previous is None:
            return Answer(False, f"profile {profile!r} has no version to go back to")
        release = previous.release
        model = await self._load(profile, release)
        if model is None:
            return Answer(False, f"version {release.version} of {profile!r} can no longer be used")
        await self._activate(profile, release, model, journals.ROLLED_BACK)
        return Answer(True, f"profile {profile!r} runs version {release.version} again, until the hub orders anew")

    # ------------------------------------------------------------------ reports

    def _activation(
        self,
        profile: str,
        release: Release,
        outcome: str,
        reason: str = "",
        detail: str = "",
        counter: int | None = None,
    ) -> Activation:
        made = {"profile": profile, "sha256": release.sha256, "version": release.version, "outcome": outcome}
        counter = self.counter if counter is None else counter
        return msgspec.convert({**made, "reason": str(reason), "detail": detail, "counter": counter}, Activation)

    async def _report(self) -> None:
        """Hand over what the hub does not know yet; a kill in between reports it twice, never not."""
        unreported = self._store.journal.unreported
        if unreported:
            await self._watches.report(unreported)
            told = msgspec.structs.replace(self._store.journal, unreported=())
            try:
                self._store.write(told)
            except OSError:
                self._store.journal = told  # it has been reported: a disk that is full is no reason to do it again
                raise

    def _write(self, journal: Journal, activation: Activation) -> None:
        self._store.write(journals.with_report(journal, activation))

    def _say(self, problem: str) -> None:
        """An error, said once as long as it lasts."""
        if problem != self.problem:
            logger.error("%s", problem)
        self.problem = problem
