"""Demo: the only place where its parts meet."""

from __future__ import annotations

import fcntl
import json
import shutil
import signal
import subprocess
import sys
import time
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from examples.demo import broker as brokers
from examples.demo import configuration
from examples.demo.accounting import Fates, Result
from examples.demo.children import Child, ChildError, free_port, listens
from examples.demo.devices import DAY, INTERVAL
from examples.demo.findings import judge
from examples.demo.hub_alerts import Hub, HubAlert, HubError
from examples.demo.plant import Plant
from examples.demo.publisher import READINGS_PER_SECOND, Publisher
from examples.demo.view import Snapshot, announce, open_view
from vedette_agent import status
from vedette_models.messages import MessageError, Status

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LOOK_EVERY = 0.5
START_SECONDS = 30.0
DRAIN_SECONDS = 60.0
LONGEST_PAST = 14 * DAY
"""A demo without end begins so long ago."""
BACKLOG = 3_000
"""Readings published but not scored at which the plant holds on."""

PAST = "fast motion: a reading of each device every 5 simulated minutes"
NOW = "the plant's clock has reached yours: a reading of each device every 5 minutes"
END = "the devices are silent; waiting until everything has arrived"


class Demo:
    """A plant, a broker, an agent and a hub. `seconds`: publish so long; None: until told to stop."""

    def __init__(self, folder: Path, seconds: float | None, broker: str = "") -> None:
        self._folder, self._seconds, self._wanted_broker = folder, seconds, broker
        self._stops = 0
        self._alerts: dict[str, HubAlert] = {}
        self._stored = 0

    def run(self) -> int:
        """Run it; returns the exit code.

        Raises:
            ChildError: something did not start, or has ended on its own.
        """
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._stop)
        with ExitStack() as stack:
            stack.enter_context(_emptied(self._folder))
            self._start(stack)
            self._view = stack.enter_context(closing(open_view()))
            self._publish()
            complete = self._drain()
            return self._conclude(complete)

    def _stop(self, *_: Any) -> None:
        self._stops += 1

    # ------------------------------------------------------------------- start

    def _start(self, stack: ExitStack) -> None:
        """Broker, hub, agent and plant, each when the one before is ready."""
        announce(f"starting a broker, the hub and the agent; what they write is in {self._folder}")
        broker = brokers.start(self._folder / "broker", self._wanted_broker)
        stack.callback(broker.child.stop)
        web_port = free_port()
        self._agent_toml, hub_toml = configuration.write(self._folder, broker, web_port)
        hub = Child("the hub", _program("vedette-hub", "serve", "--config", hub_toml), self._folder / "hub.log")
        stack.callback(hub.stop)
        self._hub = Hub(f"http://127.0.0.1:{web_port}", self._folder / "hub" / "api-token")
        hub.wait_until(lambda: listens(web_port) and self._hub.ready(), "answers", START_SECONDS)
        trace = self._folder / "trace.jsonl"
        self._agent = agent = Child(
            "the agent",
            _program("vedette-agent", "run", "--config", self._agent_toml, "--trace", trace),
            self._folder / "agent.log",
        )
        stack.callback(agent.stop)
        agent.wait_until(self._agent_listens, "is connected", START_SECONDS)
        self._children = (broker.child, hub, agent)
        self._fates = Fates(trace)
        span = LONGEST_PAST if self._seconds is None else self._seconds * READINGS_PER_SECOND * INTERVAL
        # from midnight on: what happens does not depend on the time of day at which the demo is started
        self._plant = Plant((time.time() - min(span, LONGEST_PAST)) // DAY * DAY)
        self._publisher = Publisher(self._plant, broker.port)
        stack.callback(self._publisher.close)
        self._now = Snapshot(
            phase="starting",
            console_url=self._hub.url,
            token_file=str(self._hub.token_file),
            broker=broker.name,
            devices=self._plant.size,
        )

    def _agent_status(self) -> Status | None:
        try:
            return status.read(self._folder / "agent")
        except (OSError, MessageError):
            return None

    def _agent_listens(self) -> bool:
        now = self._agent_status()
        return now is not None and now.ingest in ("waiting", "receiving") and now.hub == "connected"

    # --------------------------------------------------------------------- run

    def _publish(self) -> None:
        """Publish until told to stop, or until the time is over."""
        self._publisher.start()
        deadline = None if self._seconds is None else time.monotonic() + self._seconds
        while not self._stops and (deadline is None or time.monotonic() < deadline):
            remaining = None if deadline is None else max(0.0, deadline - time.monotonic())
            self._look(NOW if self._publisher.caught_up else PAST, remaining)
            time.sleep(LOOK_EVERY)

    def _drain(self) -> bool:
        """Wait until everything published is accounted for and every alert has reached the hub."""
        deadline = time.monotonic() + DRAIN_SECONDS
        impatient = self._stops + 1
        self._publisher.stop(patience=DRAIN_SECONDS)
        while time.monotonic() < deadline and self._stops < impatient:
            self._look(END, deadline - time.monotonic())
            if not self._publisher.unacknowledged and not self._fates.missing(self._publisher.published):
                agent = self._agent_status()
                if agent is not None and agent.outbox_rows == 0 and self._raised() == self._stored_ids():
                    return True
            time.sleep(LOOK_EVERY)
        return False

    def _look(self, phase: str, remaining: float | None) -> None:
        """Ask everybody, and show it."""
        for child in self._children:
            child.check()
        if self._publisher.error is not None:
            raise self._publisher.error
        self._fates.follow()
        backlog = self._publisher.count - self._fates.count
        (self._publisher.go.clear if backlog > BACKLOG else self._publisher.go.set)()
        self._ask_hub()
        agent = self._agent_status()
        number = self._publisher.number
        findings, others = judge(self._plant, number, list(self._alerts.values()))
        self._now = replace(
            self._now,
            phase=phase,
            remaining=remaining,
            simulated=self._plant.time_of(number),
            days=number * INTERVAL / DAY,
            published=self._publisher.count,
            scored=self._fates.count,
            # the agent tells once a second: what the hub has was certainly raised
            alerts_raised=max(agent.counters.alerts if agent else 0, self._stored),
            alerts_stored=self._stored,
            outbox_rows=agent.outbox_rows if agent else 0,
            hub=f"hub {agent.hub}" if agent else "",
            problems=agent.problems if agent else (),
            findings=findings,
            other_alerts=others,
            alerts=sorted(self._alerts.values(), key=lambda alert: -alert.opened)[:50],
        )
        self._view.show(self._now)

    def _ask_hub(self) -> None:
        """The newest alerts; everything when there are more new ones than that."""
        try:
            page = self._hub.newest(50)
            known = len(self._alerts)
            self._alerts.update((alert.id, alert) for alert in page.alerts)
            if len(self._alerts) < page.total and len(self._alerts) > known:
                self._alerts.update((alert.id, alert) for alert in self._hub.all())
            self._stored = page.total
        except HubError as error:
            self._now = replace(self._now, problems=(str(error),))

    # --------------------------------------------------------------------- end

    def _raised(self) -> set[str] | None:
        """Ids of all alerts that the agent has raised, from its own memory; None: it did not say."""
        asked = subprocess.run(
            _program("vedette-agent", "outbox", "--json", "--limit", "1000000", "--config", self._agent_toml),
            capture_output=True,
            text=True,
            check=False,
        )
        if asked.returncode != 0:
            return None
        return {alert["id"] for alert in json.loads(asked.stdout)["history"]}

    def _stored_ids(self) -> set[str]:
        try:
            self._alerts.update((alert.id, alert) for alert in self._hub.all())
        except HubError:
            return set()
        return set(self._alerts)

    def _conclude(self, complete: bool) -> int:
        """Print the last line; returns the exit code."""
        self._fates.follow()
        raised, stored = self._raised(), self._stored_ids()
        findings, _ = judge(self._plant, self._publisher.number, list(self._alerts.values()))
        missing = self._fates.missing(self._publisher.published)
        result = Result(
            published=sum(len(sequences) for sequences in self._publisher.published.values()),
            scored=self._fates.count,
            alerts_raised=len(raised or ()),
            alerts_stored=len(stored),
            lost=len(missing),
            faults_injected=len(findings),
            faults_found=sum(finding.outcome == "found" for finding in findings),
        )
        problems = [f"reading {sequence} of {device} is not accounted for" for device, sequence in missing[:5]]
        problems += [
            f"reading {sequence} of {device} was scored twice" for device, sequence in self._fates.scored_twice[:5]
        ]
        if raised != stored:
            both = len(stored & (raised or set()))
            problems.append(f"the agent raised {len(raised or ())} alerts, the hub has {len(stored)}, in common {both}")
        if not stored and self._seconds is not None:
            problems.append("no alert reached the hub")
        if (code := self._agent.stop()) != 0:
            problems.append(f"the agent ended with code {code}; {self._agent.last_words()}")
        if not complete and not problems:
            problems.append("not everything had arrived in time")
        self._view.close()
        for problem in problems:
            print(f"demo: {problem}", file=sys.stderr, flush=True)
        announce(f"demo: {result.as_json()}")
        return 1 if problems else 0


@contextmanager
def _emptied(folder: Path) -> Iterator[None]:
    """The demo's folder, empty and ours alone.

    Raises:
        ChildError: another demo uses it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = folder / "lock"
    with lock.open("w") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ChildError(f"another demo runs in {folder}: end it, or set DEMO_FOLDER to another folder") from None
        for old in folder.iterdir():
            if old.is_dir():
                shutil.rmtree(old)
            elif old != lock:
                old.unlink()
        yield


def _program(name: str, *arguments: object) -> list[str]:
    """A program of ours, run by this Python."""
    module = {"vedette-agent": "vedette_agent", "vedette-hub": "vedette_hub"}[name]
    return [sys.executable, "-c", f"from {module}.cli import main; main()", *map(str, arguments)]
