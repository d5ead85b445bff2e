"""Learnt: what the agent knows of its devices, over restarts: checkpoints on disk, alert states in the database."""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import msgspec

from vedette_agent.clock import SYSTEM, Clock
from vedette_agent.reading import checkpoint
from vedette_agent.reading.alert_state import AlertState, StateChange, cleared
from vedette_agent.reading.effects import AlertStateRow, Effects

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping
    from pathlib import Path

    from vedette_agent.reading.profile_watch import ProfileWatch
    from vedette_models.messages import Alert

logger = logging.getLogger(__name__)

FOLDER = "checkpoints"


class Learnt:
    """The watches of all profiles, and the folder that their checkpoints are kept in."""

    def __init__(self, state_dir: Path, watches: Mapping[str, ProfileWatch], *, clock: Clock = SYSTEM) -> None:
        self.watches, self._clock = watches, clock
        self._folder = state_dir / FOLDER
        self._turn = asyncio.Lock()
        self._ahead = False
        self._disk = ThreadPoolExecutor(1, "checkpoint")
        """One thread, so that two checkpoints never write the same file at once, and the later one stays."""
        self.age: float | None = None
        """Seconds between the oldest checkpoint that `resume` took over and now; None: all started fresh."""

    @property
    def devices(self) -> int:
        """Devices known now."""
        return sum(len(watch.table) for watch in self.watches.values())

    @property
    def silent(self) -> int:
        """Devices that have stopped reporting."""
        return sum(watch.health.silent for watch in self.watches.values())

    def never_reported(self) -> list[str]:
        """A sentence for each channel that is configured and that some device has never reported."""
        said = []
        for profile, watch in self.watches.items():
            by_channel: dict[int, list[int]] = {}
            for row, channel in watch.health.never_reported():
                by_channel.setdefault(channel, []).append(row)
            for channel, rows in by_channel.items():
                name, device = watch.profile.channel_names[channel], watch.table.name(rows[0])
                whom = f"{len(rows)} devices never report it, {device} for one" if len(rows) > 1 else f"not by {device}"
                said.append(
                    f"profile {profile}: {name} was never reported: {whom}; is its name right, the sensor there?"
                )
        return said

    def open_alerts(self) -> list[Alert]:
        """The newest revision of every open alert."""
        return [alert for watch in self.watches.values() for alert in watch.decider.open_alerts]

    def resume(self, states: Iterable[AlertStateRow], now: float) -> Effects:
        """Take over the last checkpoints, and the alert states, which are newer; say what cannot be used.

        Returns what must be committed: alerts of profiles and devices that are watched no more are cleared.
        """
        for name, watch in self.watches.items():
            path = checkpoint.path_of(self._folder, name)
            try:
                saved = checkpoint.load(path)
                if saved is None:
                    continue
                watch.restore(saved)
            except checkpoint.CheckpointError as error:
                logger.warning("%s", error)
                checkpoint.set_aside(path)
            else:
                age = max(0.0, now - saved.time)
                self.age = max(self.age or 0.0, age)
                logger.info("profile %s: resuming %d devices as of %.0f s ago", name, len(watch.table), age)
        by_profile: dict[str, list[StateChange]] = {}
        for row in states:
            try:
                state = msgspec.json.decode(row.body, type=AlertState)
            except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                logger.warning("alert state %s of %s is unreadable, starting anew: %s", row.kind, row.device, error)
            else:
                by_profile.setdefault(row.profile, []).append(StateChange(row.device, row.kind, state))
        events: list[Alert] = []
        dropped: list[AlertStateRow] = []
        for name, changes in by_profile.items():
            known = self.watches.get(name)
            for change in changes if known is None else known.resume(changes):
                dropped.append(AlertStateRow(name, change.device, change.kind, b""))
                if change.state is not None and change.state.alert is not None:
                    events.append(cleared(change.state.alert, change.state.alert.time, "no longer watched"))
        return Effects(events, dropped)

    @asynccontextmanager
    async def changing(self) -> AsyncIterator[None]:
        """While something is learnt and what it caused is committed: one at a time, and no checkpoint in between.

        A checkpoint that knows a reading whose alert was never committed would lose the alert: scored again, the
        reading is no news.
        """
        async with self._turn:
            self._ahead = True
            yield
            self._ahead = False  # not when it failed or was cancelled

    @asynccontextmanager
    async def still(self, patience: float) -> AsyncIterator[None]:
        """While nothing changes: what is being committed has so many seconds to become durable."""
        try:
            async with asyncio.timeout(patience):
                await self._turn.acquire()
        except TimeoutError:
            yield
            return
        try:
            yield
        finally:
            self._turn.release()

    def everything(self) -> Effects:
        """All alert states, and the newest revision of every open alert, for a database that has lost them."""
        states = [
            AlertStateRow(name, change.device, change.kind, msgspec.json.encode(change.state))
            for name, watch in self.watches.items()
            for change in watch.decider.states
        ]
        return Effects(self.open_alerts(), states)

    async def keep(self, every: float) -> None:
        """Take a checkpoint every so many seconds, until cancelled."""
        while True:
            await asyncio.sleep(every)
            await self.save()

    async def save(self) -> None:
        """Take a checkpoint of every profile; a disk that refuses is said, and the old checkpoint stays."""
        for name, watch in self.watches.items():
            async with self._turn:
                if self._ahead:
                    logger.warning("no checkpoint of what is not committed; a restart resumes from the one before")
                    return
                taken = watch.checkpoint(self._clock.now())
            path = checkpoint.path_of(self._folder, name)
            try:
                await asyncio.get_running_loop().run_in_executor(self._disk, checkpoint.save, path, taken)
            except OSError as error:
                logger.error("%s: %s; a restart would resume from an older state", path, error)
