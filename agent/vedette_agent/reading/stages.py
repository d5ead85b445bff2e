"""Stages: the way of a batch of raw messages through decoding, judging and deciding, pure, and what it came to."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple

import msgspec
import numpy as np

from vedette_agent.reading.dead_letter import DeadLetter
from vedette_agent.reading.effects import AlertStateRow, DeadLetterRow, Effects

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vedette_agent.mqtt.message import Message
    from vedette_agent.reading.alert_state import StateChange
    from vedette_agent.reading.decide import Decided
    from vedette_agent.reading.decoding.decoder import Decoded, Decoder
    from vedette_agent.reading.health.listening import Listening
    from vedette_agent.reading.profile_watch import ProfileWatch
    from vedette_agent.reading.telemetry import Batch
    from vedette_models.messages import Alert

logger = logging.getLogger(__name__)

SAMPLE_BYTES = 200
CLOCK_STEP = 5.0
"""Seconds by which our own clock is set when it is not merely adjusted."""
DEAD_LETTERS_PER_BATCH = 20
"""Samples kept of one batch; all are counted."""


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
    lines: list[TraceLine] = field(default_factory=list)
    """One per reading, where a trace is wanted."""
    scored: int = 0
    retained: int = 0
    suppressed: int = 0

    @property
    def durable(self) -> bool:
        """Whether something must be committed before the batch is acknowledged."""
        return bool(self.alerts or self.states or self.dead)

    def add(self, profile: str, decided: Decided) -> None:
        """Take over events and the states behind them."""
        self.alerts += decided.events
        self.states += [_state_row(profile, change) for change in decided.changes]
        self.suppressed += decided.suppressed

    def effects(self, batch: Batch) -> Effects:
        """What to commit."""
        dead = [
            _dead_letter_row(batch.messages[d.message], d, batch.arrived) for d in self.dead[:DEAD_LETTERS_PER_BATCH]
        ]
        return Effects(self.alerts, self.states, dead, batch.keys())


class Stages:
    """Decoding, then everything that watches each profile."""

    def __init__(
        self, decoder: Decoder, watches: Mapping[str, ProfileWatch], *, traced: bool, listening: Listening
    ) -> None:
        self._decoder, self._watches, self._traced = decoder, watches, traced
        self._listening = listening
        self._offset: float | None = None
        """Of our clock that people set from the one that nobody does."""

    def process(self, batch: Batch) -> Outcome:
        """Run a batch through all stages; a fault of ours ends as dead letters, not as a stopped gateway."""
        outcome = Outcome()
        decoded: Decoded | None = None
        try:
            heard = self._listening.heard(batch.uptime)
            self._notice_step(batch.arrived - batch.uptime)
            decoded = self._decoder.decode(batch.messages, batch.arrived)
            for profile, part in decoded.profiles.items():
                live = part.batch if not part.retained.any() else part.batch.take((~part.retained).nonzero()[0])
                outcome.add(profile, self._watches[profile].process(live, np.full(len(live), heard)).decided)
                outcome.scored += len(live)
                outcome.retained += len(part.batch) - len(live)
            outcome.dead = decoded.dead
        except Exception:
            logger.exception("a batch of %d messages could not be processed; please report this", len(batch.messages))
            decoded = None
            outcome.dead = [DeadLetter(i, "internal", "see the agent's log") for i in range(len(batch.messages))]
        if self._traced:
            outcome.lines = self._trace_lines(batch, decoded, outcome.dead)
        return outcome

    def miss(self, now: float) -> Outcome:
        """Alert the devices that are silent; `now` in seconds since 1970."""
        outcome = Outcome()
        for profile, watch in self._watches.items():
            outcome.add(profile, watch.tick(self._listening.clock, now))
        return outcome

    def resume_listening(self) -> None:
        """The broker was gone: from now on every device has its usual gap anew."""
        for watch in self._watches.values():
            watch.health.anew(self._listening.clock)

    def _notice_step(self, offset: float) -> None:
        if self._offset is None:
            self._offset = offset
        elif abs(offset - self._offset) > CLOCK_STEP:
            logger.warning("the clock of this machine was set by %.0f s", offset - self._offset)
            for watch in self._watches.values():
                watch.health.clock_set()
            self._offset = offset

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


def _dead_letter_row(message: Message, dead: DeadLetter, now: float) -> DeadLetterRow:
    sample = bytes(message.payload[:SAMPLE_BYTES])
    return DeadLetterRow(now, message.topic[:SAMPLE_BYTES], dead.reason, dead.detail, sample)
