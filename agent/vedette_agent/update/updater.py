"""Updater: desired → fetch → verify → strict read → structure → golden scores → probation → activate → report.

The hub's order is verified and written down first; then each profile is brought to what was ordered, one step after
the other, each of them durable. Whatever is refused is reported with its reason, and what runs goes on running.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections import deque
from typing import TYPE_CHECKING

import msgspec

from vedette_agent.clock import SYSTEM, Clock
from vedette_agent.update import journal as journals
from vedette_agent.update.answer import Answer
from vedette_agent.update.fetcher import Fetcher
from vedette_agent.update.runner import Runner
from vedette_agent.update.trust import is_in_force, verified
from vedette_models import artifact, topics
from vedette_models.messages import Activation
from vedette_models.rejection import ArtifactRejected, ManifestRejected, Rejection

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vedette_agent.mqtt.connection import Connection
    from vedette_agent.update.model_store import ModelStore
    from vedette_agent.update.probation import Terms
    from vedette_agent.update.runner import Watches
    from vedette_models.keys import KeyRing
    from vedette_models.manifest import Release

logger = logging.getLogger(__name__)

RETRY = 10.0
"""Seconds until another try after a disk that refused."""
WAITING = 4
"""Manifests that wait to be looked at; the newest count."""
REFUSALS_PER_HOUR = 60
"""Refused manifests that are reported; who sends more than these is not worth the disk."""


class Updater(Runner):
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
        clock: Clock = SYSTEM,
        probation: Terms | None = None,
    ) -> None:
        """`profiles`: the channels of every profile by its name; `probation`: None for none."""
        self._wake = asyncio.Event()
        super().__init__(profiles, store, watches, clock, probation, self._wake.set)
        self.gateway, self.nonce, self._keys = gateway, nonce, keys
        self._turn = asyncio.Lock()
        self._fetcher = Fetcher(fetch_timeout, self._wake.set, clock=clock)
        self._waiting: list[bytes] = []
        self._unknown: bytes | None = None
        """The manifest refused last for its key, which may become known."""
        self._refusals: deque[float] = deque(maxlen=REFUSALS_PER_HOUR)

    def attach(self, connection: Connection) -> None:
        """The hub's connection, once there is one."""
        self._fetcher.attach(connection)

    def trust(self, keys: KeyRing) -> None:
        """Follow these keys from now on: the key ring in the configuration has changed."""
        self._keys = keys
        if self._unknown is not None:
            self._waiting, self._unknown = [*self._waiting[1 - WAITING :], self._unknown], None
        self._wake.set()

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
        await self._resume_late()
        await self._report()
        while self._waiting:
            self._accept(self._waiting[0])
            del self._waiting[0]
        await self._report()
        await self._look_at_probation()
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
        waits = [self._fetcher.wait(), None if self._probation is None else self._probation.wait()]
        return min((wait for wait in waits if wait is not None), default=None)

    # ------------------------------------------------------------------- orders

    def _accept(self, data: bytes) -> None:
        """Verify an order and write it down."""
        journal = self._store.journal
        try:
            order, statements = verified(
                data, self._keys, journal, self.gateway, now=self._clock.now(), nonce=self.nonce
            )
        except ManifestRejected as error:
            if error.reason is Rejection.UNKNOWN_KEY:
                self._unknown = data
            if error.reason is not Rejection.REPLAYED or not is_in_force(data, self._keys, journal):
                self._refuse_manifest(data, error)
            return  # the broker retains it: it comes with every connection
        logger.info("manifest %d accepted: %d profiles", order.counter, len(order.releases))
        if statements != journal.statements:
            logger.warning(
                "manifest %d changes which keys are followed: %d key statements", order.counter, len(statements)
            )
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
        accepted = journals.accepted(journal, order, reports, statements)
        for profile, held in accepted.held.items():  # the hub asks what became of this manifest's order
            release = order.releases.get(profile)
            if release is not None and release.sha256 == held.sha256 and held.reason != journals.ROLLED_BACK:
                detail = "it has failed here, and has not been ordered anew since"
                told = self._activation(profile, release, "refused", held.reason, detail, order.counter)
                accepted = journals.with_report(accepted, told)
        self._store.write(accepted)
        self._unknown = None
        self._watches.changed()

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
        if self._needs_probation(profile, release):
            if not await self._prove(profile, release, model):
                return
        else:
            await self._activate(profile, release, model, "activated")
        logger.info("profile %s: version %d of %s runs", profile, release.version, release.detector)

    async def _remove(self, profile: str) -> None:
        """Run no model, as ordered."""
        journal = self._store.journal
        activation = self._activation(profile, journal.current[profile].release, "removed")
        self._write(journals.removed(journal, profile, usable=True), activation)
        await self._use_none(profile)
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
