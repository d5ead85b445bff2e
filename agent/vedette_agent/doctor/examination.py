"""Examination: every check, in an order in which one explains the next, and all of it in less than half a minute."""

from __future__ import annotations

import threading
import time
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from vedette_agent.clock import SYSTEM
from vedette_agent.delivery.database import FILE
from vedette_agent.doctor import (
    access,
    clock,
    database,
    disk,
    dns,
    login,
    models,
    presence,
    running_agent,
    samples,
    service,
    tcp,
    tls,
)
from vedette_agent.doctor.bounded import Until, bounded
from vedette_agent.doctor.finding import Finding
from vedette_agent.doctor.overheard import Overheard
from vedette_models import topics

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from vedette_agent.config import Broker, Config
    from vedette_agent.doctor.access import Side
    from vedette_agent.doctor.outside import Visit
    from vedette_agent.mqtt.message import Message

BUDGET = 27.0
"""Seconds for everything; what has not answered then is said to be late."""
NETWORK = 4.0
"""Seconds for each of DNS, TCP and TLS."""
LOGIN = 5.0
LOCAL = 5.0
"""Seconds for each look at this machine."""
LATEST_LISTEN = 10.0


class Wishes(NamedTuple):
    """What the operator asked for."""

    listen: float = 5.0
    """Seconds to wait for messages of devices, at most `LATEST_LISTEN`."""
    log_in: bool = False
    """Log in as the agent also where that may cost messages that wait for it."""
    unit: str = service.UNIT


def examine(config: Config, wishes: Wishes) -> list[Finding]:
    """All findings. The brokers and this machine are looked at side by side."""
    until = Until.after(BUDGET)
    one = _Examination(config, wishes, until)
    before = one.configuration()
    chains = [_Chain("agent", one.agent)]
    brokers = [("devices", config.devices), *([("hub", config.hub)] if config.hub is not None else [])]
    chains += [_Chain(subject, partial(one.broker, subject, broker)) for subject, broker in brokers]
    chains.append(_Chain("machine", one.machine))
    for chain in chains:
        chain.start()
    found = [finding for chain in chains for finding in chain.findings(until)]
    return [*before, *found, *one.unit()]


class _Examination:
    """The state that checks share: each sets what those behind it wait for."""

    def __init__(self, config: Config, wishes: Wishes, until: Until) -> None:
        self.config, self.wishes, self.until = config, wishes, until
        self.listen = min(max(0.0, wishes.listen), LATEST_LISTEN)
        self.seen = presence.look(config)
        self.checked = database.Checked(exists=False)
        self.told = running_agent.Told(None)
        self.addresses: dict[str, tuple[str, ...]] = {}
        self._database_known, self._agent_answered = threading.Event(), threading.Event()

    def configuration(self) -> list[Finding]:
        """What was understood, and what loading it warned of."""
        source = self.config.source
        fix = f"Do what it says, then look again: vedette-agent config check --config {source}"
        warnings = [Finding("configuration", "", "warning", f"{warning}.", fix) for warning in self.config.warnings]
        return warnings or [Finding("configuration", "", "ok", f"{source} can be used.")]

    def agent(self) -> Iterator[Finding]:
        """Whether it runs; if so, it is asked to look at its brokers."""
        try:
            yield from presence.judge(self.config, self.seen, time.time())
            if self.seen.running:
                self.told = running_agent.ask(self.config, self.listen, self.until.sooner(self.listen + 10.0))
                yield from running_agent.judge(self.told)
        finally:
            self._agent_answered.set()

    def broker(self, subject: str, broker: Broker) -> Iterator[Finding]:
        """DNS, TCP, TLS, login, access, and at the devices' broker a sample of each stream."""
        resolved = dns.look(broker.host, broker.port, NETWORK)
        self.addresses[subject] = resolved.addresses
        yield dns.judge(subject, broker.host, resolved)
        if not resolved.addresses:
            yield from self._not_reached(subject, "tcp")
            return
        reached = tcp.look(resolved.addresses, broker.port, NETWORK)
        yield tcp.judge(subject, broker.host, broker.port, reached)
        if not reached.address:
            yield from self._not_reached(subject, "tls" if broker.tls else "login")
            return
        if broker.tls:
            encrypted = bounded(lambda: tls.look(broker, NETWORK), 3 * NETWORK)
            found = tls.judge(subject, broker, encrypted, time.time())
            yield from found
            if found[0].outcome == "failed":
                yield from self._not_reached(subject, "login")
                return
        if self.seen.running:
            yield from self._ask(subject, broker)
        elif (why := self._why_not_log_in(subject, broker)) is not None:
            yield Finding("login", subject, "not tested", *why)
            yield from self._not_reached(subject, "acl")
        else:
            yield from self._log_in(subject, broker)

    def _not_reached(self, subject: str, first: str) -> Iterator[Finding]:
        """What cannot be looked at, since what comes before it is not well."""
        names = ("tcp", "tls", "login", "acl")
        broker = self.config.devices if subject == "devices" else self.config.hub
        rest = [name for name in names[names.index(first) :] if name != "tls" or (broker is not None and broker.tls)]
        if subject == "devices":
            rest.append("samples")
        yield Finding(
            ", ".join(rest),
            subject,
            "not tested",
            "what comes before has to be put right first.",
            "See the line above.",
        )

    # -------------------------------------------------------- while the agent runs

    def _ask(self, subject: str, broker: Broker) -> Iterator[Finding]:
        self._agent_answered.wait(self.until.left())
        told = self.told.examined
        side = None if told is None else told.devices if subject == "devices" else told.hub
        if told is None or side is None:
            said = "the agent holds this broker's user, and a second connection could evict it."
            yield Finding("login, acl", subject, "not tested", said, "See what is said of the agent above.")
            return
        if not side.connected:
            yield Finding(
                "login", subject, "failed", f"the agent is not connected: {side.problem}.", _connection_fix(side)
            )
            yield from self._not_reached(subject, "acl")
            return
        who = f"user {broker.username}" if broker.username else "without a user"
        yield Finding("login", subject, "ok", f"the running agent is connected, {who}, client {broker.client_id}.")
        if subject == "hub":
            yield from access.judge(self.config, subject, broker, side, proven=told.last_receipt is not None)
            return
        yield from access.judge(self.config, subject, broker, side, proven=any(s.messages for s in told.samples))
        for sample in told.samples:
            yield samples.judge(sample, told.listened, broker.username or broker.client_id)

    # ------------------------------------------------------- while it does not run

    def _why_not_log_in(self, subject: str, broker: Broker) -> tuple[str, str] | None:
        """What is seen, and the fix."""
        root = "Run this as root: sudo vedette-agent doctor"
        if self.seen.running is None:
            return "an agent may be connected with this user, and a second connection could evict it.", root
        if broker.password_credential is not None and broker.password is None:
            name = broker.password_credential
            run = (
                f"Start the agent and ask again, or: systemd-run --pty --property=LoadCredential={name}:FILE "
                f"vedette-agent doctor --config {self.config.source}"
            )
            return f"the password is the credential {name}, which systemd hands to the service only.", run
        self._database_known.wait(self.until.left())
        if self.checked.subscribed and subject == "devices" and not self.wishes.log_in:
            return (
                "the broker may keep messages for the agent, and those of QoS 0 among them would be lost here.",
                "Start the agent (systemctl start vedette-agent) and ask again, or take that into account: --log-in",
            )
        return None

    def _log_in(self, subject: str, broker: Broker) -> Iterator[Finding]:
        from vedette_agent.doctor import outside  # paho costs a running agent memory that it does not need

        heard = Overheard([stream.pattern.filter for stream in self.config.streams] if subject == "devices" else [])
        received: list[Message] = []

        def hear(message: Message) -> None:
            heard.add([message])
            if topics.is_own(message.topic) and len(received) < 100:
                received.append(message)

        visit = outside.Visit(broker, hear)
        answered = visit.enter(self.until.sooner(LOGIN))
        yield login.judge(subject, broker, answered)
        if answered.code != 0:
            yield from self._not_reached(subject, "acl")
            return
        started = SYSTEM.uptime()
        reads = access.reads(self.config, subject)
        try:
            side = visit.side(reads, access.writes(self.config, subject), self.until)
            if subject == "hub":
                yield from self._judge_hub(broker, side, received, visit)
                return
            echo = access.echo_topic(self.config)
            visit.listen(self.until.sooner(self.listen), lambda: heard.some and any(m.topic == echo for m in received))
        finally:
            visit.leave(reads[-1:] if subject == "hub" else ())
        if not answered.session:  # else what waits there, and must not be acknowledged, stands before it
            side = access.echoed(side, came_back=any(message.topic == echo for message in received))
        found = samples.summarise(self.config, heard.by_filter, time.time())
        yield from access.judge(self.config, subject, broker, side, proven=any(s.messages for s in found))
        for sample in found:
            yield samples.judge(sample, max(1.0, SYSTEM.uptime() - started), broker.username or broker.client_id)

    def _judge_hub(self, broker: Broker, side: Side, received: list[Message], visit: Visit) -> Iterator[Finding]:
        desired = topics.gateway_down(self.config.gateway.id, "desired")
        visit.listen(self.until.sooner(1.0), lambda: bool(received))
        yield from access.judge(self.config, "hub", broker, side, proven=bool(received))
        order = next((message.payload for message in received if message.topic == desired and message.payload), None)
        seen = models.look(self.config)
        if order is not None and seen.ring is not None and not seen.ring.problem:
            counter = seen.journal.counter if seen.journal is not None else 0
            yield models.judge_order(self.config, order, seen.ring.keys, counter, time.time())

    # ---------------------------------------------------------------- this machine

    def machine(self) -> Iterator[Finding]:
        """Database, clock, disk and models."""
        path = self.config.gateway.state_dir / FILE
        try:
            self.checked = database.look(path, LOCAL)
        finally:
            self._database_known.set()
        said = self.seen.status
        newest = max((self.checked.newest, "what the database holds"), (said.time if said else 0.0, "the last status"))
        yield from clock.judge(clock.look()._replace(newest=newest[0], source=newest[1]))
        folder = self.config.gateway.state_dir
        yield from disk.judge(folder, self.config.outbox, disk.look(folder, LOCAL), runs=bool(self.seen.running))
        yield database.judge(path, self.checked)
        yield from models.judge(self.config, bounded(lambda: models.look(self.config), LOCAL))

    def unit(self) -> list[Finding]:
        """What systemd says, once the brokers' addresses are known."""
        unit = self.wishes.unit
        seen = service.look(unit, min(LOCAL, self.until.left() + 1.0))
        return service.judge(self.config, unit, seen, self.addresses, runs=bool(self.seen.running))


def _connection_fix(side: Side) -> str:
    if "not permitted" in side.problem:
        return "Allow the address in the unit: IPAddressAllow=ADDRESS under [Service], by systemctl edit vedette-agent"
    return "Do what it says, then look again: journalctl -u vedette-agent -n 20"


class _Chain:
    """Checks one after the other in a thread that may be left behind; what it has found so far counts."""

    def __init__(self, name: str, checks: Callable[[], Iterator[Finding]]) -> None:
        self._name, self._checks = name, checks
        self._found: list[Finding] = []
        self._ended = threading.Event()

    def start(self) -> None:
        """Begin."""
        threading.Thread(target=self._run, name=self._name, daemon=True).start()

    def _run(self) -> None:
        try:
            for finding in self._checks():
                self._found.append(finding)
        except TimeoutError:
            said = "this machine's disk, or what is behind it, did not answer in time."
            self._found.append(
                Finding("check", self._name, "failed", said, "Look what keeps it busy: dmesg; iostat -x 5")
            )
        except Exception as error:  # the others go on, and this one says that it did not
            said = f"the check itself failed: {type(error).__name__}: {error}."
            self._found.append(Finding("check", self._name, "failed", said, "Please report this."))
        finally:
            self._ended.set()

    def findings(self, until: Until) -> list[Finding]:
        """What was found until then."""
        if self._ended.wait(until.left()):
            return self._found
        said = f"the rest did not answer within {BUDGET:.0f} s."
        return [*self._found, Finding("check", self._name, "failed", said, "Look what keeps it busy, and try again.")]
