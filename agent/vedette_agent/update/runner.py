"""Runner: which models of a gateway run, and how that changes: durable first, then done, then reported.

A release is loaded with every check there is, tried on stored readings, and runs on probation beside the one before it;
what fails is left, and the one before runs again. Each step is written down before it is taken.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Protocol

import msgspec

from vedette_agent.reading.trial import Evidence, Failure
from vedette_agent.update import journal as journals
from vedette_agent.update.journal import Journal, Running
from vedette_agent.update.probation import Probation, drifted
from vedette_models import artifact
from vedette_models.messages import Activation, RunningModel
from vedette_models.rejection import ArtifactRejected, Rejection

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from vedette_agent.clock import Clock
    from vedette_agent.update.model_store import ModelStore
    from vedette_agent.update.probation import Terms
    from vedette_models.artifact import Model
    from vedette_models.manifest import Release
    from vedette_models.readings import ReadingBatch

logger = logging.getLogger(__name__)


class Watches(Protocol):
    """Who runs the models."""

    async def use(self, profile: str, model: Model | None) -> None:
        """Run a model from the next batch on, or none, and close what the one before had open."""

    async def report(self, activations: Sequence[Activation]) -> None:
        """Hand activations to the outbox; durable when this returns."""

    def changed(self) -> None:
        """What the status says about models has changed."""

    def recent(self, profile: str) -> ReadingBatch | None:
        """Copies of the newest readings of a profile, device rows from 0 on; asked for where there is a probation."""


class Runner:
    """Runs the models of a gateway. `problem`: a sentence, or None."""

    def __init__(
        self,
        profiles: Mapping[str, tuple[str, ...]],
        store: ModelStore,
        watches: Watches,
        clock: Clock,
        terms: Terms | None,
        wake: Callable[[], None],
    ) -> None:
        """`profiles`: the channels of every profile by its name; `wake` is called when a model has failed."""
        self.problem: str | None = None
        self._profiles, self._store, self._watches, self._clock = profiles, store, watches, clock
        self._using: dict[str, Running] = {}
        self._models: dict[str, Model] = {}
        self._to_resume: set[str] = set()
        """Profiles whose model could not be resumed, since the disk refused what has to be written first."""
        self._probation = None if terms is None else Probation(terms, clock, wake)

    @property
    def counter(self) -> int:
        """Of the manifest in force; 0: none, or it was lost."""
        return self._store.journal.counter or 0

    def running(self) -> dict[str, RunningModel]:
        """What runs, by profile."""
        return {
            profile: RunningModel(r.release.version, r.release.sha256, r.release.detector, r.since, r.on_probation)
            for profile, r in self._using.items()
        }

    async def start(self) -> None:
        """Run what ran when we stopped, before any reading; what is damaged gives way to the one before.

        Where the disk refuses what has to be written first, the one before runs meanwhile: it has proved itself.
        """
        for profile in self._profiles:
            try:
                await self._resume(profile)
            except OSError as error:
                self._say(f"profile {profile}: the state of its model cannot be written: {error}")
                self._to_resume.add(profile)
                await self._use_previous(profile)
            except Exception:
                logger.exception("profile %s: its model cannot be resumed; please report this", profile)

    async def _resume_late(self) -> None:
        """Run what could not be resumed at the start.

        Raises:
            OSError: the disk refuses still.
        """
        for profile in sorted(self._to_resume):
            await self._resume(profile)
            self._to_resume.discard(profile)

    async def _use_previous(self, profile: str) -> None:
        """Run the version before without writing anything, if it can be read."""
        previous = self._store.journal.previous.get(profile)
        try:
            model = None if previous is None else await self._load(profile, previous.release)
        except OSError:
            return
        if previous is not None and model is not None and not previous.on_probation:
            logger.warning("profile %s: version %d runs until it can", profile, previous.release.version)
            await self._use(profile, previous, model)

    def stopped(self) -> None:
        """The agent was told to stop: that is no fault of a model that is being tried."""
        if self._store.journal.attempts:
            try:
                self._store.write(journals.stopped(self._store.journal))
            except OSError as error:
                logger.warning("%s: %s", self._store.folder, error)

    async def _resume(self, profile: str) -> None:
        journal = self._store.journal
        current = journal.current.get(profile)
        if current is not None and current.on_probation and not self._may_start(profile, current):
            current = self._store.journal.current.get(profile)
        journal = self._store.journal
        previous = journal.previous.get(profile)
        for running in (current, previous):
            model = await self._load(profile, running.release) if running is not None and current is not None else None
            if running is None or model is None:
                continue
            if running is not current:
                detail = "the newer one can no longer be used"
                activation = self._activation(profile, running.release, "rolled_back", detail=detail)
                self._write(journals.fell_back(self._store.journal, profile, running), activation)
                running = self._store.journal.current[profile]
            if running.on_probation and self._probation is not None:
                old = None if previous is None else await self._load(profile, previous.release)
                await self._try(profile, running, model, old, None, resumed=True)
            else:
                await self._use(profile, running, model)
            return
        if current is not None:
            activation = self._activation(profile, current.release, "removed", detail="it can no longer be used")
            self._write(journals.removed(self._store.journal, profile, usable=False), activation)

    def _may_start(self, profile: str, running: Running) -> bool:
        """Write down that a model on probation is started once more; False: it was too often, and it is left."""
        journal, sha256 = self._store.journal, running.release.sha256
        if self._probation is None:
            self._store.write(journals.settled(journal, profile))
            return True
        if journals.starts(journal, profile, sha256) < self._probation.terms.starts:
            self._store.write(journals.tried(journal, profile, sha256))
            return True
        self._write_left(profile, running.release, self._too_many_starts(profile, sha256))
        return False

    def _too_many_starts(self, profile: str, sha256: str) -> Failure:
        ended = journals.starts(self._store.journal, profile, sha256)
        return Failure(Rejection.CRASHED, f"the agent ended {ended} times before its probation was over")

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
        """Run a model of which nothing has to be proved."""
        await self._watches.use(profile, model)
        if self._probation is not None:
            self._probation.trials.pop(profile, None)
        self._using[profile], self._models[profile] = running, model
        self._watches.changed()

    async def _use_none(self, profile: str) -> None:
        await self._watches.use(profile, None)
        if self._probation is not None:
            self._probation.trials.pop(profile, None)
        self._using.pop(profile, None)
        self._models.pop(profile, None)
        self._watches.changed()

    # ---------------------------------------------------------------- probation

    def _needs_probation(self, profile: str, release: Release) -> bool:
        """What has run here before, and proved itself, is known; the hub may go back to it whatever it says."""
        previous = self._store.journal.previous.get(profile)
        known = previous is not None and previous.release.sha256 == release.sha256 and not previous.on_probation
        return self._probation is not None and not known

    async def _prove(self, profile: str, release: Release, model: Model) -> bool:
        """Let a model score what is stored, then let it run on probation; False: it has failed.

        Written down before it is tried: what ends the agent is not tried for ever.
        """
        probation, journal = self._probation, self._store.journal
        if probation is None:
            return False
        if journals.starts(journal, profile, release.sha256) >= probation.terms.starts:
            failure = self._too_many_starts(profile, release.sha256)
            self._refuse(profile, release, ArtifactRejected(failure.reason, failure.detail))
            return False
        self._store.write(journals.tried(journal, profile, release.sha256))
        trial = probation.trials.get(profile)
        old = self._models.get(profile) if trial is None else trial.old or trial.new
        readings = self._watches.recent(profile)
        evidence, failed = await asyncio.to_thread(probation.rehearse, model, old, readings)
        if failed is not None:
            self._refuse(profile, release, ArtifactRejected(failed.reason, f"on stored readings: {failed.detail}"))
            return False
        running = Running(release, self._clock.now(), on_probation=True)
        changed = journals.activated(self._store.journal, profile, running)
        self._write(changed, self._activation(profile, release, "activated"))
        await self._try(profile, running, model, old, evidence)
        return True

    async def _try(
        self,
        profile: str,
        running: Running,
        model: Model,
        old: Model | None,
        evidence: Evidence | None,
        *,
        resumed: bool = False,
    ) -> None:
        """Run a model on probation."""
        if self._probation is None:
            return
        tried = self._probation.begin(profile, model, old, evidence, resumed=resumed)
        try:
            await self._watches.use(profile, tried)
        except OSError:
            raise
        except Exception as error:
            logger.exception("profile %s: version %d cannot be run", profile, running.release.version)
            await self._leave(profile, Failure(Rejection.CRASHED, f"as it was put in place: {error!r}"[:400]))
            return
        self._using[profile], self._models[profile] = running, model
        self._watches.changed()

    async def _look_at_probation(self) -> None:
        if self._probation is None:
            return
        for profile, trial in list(self._probation.trials.items()):
            failure = trial.detector.failure
            if failure is None and self._probation.is_over(profile):
                failure = await asyncio.to_thread(drifted, trial.new)
                if failure is None:
                    self._settle(profile)
                    continue
            if failure is not None:
                await self._leave(profile, failure)

    def _settle(self, profile: str) -> None:
        self._store.write(journals.settled(self._store.journal, profile))
        if self._probation is not None:
            self._probation.trials.pop(profile).detector.settle()
        self._using[profile] = running = self._store.journal.current[profile]
        logger.info("profile %s: version %d has proved itself", profile, running.release.version)
        self._watches.changed()

    async def _leave(self, profile: str, failure: Failure) -> None:
        """Run the version before again, or none; the one that failed is not tried again until it is ordered anew."""
        journal = self._store.journal
        trial = self._probation.trials.get(profile) if self._probation is not None else None
        self._write_left(profile, journal.current[profile].release, failure)
        back = self._store.journal.current.get(profile)
        if back is not None and trial is not None and trial.old is not None:
            await self._use(profile, back, trial.old)
        else:
            await self._use_none(profile)

    def _write_left(self, profile: str, release: Release, failure: Failure) -> None:
        logger.warning("profile %s: version %d is left: %s", profile, release.version, failure.detail)
        journal = self._store.journal
        previous = journal.previous.get(profile)
        goes_on = "no model runs" if previous is None else f"version {previous.release.version} runs again"
        detail = f"on probation: {failure.detail}; {goes_on}"
        changed = journals.left(journal, profile, failure.reason.value)
        if previous is not None:
            back = self._activation(profile, previous.release, journals.ROLLED_BACK, failure.reason, detail)
            changed = journals.with_report(changed, back)
        self._write(changed, self._activation(profile, release, "refused", failure.reason, detail))

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
