"""Agent: composes the gateway. Readings flow down; what they cause is committed; then they are acknowledged."""

from __future__ import annotations

import asyncio
import logging
import secrets
import signal
from collections import deque
from typing import TYPE_CHECKING

import msgspec

from vedette_agent import status, systemd
from vedette_agent.clock import SYSTEM, Clock
from vedette_agent.delivery import database
from vedette_agent.delivery.database import OutboxError
from vedette_agent.delivery.database_thread import DatabaseThread
from vedette_agent.delivery.live import LiveStream
from vedette_agent.delivery.local_alerts import LocalAlerts
from vedette_agent.delivery.outbox import Outbox
from vedette_agent.delivery.requests import Requests
from vedette_agent.delivery.uplink import Uplink
from vedette_agent.gateway_clock import GatewayClock
from vedette_agent.heartbeat import Heartbeat
from vedette_agent.learnt import Learnt
from vedette_agent.mqtt.transport import Will
from vedette_agent.reading import restrictions
from vedette_agent.reading.decoding.decoder import Decoder
from vedette_agent.reading.effects import Effects
from vedette_agent.reading.health.listening import Listening
from vedette_agent.reading.profile_watch import ProfileWatch
from vedette_agent.reading.recent import Recent
from vedette_agent.reading.reservoir import Reservoir
from vedette_agent.reading.settled import REMEMBERED
from vedette_agent.reading.stages import Outcome, Stages
from vedette_agent.reading.telemetry import Telemetry
from vedette_agent.state_lock import StateLock
from vedette_agent.trace import Trace
from vedette_agent.update import answer
from vedette_agent.update.samples import Budget, pack_both
from vedette_models import topics
from vedette_models.messages import Activation, Report, Restricted

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from vedette_agent.config import Config
    from vedette_agent.delivery.requests import Request
    from vedette_agent.doctor.overheard import Overheard
    from vedette_agent.metrics_server import MetricsServer
    from vedette_agent.reading.telemetry import Batch
    from vedette_agent.update.key_ring_file import KeyRingFile
    from vedette_agent.update.updater import Updater
    from vedette_models.artifact import Model
    from vedette_models.profile import Profile
    from vedette_models.readings import ReadingBatch

logger = logging.getLogger(__name__)

ASKED_EVERY = 0.5
"""Seconds between two looks for what other processes have left in the database."""
MISSED_EVERY = 5.0
"""Seconds between two looks for devices that have fallen silent."""
KEY_RING_EVERY = 5.0
"""Seconds between two looks whether somebody has changed the key ring."""
COMMIT_RETRY_FIRST, COMMIT_RETRY_LONGEST = 0.5, 30.0
STOP_PATIENCE = 5.0
"""Seconds for a commit under way when the agent is told to stop."""
ROOM_EVERY = 30.0
"""Seconds between two looks at what is kept in reserve on the disk."""
ROOM_PAUSE = 0.25
"""Seconds between two steps of taking room on the disk beforehand: others want the disk, too."""


class Agent:
    """The gateway's agent. Build it inside a running event loop; `run` until it is told to stop."""

    def __init__(self, config: Config, trace: Path | None = None, *, clock: Clock = SYSTEM) -> None:
        self.config = config
        self._clock = clock = GatewayClock(config.gateway.state_dir, clock)
        gateway = config.gateway.id
        self.tally = status.Tally()
        self._stop = asyncio.Event()
        self._database_problem: str | None = None
        self._device_limit: str | None = None
        self._filters_to_remember: asyncio.Task[None] | None = None
        self._overheard: Overheard | None = None
        self._key_ring: KeyRingFile | None = None
        self._lock = StateLock(config.gateway.state_dir)
        self._trace = Trace(trace) if trace else None
        self._database = DatabaseThread()
        self._outbox = Outbox(
            config.gateway.state_dir / database.FILE,
            gateway,
            config.outbox,
            to_hub=config.hub is not None,
            dead_letters=config.limits.dead_letters,
            settled_keys=REMEMBERED,
            owner=True,
            clock=clock,
        )
        self._replaced = self._outbox.replaced
        self._requests = Requests(self._outbox.database)
        watches = {
            name: ProfileWatch(
                profile, gateway, self._outbox.epoch, config.limits.max_devices, self._reservoir(profile)
            )
            for name, profile in config.profiles.items()
        }
        for name, profile in config.profiles.items():
            watches[name].recent = self._recent(profile)
        self._learnt = Learnt(config.gateway.state_dir, watches, clock=clock)
        self._unwatched = self._learnt.resume(self._outbox.alert_states(), self._clock.now())
        tables = {name: watch.table for name, watch in watches.items()}
        decoder = Decoder(config.streams, config.profiles, config.time, config.limits, tables)
        self._stages = Stages(
            decoder,
            watches,
            traced=self._trace is not None,
            listening=Listening(at_first=config.gateway.stalled_after),
            time=config.time,
            limits=config.limits,
        )
        self._telemetry = Telemetry(
            config.devices,
            [stream.pattern.filter for stream in config.streams],
            previous_filters=self._outbox.filters(),
            settled=self._outbox.settled_keys(),
            batch=config.limits.batch,
            will=Will(topics.local_status(gateway), status.last_will(gateway)),
            alerts_filter=topics.device_alerts(gateway),
            on_connected=self._devices_connected,
            on_retained_alert=lambda topic: self._local.retained(topic),
            remember_filters=self._remember_filters,
            clock=clock,
        )
        self._local = LocalAlerts(
            gateway, self._outbox, self._database, self._telemetry.connection, self._learnt.open_alerts
        )
        self._updater = self._make_updater()
        self._live = self._make_live()
        self._uplink = self._make_uplink()
        if self._updater and self._uplink:
            self._updater.attach(self._uplink.connection)
        self._metrics: MetricsServer | None = None
        self._heartbeat = Heartbeat(
            config,
            self.tally,
            self._learnt,
            self._outbox,
            self._database,
            self._telemetry,
            self._uplink.connection if self._uplink else None,
            self._problems,
            self._updater,
            restricted=self._restricted,
            clock=clock,
        )
        if config.metrics.port:
            from vedette_agent.metrics_server import MetricsServer

            self._metrics = MetricsServer(config.metrics.port, self._heartbeat.status)

    def _reservoir(self, profile: Profile) -> Reservoir | None:
        wanted = self.config.samples
        if self.config.hub is None or wanted.bytes_per_day == 0:
            return None
        return Reservoir(len(profile.channels), wanted.segment, wanted.segments, seed=secrets.randbits(32))

    def _recent(self, profile: Profile) -> Recent | None:
        models = self.config.models
        if self.config.hub is None or models.key_ring is None or models.probation is None:
            return None
        return Recent(len(profile.channels), models.probation_readings)

    def _make_updater(self) -> Updater | None:
        models = self.config.models
        if self.config.hub is None or models.key_ring is None:
            return None
        from vedette_agent.update.key_ring_file import KeyRingFile
        from vedette_agent.update.model_store import ModelStore
        from vedette_agent.update.probation import Terms
        from vedette_agent.update.updater import Updater

        self._key_ring = KeyRingFile(models.key_ring)
        return Updater(
            self.config.gateway.id,
            {name: profile.channel_names for name, profile in self.config.profiles.items()},
            self._key_ring.keys,
            ModelStore(self.config.gateway.state_dir),
            self,
            nonce=secrets.token_hex(16),
            fetch_timeout=models.fetch_timeout,
            clock=self._clock,
            probation=None if models.probation is None else Terms(models.probation, models.probation_cost),
        )

    def _make_live(self) -> LiveStream | None:
        if self.config.hub is None or self.config.live.bytes_per_second == 0:
            return None
        return LiveStream(self.config.gateway.id, self.config.live, self._learnt.watches, clock=self._clock)

    def _make_uplink(self) -> Uplink | None:
        if self.config.hub is None:
            return None
        gateway = self.config.gateway.id
        return Uplink(
            self.config.hub,
            gateway,
            self._outbox,
            self._database,
            will=Will(topics.gateway_up(gateway, "status"), status.last_will(gateway)),
            on_connected=lambda: self._heartbeat.soon(),
            updates=self._updater,
            live=self._live,
            clock=self._clock,
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
            async with self._learnt.still(STOP_PATIENCE):
                work.cancel()
                await asyncio.wait((work,))
            await self._close()

    def stop(self) -> None:
        """Ask `run` to return."""
        self._stop.set()

    async def _work(self) -> None:
        await self._commit(self._unwatched)
        if self._updater is not None:
            await self._updater.start()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._telemetry.connection.run(), name="devices connection")
            group.create_task(self._read(), name="read")
            group.create_task(self._local.run(), name="local alerts")
            if self._uplink is not None:
                group.create_task(self._uplink.run(), name="uplink")
                group.create_task(self._sample(), name="samples")
                if self._live is not None:
                    group.create_task(self._live.run(self._uplink.connection), name="live readings")
            if self._updater is not None:
                group.create_task(self._updater.run(), name="updater")
                group.create_task(self._watch_key_ring(self._updater), name="key ring")
            group.create_task(self._heartbeat.run(), name="heartbeat")
            group.create_task(self._heartbeat.watchdog(), name="watchdog")
            group.create_task(self._learnt.keep(self.config.gateway.checkpoint_every), name="checkpoints")
            group.create_task(self._answer_requests(), name="requests")
            group.create_task(self._miss(), name="silent devices")
            group.create_task(self._clock.watch(), name="clock")
            if self._metrics is not None:
                group.create_task(self._metrics.run(), name="metrics")
            if self.config.outbox.preallocate:
                group.create_task(self._take_room(), name="room on the disk")

    async def _close(self) -> None:
        if self._updater is not None:
            self._updater.stopped()
        await self._learnt.save()
        await self._heartbeat.farewell()
        await self._telemetry.connection.close()
        if self._uplink is not None:
            await self._uplink.connection.close()
        self._database.close()
        self._outbox.close()
        if self._trace:
            self._trace.close()
        self._lock.release()

    # --------------------------------------------------------- the way of a reading

    async def _read(self) -> None:
        async for batch in self._telemetry:
            async with self._learnt.changing():
                outcome = self._stages.process(batch)
                outdated = self._outbox.keys_kept and self._telemetry.passed > REMEMBERED // 2
                if outcome.durable:
                    await self._commit(outcome.effects(batch)._replace(passed=self._telemetry.passed))
                elif outdated:
                    await self._commit(Effects(passed=self._telemetry.passed))
            if self._trace:
                self._trace.write(outcome.lines)
            batch.acknowledge()
            if outcome.durable or outdated:
                self._telemetry.committed()
            self._count(batch, outcome)
            if self._overheard is not None:
                self._overheard.add(batch.messages)
            if outcome.alerts:
                self._wake()

    async def _miss(self) -> None:
        """Alert devices that have fallen silent, as long as others can be heard."""
        while True:
            await asyncio.sleep(MISSED_EVERY)
            if self._replaced != self._outbox.replaced:
                # Somebody else than a commit found the database damaged: on a quiet gateway the next may be far.
                async with self._learnt.changing():
                    await self._commit(Effects())
            if self._heartbeat.ingest() != "receiving":
                continue
            async with self._learnt.changing():
                outcome = self._stages.miss(self._clock.now(), int(self._clock.quality()))
                if outcome.durable:
                    await self._commit(Effects(outcome.alerts, outcome.states))
            self.tally.suppressed += outcome.suppressed
            self.tally.alerts += sum(alert.revision == 1 for alert in outcome.alerts)
            if outcome.alerts:
                self._wake()

    async def _commit(self, effects: Effects) -> None:
        """Make it durable, however long that takes: what is not durable is not acknowledged."""
        delay = COMMIT_RETRY_FIRST
        while True:
            try:
                await self._database(self._outbox.commit, effects, self._clock.now())
            except OutboxError as error:
                if self._database_problem is None:
                    logger.error("%s", error)
                self._database_problem = str(error)
                await asyncio.sleep(delay)
                delay = min(2 * delay, COMMIT_RETRY_LONGEST)
            else:
                self._database_problem = None
                if self._replaced == self._outbox.replaced:
                    return
                # A damaged database was replaced by an empty one: what is open must be known there, too.
                self._replaced = self._outbox.replaced
                effects = self._learnt.everything()

    async def _take_room(self) -> None:
        """Take the room for the outbox on the disk, little by little, and look after what is kept in reserve."""
        disk = self._outbox.disk
        await self._database(disk.prepare)
        while True:
            try:
                ready = await self._database(disk.step)
                if ready:
                    await self._database(disk.maintain)
            except OutboxError as error:
                logger.warning("%s", error)
                ready = True
            await asyncio.sleep(ROOM_EVERY if ready else ROOM_PAUSE)

    def _count(self, batch: Batch, outcome: Outcome) -> None:
        tally = self.tally
        tally.received += len(batch.received)
        tally.acknowledged += len(batch.received)
        tally.duplicates += len(batch.duplicates)
        tally.scored += outcome.scored
        tally.retained += outcome.retained
        tally.suppressed += outcome.suppressed
        tally.dead(dead.reason for dead in outcome.dead)
        tally.alerts += sum(alert.revision == 1 for alert in outcome.alerts)
        full = next((dead.detail for dead in outcome.dead if dead.reason == "device_limit"), None)
        if full and self._device_limit is None:
            logger.warning("%s", full)
        self._device_limit = full or self._device_limit

    # ------------------------------------------------------------ the way of a model

    async def use(self, profile: str, model: Model | None) -> None:
        """Run a model from the next batch on: batches are processed whole, and this takes its turn between two."""
        outcome = Outcome()
        async with self._learnt.changing():
            outcome.add(profile, self._learnt.watches[profile].use(model.detector if model else None))
            if outcome.durable:
                await self._commit(Effects(outcome.alerts, outcome.states))
        self._wake()

    def changed(self) -> None:
        """What the status says about models has changed."""
        self._heartbeat.soon()

    def recent(self, profile: str) -> ReadingBatch | None:
        """Copies of the newest readings of a profile."""
        recent = self._learnt.watches[profile].recent
        return None if recent is None else recent.readings()

    async def _watch_key_ring(self, updater: Updater) -> None:
        while self._key_ring is not None:
            await asyncio.sleep(KEY_RING_EVERY)
            if self._key_ring.changed():
                updater.trust(self._key_ring.keys)

    async def report(self, activations: Sequence[Activation]) -> None:
        """Hand activations to the outbox; durable when this returns."""
        quality = int(self._clock.quality())
        report = Report(self._clock.now(), activations=tuple(activations), time_quality=quality)
        await self._commit(Effects(reports=[report]))
        self._wake()

    async def _sample(self) -> None:
        """Send what the reservoirs hold, as far as the budget goes."""
        budget = Budget(self.config.samples.bytes_per_day, self._clock.uptime())
        turn = deque(self._learnt.watches.items())
        while True:
            await asyncio.sleep(self.config.samples.every)
            packed = [
                pack_both(name, watch.profile.channel_names, watch.reservoir, self._clock.now(), budget.row_bytes)
                for name, watch in turn
                if watch.reservoir is not None
            ]
            turn.rotate()  # whoever is first now is last the next time
            if chosen := budget.choose(packed, self._clock.uptime()):
                quality = int(self._clock.quality())
                marked = [msgspec.structs.replace(batch, time_quality=quality) for batch in chosen]
                await self._commit(Effects(samples=marked))
                self._wake()

    # ------------------------------------------------- what the other parts ask of us

    def _problems(self) -> list[str]:
        found = [problem for problem in (self._database_problem, self._device_limit) if problem]
        if (problem := self._clock.problem()) is not None:
            found.append(problem)
        found += restrictions.in_words(self._restricted())
        if self._updater is not None and self._updater.problem is not None:
            found.append(self._updater.problem)
        if self._key_ring is not None and self._key_ring.problem is not None:
            found.append(self._key_ring.problem)
        if self._metrics is not None and self._metrics.problem is not None:
            found.append(self._metrics.problem)
        if self._trace and self._trace.full:
            found.append(f"{self._trace.path} is full: the trace has stopped")
        return found

    def _restricted(self) -> list[Restricted]:
        now, uptime = self._clock.now(), self._clock.uptime()
        return [*self._stages.quarantine.listed(now, uptime), *self._stages.rate_limited.listed(uptime)]

    def _wake(self) -> None:
        self._local.wake()
        if self._uplink:
            self._uplink.wake()

    def _devices_connected(self) -> None:
        self._local.connected()
        quiet = self._telemetry.quiet_for()
        # The broker has kept no more than our session; an age from before our clock was set may be anything.
        known = quiet if quiet is not None else self._learnt.age or 0.0
        absence = min(known, float(self.config.devices.session_expiry))
        self._stages.resume_listening(absence, self._clock.uptime())
        self._heartbeat.soon()

    def _remember_filters(self, filters: Sequence[str]) -> None:
        async def remember() -> None:
            try:
                await self._database(self._outbox.set_filters, list(filters))
            except OutboxError as error:
                logger.error("%s; a filter that is removed from the configuration would go on being delivered", error)

        self._filters_to_remember = asyncio.get_running_loop().create_task(remember(), name="filters")

    # ------------------------------------------------------ what other processes ask of us

    async def _answer_requests(self) -> None:
        seen = -1
        while True:
            await asyncio.sleep(ASKED_EVERY)
            try:
                changed = await self._database(self._outbox.database.changed_elsewhere)
                if changed != seen:
                    await self._answer_all()
                    seen = changed
            except OutboxError as error:
                logger.error("%s", error)  # asked again the next time

    async def _answer_all(self) -> None:
        for request in await self._database(self._requests.waiting):
            await self._database(self._requests.answer, request.id, await self._answer(request))
        self._wake()

    async def _answer(self, request: Request) -> str:
        match request.verb:
            case "forget":
                return await self._forget(request.argument)
            case "rollback":
                return answer.to_text(await self._roll_back(*answer.asked(request.argument)))
            case "restricted":
                return msgspec.json.encode(self._restricted()).decode()
            case "release":
                return self._release(request.argument)
            case "examine":
                return await self._examine(request.argument)
            case _:
                return f"unknown request {request.verb!r}"

    async def _examine(self, seconds: str) -> str:
        """Look at our own connections and at what arrives, for `vedette-agent doctor`."""
        from vedette_agent.doctor.inside import examine
        from vedette_agent.doctor.overheard import Overheard

        self._overheard = heard = Overheard(self._telemetry.filters)
        hub, receipt = (self._uplink.connection, self._uplink.last_receipt) if self._uplink else (None, None)
        try:
            return await examine(self.config, self._telemetry.connection, hub, heard, seconds, receipt)
        finally:
            self._overheard = None

    async def _roll_back(self, profile: str, leaving: str) -> answer.Answer:
        if self._updater is None:
            return answer.Answer(False, "there is no [models] key_ring: no models from the hub are run")
        return await self._updater.rollback(profile, leaving)

    def _release(self, device: str) -> str:
        """Listen to a device again, whatever it has sent."""
        if not self._stages.quarantine.release(device):
            return f"device {device!r} is not in quarantine"
        self._heartbeat.soon()
        return f"device {device!r} is listened to again"

    async def _forget(self, device: str) -> str:
        """Free a device's rows and clear its alerts."""
        outcome, found = Outcome(), []
        async with self._learnt.changing():
            for name, watch in self._learnt.watches.items():
                row = watch.table.find(device)
                decided = watch.forget(device, self._clock.now())
                if row is not None and decided is not None:
                    self._stages.forget(name, row)
                    outcome.add(name, decided)
                    found.append(name)
            if found:
                await self._commit(Effects(outcome.alerts, outcome.states))
        released = self._stages.quarantine.release(device)
        if not found:
            return f"device {device!r} is not known" + (", it is out of quarantine" if released else "")
        self._device_limit = None
        await self._learnt.save()
        return f"forgot device {device!r} (profile {', '.join(found)}), {len(outcome.alerts)} open alerts cleared"
