"""Stages: the way of a batch of raw messages through decoding, judging and deciding, pure, and what it came to."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple

import msgspec
import numpy as np

from vedette_agent.gateway_clock import STEP
from vedette_agent.reading.dead_letter import GARBAGE, DeadLetter
from vedette_agent.reading.dead_letter_samples import DeadLetterSamples
from vedette_agent.reading.effects import AlertStateRow, DeadLetterRow, Effects
from vedette_agent.reading.intake import Intake
from vedette_agent.reading.quarantine import Quarantine
from vedette_agent.reading.restrictions import RateLimited
from vedette_models.messages import ClockSet, Report

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vedette_agent.config.models import Limits, TimePolicy
    from vedette_agent.reading.alert_state import StateChange
    from vedette_agent.reading.decide import Decided
    from vedette_agent.reading.decoding.decoder import Decoded, Decoder, ProfileReadings
    from vedette_agent.reading.health.listening import Listening
    from vedette_agent.reading.profile_watch import ProfileWatch
    from vedette_agent.reading.telemetry import Batch
    from vedette_models.messages import Alert

logger = logging.getLogger(__name__)

SAMPLE_BYTES = 200


Fate = Literal["scored", "duplicate", "retained", "dead_letter"]


class TraceLine(NamedTuple):
    """The fate of a reading."""

    device: str
    sequence: int | None
    time: float | None
    fate: Fate
    reason: str = ""
    """Why it is a dead letter."""


@dataclass
class Outcome:
    """What a batch came to."""

    alerts: list[Alert] = field(default_factory=list)
    states: list[AlertStateRow] = field(default_factory=list)
    dead: list[DeadLetter] = field(default_factory=list)
    """All of them: they are counted."""
    sampled: list[tuple[DeadLetter, str]] = field(default_factory=list)
    """Those to be kept, each with its source."""
    reports: list[Report] = field(default_factory=list)
    lines: list[TraceLine] = field(default_factory=list)
    """One per reading, where a trace is wanted."""
    scored: int = 0
    retained: int = 0
    suppressed: int = 0

    @property
    def durable(self) -> bool:
        """Whether something must be committed before the batch is acknowledged."""
        return bool(self.alerts or self.states or self.sampled or self.reports)

    def add(self, profile: str, decided: Decided) -> None:
        """Take over events and the states behind them."""
        self.alerts += decided.events
        self.states += [_state_row(profile, change) for change in decided.changes]
        self.suppressed += decided.suppressed

    def effects(self, batch: Batch) -> Effects:
        """What to commit."""
        dead = [_dead_letter_row(batch, letter, source) for letter, source in self.sampled]
        return Effects(self.alerts, self.states, dead, batch.keys(), self.reports)

    def mark(self, quality: int) -> None:
        """What is known of our own clock goes with every event; that of a reading has its reading's own quality."""
        if quality:
            self.alerts = [
                msgspec.structs.replace(alert, time_quality=alert.time_quality | quality) for alert in self.alerts
            ]


class Stages:
    """Decoding, then everything that watches each profile."""

    def __init__(
        self,
        decoder: Decoder,
        watches: Mapping[str, ProfileWatch],
        *,
        traced: bool,
        listening: Listening,
        time: TimePolicy,
        limits: Limits,
    ) -> None:
        self._decoder, self._watches, self._traced = decoder, watches, traced
        self._listening = listening
        self._intakes = {profile: Intake(time, limits) for profile in watches}
        self.quarantine = Quarantine(limits.quarantine_after, limits.quarantine_first, limits.quarantine_longest)
        self.rate_limited = RateLimited()
        self._samples = DeadLetterSamples()
        self._offset: float | None = None
        """Of our clock that people set from the one that nobody does."""
        self._quality = 0
        """What was known of it."""

    def process(self, batch: Batch) -> Outcome:
        """Run a batch through all stages; a fault of ours ends as dead letters, not as a stopped gateway."""
        outcome = Outcome()
        decoded: Decoded | None = None
        try:
            heard = self._listening.heard(batch.uptime)
            outcome.reports += self._notice_step(batch)
            self.quarantine.pass_time(batch.arrived, batch.uptime)
            decoded = self._decoder.decode(batch.messages, batch.arrived, batch.quality, self.quarantine.names)
            for profile, part in self._admitted(decoded, batch).items():
                live = part.batch if not part.retained.any() else part.batch.take((~part.retained).nonzero()[0])
                outcome.add(profile, self._watches[profile].process(live, np.full(len(live), heard)).decided)
                outcome.scored += len(live)
                outcome.retained += len(part.batch) - len(live)
            outcome.dead = decoded.dead
            outcome.mark(batch.quality)
        except Exception:
            logger.exception("a batch of %d messages could not be processed; please report this", len(batch.messages))
            decoded = None
            outcome.dead = [DeadLetter(i, "internal", "see the agent's log") for i in range(len(batch.messages))]
        if outcome.dead:
            self._take_note(outcome, batch)
        if self._traced:
            outcome.lines = self._trace_lines(batch, decoded, outcome.dead)
        return outcome

    def _admitted(self, decoded: Decoded, batch: Batch) -> dict[str, ProfileReadings]:
        """What goes on to be judged; the rest joins the dead letters."""
        for profile, part in decoded.profiles.items():
            table = self._watches[profile].table
            self.quarantine.heard(part.batch.device, table, batch.uptime)
            admitted, refused = self._intakes[profile].admit(part, table, batch.arrived, batch.uptime)
            decoded.profiles[profile] = admitted
            decoded.dead.extend(refused)
        return decoded.profiles

    def _take_note(self, outcome: Outcome, batch: Batch) -> None:
        """Who sends what cannot be used: count it against the device, and choose what is kept to look at."""
        charged: set[int] = set()  # an array of a thousand bad readings is one bad message
        sources = []
        for letter in outcome.dead:
            device, message, reason = letter.device, letter.message, letter.reason
            if device and reason in GARBAGE and message not in charged:
                charged.add(message)
                self.quarantine.bad(device, reason, batch.arrived, batch.uptime)
            elif reason == "quarantined":
                self.quarantine.unread(device)
            elif reason == "rate_limited":
                self.rate_limited.add(device, batch.arrived, batch.uptime)
            sources.append(device if self._is_known(device) else reason)
        chosen = self._samples.choose(sources, batch.uptime)
        outcome.sampled = [(outcome.dead[i], sources[i]) for i in chosen]

    def _is_known(self, device: str) -> bool:
        """Whoever is not shares the room for samples with the others of whom that is so: anybody can make up names."""
        return bool(device) and any(watch.table.find(device) is not None for watch in self._watches.values())

    def forget(self, profile: str, row: int) -> None:
        """The row of a device of this profile is free."""
        self._intakes[profile].forget(row)

    def miss(self, now: float, quality: int = 0) -> Outcome:
        """Alert the devices that are silent; `now` in seconds since 1970, `quality`: what is known of that."""
        outcome = Outcome()
        for profile, watch in self._watches.items():
            outcome.add(profile, watch.tick(self._listening.clock, now))
        outcome.mark(quality)
        return outcome

    def resume_listening(self, absence: float, uptime: float) -> None:
        """The broker was gone for so many seconds: what it kept for us comes now, and every device has its usual gap
        anew.
        """
        for intake in self._intakes.values():
            intake.absent(absence, uptime)
        for watch in self._watches.values():
            watch.health.anew(self._listening.clock)

    def _notice_step(self, batch: Batch) -> list[Report]:
        """Whether our own clock was set since the batch before, and what to tell the hub then."""
        offset, before = batch.arrived - batch.uptime, self._offset
        quality, self._quality = self._quality, batch.quality
        if before is not None and abs(offset - before) <= STEP:
            return []  # a clock that is merely adjusted is followed from where it was last set
        self._offset = offset
        if before is None:
            return []
        by = offset - before
        logger.warning("the clock of this machine was set by %.0f s", by)
        for watch in self._watches.values():
            watch.health.clock_set()
        for intake in self._intakes.values():
            intake.clock_set(batch.arrived)
        text = f"the clock of this gateway was set by {by:+.0f} s"
        return [Report(batch.arrived, text=text, time_quality=batch.quality, clock_set=ClockSet(by, quality))]

    def _trace_lines(self, batch: Batch, decoded: Decoded | None, dead: Sequence[DeadLetter]) -> list[TraceLine]:
        lines = []
        again = self._decoder.decode(batch.duplicates, batch.arrived) if batch.duplicates else None
        for parts, repeated in ((decoded, False), (again, True)):
            for profile, part in parts.profiles.items() if parts else ():
                name, rows, times = (
                    self._watches[profile].table.name,
                    part.batch.device.tolist(),
                    part.batch.time.tolist(),
                )
                for row, sequence in enumerate(part.sequence):
                    fate: Fate = "duplicate" if repeated else "retained" if part.retained[row] else "scored"
                    lines.append(TraceLine(name(rows[row]), sequence, times[row], fate))
        lines += [TraceLine(batch.messages[d.message].topic, None, None, "dead_letter", d.reason) for d in dead]
        return lines


def _state_row(profile: str, change: StateChange) -> AlertStateRow:
    body = b"" if change.state is None else msgspec.json.encode(change.state)
    return AlertStateRow(profile, change.device, change.kind, body)


def _dead_letter_row(batch: Batch, dead: DeadLetter, source: str) -> DeadLetterRow:
    message = batch.messages[dead.message]
    sample, topic = bytes(message.payload[:SAMPLE_BYTES]), message.topic[:SAMPLE_BYTES]
    return DeadLetterRow(batch.arrived, topic, dead.reason, dead.detail, sample, source, batch.quality)
