"""Heartbeat: gathers the status and says it: to both brokers, to systemd, in a file for `vedette-agent status`."""

from __future__ import annotations

import asyncio
import logging
from importlib.metadata import version
from typing import TYPE_CHECKING

import msgspec

from vedette_agent import status, systemd
from vedette_agent.clock import SYSTEM, Clock
from vedette_agent.delivery.database import OutboxError
from vedette_agent.delivery.rows import Stats
from vedette_agent.memory import return_freed
from vedette_agent.mqtt.transport import NotConnected
from vedette_models import messages, topics
from vedette_models.messages import Limits, Restricted, Status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from vedette_agent.config import Config
    from vedette_agent.delivery.database_thread import DatabaseThread
    from vedette_agent.delivery.outbox import Outbox
    from vedette_agent.learnt import Learnt
    from vedette_agent.mqtt.connection import Connection
    from vedette_agent.reading.telemetry import Telemetry
    from vedette_agent.update.updater import Updater
    from vedette_models.profile import Profile

logger = logging.getLogger(__name__)

PUBLISH_SECONDS = 5.0
NEARLY_FULL = 0.8
SHOWN = 20
"""Devices that a status names at most of those that are restricted."""


class Heartbeat:
    """Says how the agent is, regularly and when something has changed."""

    def __init__(
        self,
        config: Config,
        tally: status.Tally,
        learnt: Learnt,
        outbox: Outbox,
        database: DatabaseThread,
        telemetry: Telemetry,
        hub: Connection | None,
        more_problems: Callable[[], list[str]],
        updater: Updater | None,
        *,
        restricted: Callable[[], Sequence[Restricted]] = tuple,
        clock: Clock = SYSTEM,
    ) -> None:
        """`restricted`: the devices whose readings are not all taken."""
        self._restricted = restricted
        self._clock = clock
        self._config, self._tally, self._learnt = config, tally, learnt
        self._outbox, self._database, self._telemetry, self._hub = outbox, database, telemetry, hub
        self._more_problems, self._updater = more_problems, updater
        self._started, self._began = self._clock.now(), self._clock.uptime()
        self._box = Stats(0, 0, None, 0, 0)
        self._box_problem: str | None = None
        self._file_problem: str | None = None
        self._changed = asyncio.Event()

    def soon(self) -> None:
        """Something has changed: do not wait for the next beat."""
        self._changed.set()

    async def run(self) -> None:
        """Beat until cancelled."""
        devices = 0
        while True:
            self._changed.clear()
            now = await self.status()
            await self.say(now)
            if now.devices > devices:  # their state has grown, and left what it was behind
                devices = now.devices
                return_freed()
            try:
                async with asyncio.timeout(self._config.gateway.heartbeat):
                    await self._changed.wait()
            except TimeoutError:
                pass

    async def watchdog(self) -> None:
        """Tell systemd that the event loop turns; a stage that hangs would stop this."""
        while interval := systemd.watchdog_interval():
            systemd.notify("WATCHDOG=1")
            await asyncio.sleep(interval)

    async def farewell(self) -> None:
        """The last status: stopped."""
        await self.say(msgspec.structs.replace(await self.status(), online=False, reason="stopped"))

    async def say(self, now: Status) -> None:
        """Say it everywhere; who cannot hear it now hears the next."""
        folder = self._config.gateway.state_dir
        try:
            status.write(folder, now)
        except OSError as error:
            problem = f"{folder / status.FILE}: {error.strerror or error}"
            if problem != self._file_problem:  # once: a disk stays full for hours
                logger.warning("%s; `vedette-agent status` shows an old state", problem)
            self._file_problem = problem
        else:
            self._file_problem = None
        if now.online:
            summary = f"{now.ingest}, hub {now.hub}, {now.devices} devices, {now.open_alerts} open alerts"
            systemd.notify(f"READY=1\nSTATUS={summary}")
        body = messages.to_bytes(now)
        targets = [(self._telemetry.connection, topics.local_status(now.gateway))]
        if self._hub is not None:
            targets.append((self._hub, topics.gateway_up(now.gateway, "status")))
        await asyncio.gather(*(_publish(connection, topic, body) for connection, topic in targets))

    async def status(self) -> Status:
        """The state of everything, now."""
        now = self._clock.now()
        hub, telemetry = self._hub, self._telemetry
        await self._look_at_box()
        box = self._box
        ingest, restricted = self.ingest(), self._restricted()
        return Status(
            gateway=self._config.gateway.id,
            online=True,
            time=now,
            started=self._started,
            version=version("vedette"),
            ingest=ingest,
            last_reading=telemetry.last_arrival,
            hub="none" if hub is None else "connected" if hub.up else "disconnected",
            devices=self._learnt.devices,
            silent=self._learnt.silent,
            rate_limited=sum(one.state == "rate_limited" for one in restricted),
            quarantined=sum(one.state == "quarantined" for one in restricted),
            restricted=tuple(restricted[:SHOWN]),
            open_alerts=len(self._learnt.open_alerts()),
            outbox_rows=box.rows,
            outbox_bytes=box.bytes,
            outbox_oldest=box.oldest,
            outbox_hours=box.hours_left,
            coalesced_rows=box.coalesced,
            lost_rows=box.lost,
            state_age=self._learnt.age,
            counters=self._tally.counters(),
            models=self._updater.running() if self._updater else {},
            alert_rates={name: watch.alert_rate for name, watch in self._learnt.watches.items()},
            limits=_limits(watch.profile for watch in self._learnt.watches.values()),
            manifest=self._updater.counter if self._updater else 0,
            nonce=self._updater.nonce if self._updater else "",
            time_quality=int(self._clock.quality()),
            problems=(
                *self._connection_problems(),
                *self._own_problems(ingest),
                *self._disk_problems(),
                *self._more_problems(),
            ),
        )

    def ingest(self) -> str:
        """Whether readings arrive: `receiving`, `stalled`, `waiting` or `disconnected`."""
        return status.ingest_state(
            connected=self._telemetry.subscribed,
            silence=self._telemetry.quiet_for(),
            running=self._clock.uptime() - self._began,
            stalled_after=self._config.gateway.stalled_after,
        )

    async def _look_at_box(self) -> None:
        """How full the box is, or was when it could last be read."""
        try:
            self._box, self._box_problem = await self._database(self._outbox.stats), None
        except OutboxError as error:
            self._box_problem = str(error)

    def _connection_problems(self) -> list[str]:
        connections = [self._telemetry.connection, *([self._hub] if self._hub else [])]
        return [f"{c.name} broker {c.broker.url}: {c.problem}" for c in connections if c.problem]

    def _own_problems(self, ingest: str) -> list[str]:
        found = []
        if ingest == "stalled":
            found.append(
                f"no message for {self._config.gateway.stalled_after:.0f} s on {', '.join(self._telemetry.filters)}; "
                "do the devices publish, and are these their topics?"
            )
        return found

    def _disk_problems(self) -> list[str]:
        """What is wrong with the box, and where it lies."""
        box, limits = self._box, self._config.outbox
        found = [problem for problem in (self._box_problem, self._file_problem, self._outbox.disk.problem) if problem]
        share = max(box.rows / limits.max_rows, box.bytes / limits.max_bytes)
        if share > NEARLY_FULL:
            lasts = "" if box.hours_left is None else f" and lasts for {box.hours_left:.1f} h at this rate"
            found.append(f"outbox is {share:.0%} full{lasts}; at the limit the oldest rows are given up")
        if box.set_aside:
            found.append(
                f"a database was damaged and is set aside in {self._config.gateway.state_dir}: "
                f"{', '.join(box.set_aside)}; what had not reached the hub was lost with it; "
                "keep the file for support, or delete it"
            )
        return found + self._learnt.never_reported()


async def _publish(connection: Connection, topic: str, body: bytes) -> None:
    try:
        async with asyncio.timeout(PUBLISH_SECONDS):
            await connection.publish(topic, body, retain=True)
    except (NotConnected, TimeoutError) as error:
        logger.debug("status: %s", error)


def _limits(profiles: Iterable[Profile]) -> dict[str, dict[str, Limits]]:
    """What each profile says its channels can report; only profiles and channels of which it says something."""
    found = {
        profile.name: {
            channel.name: Limits(channel.low, channel.high)
            for channel in profile.channels
            if channel.low is not None or channel.high is not None
        }
        for profile in profiles
    }
    return {name: limits for name, limits in found.items() if limits}
