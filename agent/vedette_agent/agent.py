"""Agent: composes the gateway. Readings flow down; what they cause is committed; then they are acknowledged."""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import TYPE_CHECKING

import msgspec

from vedette_agent import status, systemd
from vedette_agent.delivery.database_thread import DatabaseThread
from vedette_agent.delivery.local_alerts import LocalAlerts
from vedette_agent.delivery.outbox import AlertStateRow, DeadLetterRow, Effects, Outbox, OutboxError
from vedette_agent.delivery.uplink import Uplink
from vedette_agent.mqtt.connection import Connection
from vedette_agent.mqtt.transport import NotConnected, Will
from vedette_agent.reading import checkpoint
from vedette_agent.reading.decide import AlertState, StateChange
from vedette_agent.reading.decode import Decoder
from vedette_agent.reading.message import DeadLetter, Message
from vedette_agent.reading.profile_watch import ProfileWatch
from vedette_agent.reading.telemetry import Telemetry
from vedette_agent.trace import Fate, Trace, TraceLine
from vedette_models import messages, topics
from vedette_models.messages import Alert, Status

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from vedette_agent.config import Config
    from vedette_agent.reading.decide import Decided
    from vedette_agent.reading.decode import Decoded
    from vedette_agent.reading.telemetry import Batch

logger = logging.getLogger(__name__)

DATABASE = "agent.db"
CHECKPOINTS = "checkpoints"
SAMPLE_BYTES = 200
DEAD_LETTERS_PER_BATCH = 20
"""Samples kept of one batch; all are counted."""
ASKED_EVERY = 0.5
"""Seconds between two looks for what other processes have left in the database."""
COMMIT_RETRY_FIRST, COMMIT_RETRY_LONGEST = 0.5, 30.0


@dataclass
class Caused:
    """What a batch of messages came to."""

    alerts: list[Alert] = field(default_factory=list)
    states: list[AlertStateRow] = field(default_factory=list)
    dead: list[DeadLetter] = field(default_factory=list)
    lines: list[TraceLine] = field(default_factory=list)

    def add(self, profile: str, decided: Decided) -> None:
        """Take over events and the states behind them."""
        self.alerts += decided.events
        self.states += state_rows(profile, decided.changes)


def state_rows(profile: str, changes: Sequence[StateChange]) -> list[AlertStateRow]:
    """Alert states as the outbox keeps them."""
    return [
        AlertStateRow(profile, c.device, c.kind, b"" if c.state is None else msgspec.json.encode(c.state))
        for c in changes
    ]


class Agent:
    """The gateway's agent. Build it inside a running event loop; `run` until it is told to stop."""

    def __init__(self, config: Config, trace: Path | None = None) -> None:
        self.config = config
        self.gateway = config.gateway.id
        self.tally = status.Tally()
        self._started = time.time()
        self._state_age: float | None = None
        self._database = DatabaseThread()
        self._database_problem: str | None = None
        self._outbox = Outbox(
            config.gateway.state_dir / DATABASE,
            self.gateway,
            config.outbox,
            to_hub=config.hub is not None,
            dead_letters=config.limits.dead_letters,
            settled_keys=2 * config.devices.receive_maximum,
        )
        self._trace = Trace(trace) if trace else None
        self._device_limit: str | None = None
        self._stop = asyncio.Event()
        self._watches = {
            name: ProfileWatch(profile, self.gateway, self._outbox.epoch, config.limits.max_devices)
            for name, profile in config.profiles.items()
        }
        self._resume()
        self._decoder = Decoder(
            config.streams, config.profiles, config.time, config.limits, {n: w.table for n, w in self._watches.items()}
        )
        self._telemetry = Telemetry(
            config.devices,
            [stream.pattern.filter for stream in config.streams],
            previous_filters=self._outbox.filters(),
            settled=self._outbox.settled_keys(),
            batch=config.limits.batch,
            will=Will(topics.local_status(self.gateway), status.last_will(self.gateway)),
            alerts_filter=topics.device_alerts(self.gateway),
            on_connected=self._devices_connected,
            on_retained_alert=lambda topic: self._local.retained(topic),
            remember_filters=self._remember_filters,
        )
        self._local = LocalAlerts(
            self.gateway, self._outbox, self._database, self._telemetry.connection, self.open_alerts
        )
        self._uplink = self._make_uplink()
        self._publishing: set[asyncio.Task[None]] = set()

    def _make_uplink(self) -> Uplink | None:
        if self.config.hub is None:
            return None
        return Uplink(
            self.config.hub,
            self.gateway,
            self._outbox,
            self._database,
            will=Will(topics.gateway_up(self.gateway, "status"), status.last_will(self.gateway)),
            on_connected=self._publish_status_soon,
        )

    # -------------------------------------------------------------------- life

    async def run(self) -> None:
        """Watch until SIGTERM or SIGINT; then take a checkpoint, say goodbye and return."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        work = asyncio.create_task(self._work(), name="work")
        stop = asyncio.create_task(self._stop.wait(), name="stop")
        try:
            await asyncio.wait((work, stop), return_when=asyncio.FIRST_COMPLETED)
        finally:
            stop.cancel()
            systemd.notify("STOPPING=1")
            if work.done():
                await work  # raises what went wrong
            work.cancel()
            await asyncio.wait((work,))
            await self._close()

    def stop(self) -> None:
        """Ask `run` to return."""
        self._stop.set()

    async def _work(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._telemetry.connection.run(), name="devices connection")
            group.create_task(self._read(), name="read")
            group.create_task(self._local.run(), name="local alerts")
            if self._uplink is not None:
                group.create_task(self._uplink.run(), name="uplink")
            group.create_task(self._beat(), name="heartbeat")
            group.create_task(self._watchdog(), name="watchdog")
            group.create_task(self._take_checkpoints(), name="checkpoints")
            group.create_task(self._answer_requests(), name="requests")

    async def _close(self) -> None:
        await self._take_checkpoint()
        farewell = msgspec.structs.replace(await self.status(), online=False, reason="stopped")
        status.write(self.config.gateway.state_dir, farewell)
        await self._publish_status(farewell)
        for connection in self._connections():
            await connection.close()
        self._database.close()
        self._outbox.close()
        if self._trace:
            self._trace.close()

    # --------------------------------------------------------- the way of a reading

    async def _read(self) -> None:
        async for batch in self._telemetry:
            caused = self._process(batch)
            if caused.alerts or caused.states or caused.dead:
                await self._commit(batch, caused)
            if self._trace:
                self._trace.write(caused.lines)
            batch.acknowledge()
            self._count(batch, caused)
            if caused.alerts:
                self._wake()

    def _process(self, batch: Batch) -> Caused:
        """Every stage of a batch, without I/O."""
        caused = Caused()
        try:
            decoded = self._decoder.decode(batch.messages, batch.arrived)
            for profile, part in decoded.profiles.items():
                live = part.batch if not part.retained.any() else part.batch.take((~part.retained).nonzero()[0])
                watched = self._watches[profile].process(live)
                caused.add(profile, watched.decided)
                self.tally.scored += len(live)
                self.tally.retained += len(part.batch) - len(live)
                self.tally.suppressed += watched.decided.suppressed
            caused.dead = decoded.dead
        except Exception:
            # a fault of ours must not stop the gateway: these messages are set aside, and we go on
            logger.exception("a batch of %d messages could not be processed; please report this", len(batch.messages))
            decoded = None
            caused.dead = [DeadLetter(i, "internal", "see the agent's log") for i in range(len(batch.messages))]
        if self._trace:
            caused.lines = self._trace_lines(batch, decoded, caused.dead)
        return caused

    async def _commit(self, batch: Batch, caused: Caused) -> None:
        """Make it durable, however long that takes: what is not durable is not acknowledged."""
        effects = Effects(
            caused.alerts,
            caused.states,
            [dead_letter_row(batch.messages[d.message], d, batch.arrived) for d in caused.dead[:DEAD_LETTERS_PER_BATCH]],
            batch.keys(),
        )
        await self._commit_effects(effects)

    async def _commit_effects(self, effects: Effects) -> None:
        delay = COMMIT_RETRY_FIRST
        while True:
            try:
                await self._database(self._outbox.commit, effects, time.time())
            except OutboxError as error:
                if self._database_problem is None:
                    logger.error("%s", error)
                self._database_problem = str(error)
                await asyncio.sleep(delay)
                delay = min(2 * delay, COMMIT_RETRY_LONGEST)
            else:
                self._database_problem = None
                return

    def _count(self, batch: Batch, caused: Caused) -> None:
        tally = self.tally
        tally.received += len(batch.received)
        tally.acknowledged += len(batch.received)
        tally.duplicates += len(batch.duplicates)
        tally.dead_letters += len(caused.dead)
        tally.alerts += sum(alert.revision == 1 for alert in caused.alerts)
        full = next((dead.detail for dead in caused.dead if dead.reason == "device_limit"), None)
        if full and full != self._device_limit:
            logger.warning("%s", full)
        self._device_limit = full or self._device_limit

    def _trace_lines(self, batch: Batch, decoded: Decoded | None, dead: Sequence[DeadLetter]) -> list[TraceLine]:
        lines = []
        again = self._decoder.decode(batch.duplicates, batch.arrived) if batch.duplicates else None
        for parts, repeated in ((decoded, False), (again, True)):
            for profile, part in parts.profiles.items() if parts else ():
                table = self._watches[profile].table
                for row, sequence in enumerate(part.sequence):
                    fate: Fate = "duplicate" if repeated else "retained" if part.retained[row] else "scored"
                    lines.append(
                        TraceLine(table.name(int(part.batch.device[row])), sequence, float(part.batch.time[row]), fate)
                    )
        lines += [TraceLine(batch.messages[d.message].topic, None, None, "dead_letter", d.reason) for d in dead]
        return lines

    # ----------------------------------------------------------- what was learnt

    def open_alerts(self) -> list[Alert]:
        """The newest revision of every open alert."""
        return [alert for watch in self._watches.values() for alert in watch.decider.open_alerts]

    def _resume(self) -> None:
        """Take over the last checkpoints, and the alert states, which are newer."""
        for name, watch in self._watches.items():
            path = checkpoint.path_of(self.config.gateway.state_dir / CHECKPOINTS, name)
            try:
                saved = checkpoint.load(path)
                if saved is not None:
                    watch.restore(saved)
                    self._state_age = max(self._state_age or 0.0, self._started - saved.time)
                    logger.info(
                        "profile %s: resuming %d devices as of %.0f s ago",
                        name,
                        len(watch.table),
                        self._started - saved.time,
                    )
            except checkpoint.CheckpointError as error:
                logger.warning("%s", error)
                checkpoint.set_aside(path)
        states: dict[str, list[StateChange]] = {}
        for row in self._outbox.alert_states():
            try:
                state = msgspec.json.decode(row.body, type=AlertState)
            except msgspec.MsgspecError as error:
                logger.warning(
                    "state of %s alert on %s (%s) is unreadable (%s): starting anew",
                    row.kind,
                    row.device,
                    row.profile,
                    error,
                )
                continue
            states.setdefault(row.profile, []).append(StateChange(row.device, row.kind, state))
        for name, watch in self._watches.items():
            watch.decider.restore(states.get(name, ()))

    async def _take_checkpoints(self) -> None:
        while True:
            await asyncio.sleep(self.config.gateway.checkpoint_every)
            await self._take_checkpoint()

    async def _take_checkpoint(self) -> None:
        for name, watch in self._watches.items():
            taken = watch.checkpoint(time.time())
            path = checkpoint.path_of(self.config.gateway.state_dir / CHECKPOINTS, name)
            try:
                await asyncio.to_thread(checkpoint.save, path, taken)
            except OSError as error:
                logger.error("%s: %s; a restart would resume from an older state", path, error)

    # ------------------------------------------------- what the agent says of itself

    def _connections(self) -> list[Connection]:
        return [self._telemetry.connection, *([self._uplink.connection] if self._uplink else [])]

    async def status(self) -> Status:
        """The state of everything, now."""
        now = time.time()
        hub = self._uplink.connection if self._uplink else None
        box = await self._database(self._outbox.stats)
        ingest = status.ingest_state(
            connected=self._telemetry.subscribed,
            last_arrival=self._telemetry.last_arrival,
            started=self._started,
            now=now,
            stalled_after=self.config.gateway.stalled_after,
        )
        return Status(
            gateway=self.gateway,
            online=True,
            time=now,
            started=self._started,
            version=version("vedette"),
            ingest=ingest,
            last_reading=self._telemetry.last_arrival,
            hub="none" if hub is None else "connected" if hub.up else "disconnected",
            devices=sum(len(watch.table) for watch in self._watches.values()),
            open_alerts=len(self.open_alerts()),
            outbox_rows=box.rows,
            outbox_bytes=box.bytes,
            outbox_oldest=box.oldest,
            lost_rows=box.lost,
            state_age=self._state_age,
            counters=self.tally.counters(),
            problems=tuple(self._problems(ingest, box.rows)),
        )

    def _problems(self, ingest: str, rows: int) -> list[str]:
        found = [f"{c.name} broker {c.broker.url}: {c.problem}" for c in self._connections() if c.problem]
        if ingest == "stalled":
            found.append(
                f"no message for {self.config.gateway.stalled_after:.0f} s on {', '.join(self._telemetry.filters)}; "
                "do the devices publish, and are these their topics?"
            )
        if self._database_problem:
            found.append(self._database_problem)
        if rows > 0.8 * self.config.outbox.max_rows:
            found.append(
                f"outbox is {rows / self.config.outbox.max_rows:.0%} full; at the limit the oldest rows are given up"
            )
        if self._device_limit:
            found.append(self._device_limit)
        if self._trace and self._trace.full:
            found.append(f"{self._trace.path} is full: the trace has stopped")
        return found

    async def _beat(self) -> None:
        while True:
            now = await self.status()
            try:
                status.write(self.config.gateway.state_dir, now)
            except OSError as error:
                logger.warning("%s: %s", self.config.gateway.state_dir / status.FILE, error)
            systemd.notify(
                f"READY=1\nSTATUS={now.ingest}, hub {now.hub}, {now.devices} devices, {now.open_alerts} open alerts"
            )
            await self._publish_status(now)
            await asyncio.sleep(self.config.gateway.heartbeat)

    async def _watchdog(self) -> None:
        """The event loop turns; a stage that hangs would stop this."""
        while interval := systemd.watchdog_interval():
            systemd.notify("WATCHDOG=1")
            await asyncio.sleep(interval)

    async def _publish_status(self, now: Status) -> None:
        targets = [(self._telemetry.connection, topics.local_status(self.gateway))]
        if self._uplink:
            targets.append((self._uplink.connection, topics.gateway_up(self.gateway, "status")))
        for connection, topic in targets:
            try:
                async with asyncio.timeout(5.0):
                    await connection.publish(topic, messages.to_bytes(now), retain=True)
            except (NotConnected, TimeoutError) as error:
                logger.debug("status: %s", error)

    def _publish_status_soon(self) -> None:
        async def publish() -> None:
            await self._publish_status(await self.status())

        task = asyncio.get_running_loop().create_task(publish(), name="status")
        self._publishing.add(task)
        task.add_done_callback(self._publishing.discard)

    def _devices_connected(self) -> None:
        self._local.connected()
        self._publish_status_soon()

    # ------------------------------------------------------ asked by other processes

    async def _answer_requests(self) -> None:
        seen = -1
        while True:
            await asyncio.sleep(ASKED_EVERY)
            changed = await self._database(self._outbox.changed_elsewhere)
            if changed == seen:
                continue
            seen = changed
            for request in await self._database(self._outbox.requests):
                answer = (
                    await self._forget(request.argument)
                    if request.verb == "forget"
                    else f"unknown request {request.verb!r}"
                )
                await self._database(self._outbox.answer, request.id, answer)
            self._wake()

    async def _forget(self, device: str) -> str:
        """Free a device's rows and clear its alerts."""
        caused, found = Caused(), []
        for name, watch in self._watches.items():
            decided = watch.forget(device, time.time())
            if decided is not None:
                caused.add(name, decided)
                found.append(name)
        if not found:
            return f"device {device!r} is not known"
        self._device_limit = None
        await self._commit_effects(Effects(caused.alerts, caused.states))
        await self._take_checkpoint()
        return f"forgot device {device!r} (profile {', '.join(found)}), {len(caused.alerts)} open alerts cleared"

    def _wake(self) -> None:
        self._local.wake()
        if self._uplink:
            self._uplink.wake()

    def _remember_filters(self, filters: Sequence[str]) -> None:
        task = asyncio.get_running_loop().create_task(
            self._database(self._outbox.set_filters, list(filters)), name="filters"
        )
        self._publishing.add(task)
        task.add_done_callback(self._publishing.discard)


def dead_letter_row(message: Message, dead: DeadLetter, now: float) -> DeadLetterRow:
    """A dead letter with the beginning of its payload."""
    return DeadLetterRow(
        now, message.topic[:SAMPLE_BYTES], dead.reason, dead.detail, bytes(message.payload[:SAMPLE_BYTES])
    )
