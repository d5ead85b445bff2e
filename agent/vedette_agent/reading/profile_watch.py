"""ProfileWatch: everything that watches the devices of one profile: who they are, what was learnt, what is alerted.

The live agent and the replay of a file run their readings through this and nothing else.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from vedette_agent.reading.alert_state import ANOMALY, StateChange
from vedette_agent.reading.checkpoint import Checkpoint, CheckpointError
from vedette_agent.reading.decide import Decided, Decider
from vedette_agent.reading.devices import DeviceTable
from vedette_agent.reading.health.faults import SILENT
from vedette_agent.reading.health.sensor_health import NAME as HEALTH
from vedette_agent.reading.health.sensor_health import SensorHealth
from vedette_agent.reading.pipeline import Pipeline, Verdicts
from vedette_agent.reading.trial import OnTrial
from vedette_models.detectors.base import StateError
from vedette_models.detectors.mahalanobis import FEWEST, Mahalanobis
from vedette_models.detectors.mahalanobis_baseline import WORDS, LeftOut
from vedette_models.detectors.mahalanobis_start import MAX_CHANNELS
from vedette_models.detectors.rangebreak import RangeBreak
from vedette_models.messages import AlertRate
from vedette_models.readings import Quality

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from vedette_agent.reading.live import LiveTap
    from vedette_agent.reading.recent import Recent
    from vedette_agent.reading.reservoir import Reservoir
    from vedette_models.detectors.base import Detector
    from vedette_models.messages import Alert
    from vedette_models.profile import Profile
    from vedette_models.readings import ReadingBatch

logger = logging.getLogger(__name__)


def own_detectors(channels: int) -> list[Detector]:
    """What watches every profile of so many channels, with no hub: each by itself, and from two on all together."""
    together = [Mahalanobis(channels)] if FEWEST <= channels <= MAX_CHANNELS else []
    return [RangeBreak(channels), *together]


class Watched(NamedTuple):
    """What a batch was and what it caused."""

    verdicts: Verdicts
    decided: Decided


class ProfileWatch:
    """The devices of one profile."""

    def __init__(
        self, profile: Profile, gateway: str, epoch: str, max_devices: int, reservoir: Reservoir | None = None
    ) -> None:
        """With a `reservoir` where readings to train with are wanted."""
        self.profile, self._gateway, self._epoch = profile, gateway, epoch
        self.reservoir = reservoir
        self.recent: Recent | None = None
        """The newest readings, where models are tried before they run."""
        self.live: LiveTap | None = None
        """What takes down readings while somebody looks at their device."""
        self._resumable: Mapping[str, Mapping[str, NDArray[np.generic]]] = {}
        """State of a model in the checkpoint we resumed from, for when it is used, before any reading."""
        self.table = DeviceTable(max_devices)
        self.pipeline = self._new_pipeline()
        self.health = SensorHealth(profile)
        self.decider = Decider(profile, gateway, epoch, self.table)

    def _new_pipeline(self) -> Pipeline:
        return Pipeline(self.profile, own_detectors(len(self.profile.channels)))

    def process(self, batch: ReadingBatch, heard: NDArray[np.float64] | None = None) -> Watched:
        """Judge a batch whose device rows come from `table`, and decide what it raises and clears.

        `heard` (N,): seconds of listening at each arrival (`health.listening`); without it no device is ever silent.
        """
        if len(batch):
            self._resumable = {}  # windows with a gap in them are no windows
        batch, faults = self.health.examine(batch, self.table, heard)
        bands = {} if self.live is None else self.live.expect(batch, self.table, self.pipeline)
        verdicts = self.pipeline.judge(batch, self.table.rows, faults)
        if self.live is not None:
            self.live.note(verdicts, bands)
        decided = self.decider.decide(verdicts)
        raised = [row for row, event in zip(decided.rows, decided.events, strict=True) if _is_new_anomaly(event)]
        self.pipeline.thresholds.exposure.count(batch.device[raised])
        if self.reservoir is not None and len(batch):
            suspect = (verdicts.anomaly >= 1.0) | decided.alerting
            unusable = faults.at_fault(len(batch)) | _is_of_no_known_time(batch.quality)
            self.reservoir.offer(batch, unusable, self.table.name, suspect)
        if self.recent is not None:
            self.recent.add(faults.credible(batch))
        return Watched(verdicts, decided)

    def tick(self, clock: float, now: float) -> Decided:
        """Alert devices that are silent at `clock` seconds of listening; `now`: the time to say, since 1970."""
        self.health.make_room(self.table.rows)
        return self.decider.miss(self.health.tick(clock), now)

    def resume(self, states: Sequence[StateChange]) -> list[StateChange]:
        """Take over committed alerts; returns those there is no room for. A silent device still is."""
        left = self.decider.restore(states)
        self.health.make_room(self.table.rows)
        for alert in self.decider.open_alerts:
            row = self.table.find(alert.device)
            if alert.kind == SILENT and row is not None:
                self.health.mark_silent(row, self.decider.channel_of(alert))
        return left

    @property
    def alert_rate(self) -> AlertRate:
        """The alert budget, and what it came to."""
        rules, rate = self.profile.decisions, self.pipeline.thresholds.rate
        target = rules.alerts_per_week if rules.threshold is None else None
        return AlertRate(target, rate.alerts, rate.device_weeks)

    def left_out(self) -> dict[str, dict[str, str]]:
        """By device and channel, which are not judged, or not with the others, now, and why; only devices with some."""
        names = self.profile.channel_names
        found: dict[str, dict[str, str]] = {}
        for row, channel in self.health.never_reported():
            found.setdefault(self.table.name(row), {})[names[channel]] = WORDS[LeftOut.NEVER_REPORTED]
        for running in self.pipeline.detectors:
            detector = running.new if isinstance(running, OnTrial) else running
            if isinstance(detector, Mahalanobis):
                for row, device in enumerate(self.table.names()[: detector.devices]):
                    if device is not None and (channels := detector.left_out(row)):
                        found.setdefault(device, {}).update({names[c]: why for c, why in channels.items()})
        return found

    def use(self, model: Detector | None) -> Decided:
        """Run a model from the hub from the next batch on, or none.

        What the model before had seen of each device goes over to the new one where their windows are alike; alerts it
        holds open are cleared.
        """
        before, rows = self.pipeline.model, self.table.rows
        if model is not None:
            state = self._known(model.name) if before is None else before.state()
            known = {name: array[:rows] for name, array in state.items()}
            if model.devices < rows:  # it has rows of its own from golden readings
                model.resize(rows)
            try:
                if known:
                    model.restore(known)
            except StateError as error:
                logger.info("profile %s: %s begins with empty windows: %s", self.profile.name, model.name, error)
        if before is not None:
            self._hand_back(before)
        self.pipeline = Pipeline(self.profile, self.pipeline.own, model, self.pipeline.thresholds)
        if model is not None and before is None:
            self._resume_threshold(model.name)
        self._resumable = {}
        return Decided([], [], [], 0) if before is None else self.decider.replace_model(before.name)

    def _known(self, model: str) -> Mapping[str, NDArray[np.generic]]:
        """What a model of this name can go on with: the state of our own of that name, or of one before the restart."""
        own = [detector.state() for detector in self.pipeline.own if detector.name == model]
        return own[0] if own else self._resumable.get(model, {})

    def _hand_back(self, model: Detector) -> None:
        """Let our own detector that a model stood in for go on from there."""
        for own in self.pipeline.own:
            if own.name == model.name:
                own.forget(np.arange(own.devices))
                own.resize(max(own.devices, model.devices))
                own.restore(model.state())

    def _resume_threshold(self, model: str) -> None:
        """Go on with what the checkpoint knows of a model's scores."""
        self.pipeline.make_room(self.table.rows)
        try:
            self.pipeline.thresholds.restore(self._resumable, model)
        except StateError as error:
            logger.info("profile %s: %s is calibrated anew: %s", self.profile.name, model, error)

    def forget(self, device: str, time: float) -> Decided | None:
        """Free a device's row and clear its alerts; None when it is not known."""
        row = self.table.forget(device)
        if row is None:
            return None
        self._resumable = {}  # its row may be another device's when a model comes
        self.pipeline.forget(row)
        self.health.forget(row)
        if self.reservoir is not None:
            self.reservoir.forget(row, device)
        if self.recent is not None:
            self.recent.forget(row)
        if self.live is not None:
            self.live.forget(row)
        return self.decider.forget(device, row, time)

    def checkpoint(self, now: float) -> Checkpoint:
        """What was learnt, copied."""
        self.pipeline.make_room(self.table.rows)
        rows = self.table.rows
        states = {d.name: {name: array[:rows] for name, array in d.state().items()} for d in self.pipeline.detectors}
        states |= self.pipeline.thresholds.state(rows)
        states[HEALTH] = self.health.state(rows)
        recent = {} if self.recent is None else self.recent.state()
        return Checkpoint(now, self.profile.channel_names, tuple(self.table.names()), states, recent)

    def restore(self, checkpoint: Checkpoint) -> None:
        """Resume from a checkpoint, before any reading.

        Raises:
            CheckpointError: it is of other channels, or does not fit the detectors; nothing was taken over.
        """
        if checkpoint.channels != self.profile.channel_names:
            raise CheckpointError(
                f"profile {self.profile.name!r} had the channels {', '.join(checkpoint.channels)} and now has "
                f"{', '.join(self.profile.channel_names)}: learning anew"
            )
        names: Sequence[str | None] = checkpoint.devices
        if len(names) > self.table.limit:
            raise CheckpointError(
                f"profile {self.profile.name!r} knew {len(names)} devices, limits.max_devices is {self.table.limit}: "
                "learning anew"
            )
        pipeline = self._new_pipeline()
        pipeline.make_room(len(names))
        health = SensorHealth(self.profile)
        try:
            health.restore(checkpoint.detectors.get(HEALTH, {}), len(names))
            for detector in pipeline.detectors:
                # a detector that is new since then starts from nothing
                if detector.name in checkpoint.detectors:
                    detector.restore(checkpoint.detectors[detector.name])
            pipeline.thresholds.restore(checkpoint.detectors)
        except StateError as error:
            raise CheckpointError(f"profile {self.profile.name!r}: {error}: learning anew") from error
        self.table = DeviceTable.of(self.table.limit, list(names))
        self.pipeline, self.health = pipeline, health
        if self.recent is not None and checkpoint.recent:
            try:
                self.recent.restore(checkpoint.recent, len(names))
            except StateError as error:
                logger.info("profile %s: %s; they are gathered anew", self.profile.name, error)
        own = {HEALTH, *(detector.name for detector in pipeline.detectors), *pipeline.thresholds.parts}
        self._resumable = {name: state for name, state in checkpoint.detectors.items() if name not in own}
        self.decider = Decider(self.profile, self._gateway, self._epoch, self.table)


def _is_of_no_known_time(quality: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """(N,) whether a clock that was not set stood in for the time: nothing to learn rhythms from."""
    unset: NDArray[np.bool_] = quality & np.uint8(Quality.GATEWAY_UNSET) != 0
    unset &= quality & np.uint8(Quality.ARRIVAL_TIME | Quality.CLOCK_WRONG) != 0
    return unset


def _is_new_anomaly(event: Alert) -> bool:
    return event.revision == 1 and event.kind == ANOMALY
