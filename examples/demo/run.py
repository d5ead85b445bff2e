"""Demo: the only place where its parts meet."""

from __future__ import annotations

import fcntl
import json
import secrets
import shutil
import signal
import subprocess
import sys
import time
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from examples.demo import broker as brokers
from examples.demo import configuration, hub_alerts
from examples.demo.accounting import Fates, Result
from examples.demo.children import Child, ChildError, free_port, listens
from examples.demo.devices import DAY, INTERVAL
from examples.demo.findings import judge
from examples.demo.hub_alerts import HubAlert
from examples.demo.hub_api import HubApi, HubError
from examples.demo.learning import Learning
from examples.demo.plant import Plant
from examples.demo.publisher import READINGS_PER_SECOND, Publisher
from examples.demo.view import USER, Snapshot, announce, open_view
from vedette_agent import status
from vedette_models.messages import MessageError, Status

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LOOK_EVERY = 0.5
START_SECONDS = 30.0
DRAIN_SECONDS = 180.0
LAST_SAMPLES_SECONDS = 5 * configuration.SAMPLE_EVERY
"""After the last reading: samples that were to come have come by then."""
TRAINING_PACE = 1 / 3
"""Of the plant while a model is on its way: what is trained from one day should not come into force days later."""
LEARNING_PROFILE = "pump"
"""The device type that gets a model."""
LONGEST_PAST = 14 * DAY
"""A demo without end begins so long ago."""
BACKLOG = 3_000
"""Readings published but not scored at which the plant holds on."""

PAST = "fast motion: a reading of each device every 5 simulated minutes"
TRAINING = "slower motion while the hub trains: the plant should not age by days meanwhile"
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
        hub_toml = configuration.write_hub(self._folder, broker, web_port)
        self._agent_toml = configuration.write_agent(self._folder, broker)
        _enroll(self._folder, hub_toml)
        password_file = _add_user(self._folder, hub_toml)
        hub = Child("the hub", _program("vedette-hub", "serve", "--config", hub_toml), self._folder / "hub.log")
        stack.callback(hub.stop)
        self._hub = HubApi(f"http://127.0.0.1:{web_port}", self._folder / "hub" / "api-token")
        hub.wait_until(lambda: listens(web_port) and self._hub_answers(), "answers", START_SECONDS)
        self._learning = Learning(self._hub, LEARNING_PROFILE)
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
            password_file=str(password_file),
            broker=broker.name,
            devices=self._plant.size,
        )

    def _hub_answers(self) -> bool:
        try:
            hub_alerts.newest(self._hub, 1)
        except HubError:
            return False
        return True

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
            self._look(self._phase(), remaining)
            time.sleep(LOOK_EVERY)

    def _phase(self) -> str:
        """What the demo is doing; the plant's pace follows from it."""
        training = self._learning.stage in ("training", "pushed")
        self._publisher.pace = TRAINING_PACE if training else 1.0
        return NOW if self._publisher.caught_up else TRAINING if training else PAST

    def _drain(self) -> bool:
        """Wait until everything published is accounted for, every alert has reached the hub, and the model runs."""
        deadline = time.monotonic() + DRAIN_SECONDS
        impatient = self._stops + 1
        # whoever stops it before the first samples have come does not want to wait for a model
        to_the_end = self._learning.stage != "sampling" or not self._stops
        self._publisher.stop(patience=DRAIN_SECONDS)
        silent_since = time.monotonic()
        while time.monotonic() < deadline and self._stops < impatient:
            last = to_the_end and time.monotonic() > silent_since + LAST_SAMPLES_SECONDS
            self._look(END, deadline - time.monotonic(), last_samples=last)
            learnt = self._learning.over or not to_the_end
            if learnt and not self._publisher.unacknowledged and not self._fates.missing(self._publisher.published):
                agent = self._agent_status()
                if agent is not None and agent.outbox_rows == 0 and self._raised() == self._stored_ids():
                    return True
            time.sleep(LOOK_EVERY)
        return False

    def _look(self, phase: str, remaining: float | None, *, last_samples: bool = False) -> None:
        """Ask everybody, and show it; `last_samples`: no more will come."""
        for child in self._children:
            child.check()
        if self._publisher.error is not None:
            raise self._publisher.error
        self._fates.follow()
        backlog = self._publisher.count - self._fates.count
        (self._publisher.go.clear if backlog > BACKLOG else self._publisher.go.set)()
        agent = self._agent_status()
        number = self._publisher.number
        simulated = self._plant.time_of(number)
        hub_problem = self._ask_hub(simulated, agent, last_samples=last_samples)
        alerts = list(self._alerts.values())
        findings, others = judge(self._plant, number, alerts)
        self._now = replace(
            self._now,
            phase=phase,
            remaining=remaining,
            simulated=simulated,
            days=number * INTERVAL / DAY,
            published=self._publisher.count,
            scored=self._fates.count,
            # the agent tells once a second: what the hub has was certainly raised
            alerts_raised=max(agent.counters.alerts if agent else 0, self._stored),
            alerts_stored=self._stored,
            outbox_rows=agent.outbox_rows if agent else 0,
            hub=f"hub {agent.hub}" if agent else "",
            problems=(*(agent.problems if agent else ()), *hub_problem),
            model=self._learning.sentence(alerts, self._plant.start, simulated),
            milestones=tuple(self._learning.said),
            findings=findings,
            other_alerts=others,
            alerts=sorted(alerts, key=lambda alert: -alert.opened)[:50],
        )
        self._view.show(self._now)

    def _ask_hub(self, simulated: float, agent: Status | None, *, last_samples: bool) -> tuple[str, ...]:
        """The newest alerts (everything when there are more new ones than that), and the model's next step.

        Returns why that was not possible, if it was not.
        """
        try:
            page = hub_alerts.newest(self._hub, 50)
            known = len(self._alerts)
            self._alerts.update((alert.id, alert) for alert in page.alerts)
            if len(self._alerts) < page.total and len(self._alerts) > known:
                self._alerts.update((alert.id, alert) for alert in hub_alerts.every(self._hub))
            self._stored = page.total
            self._learning.look(simulated, agent, last=last_samples)
        except HubError as error:
            return (str(error),)
        return ()

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
            self._alerts.update((alert.id, alert) for alert in hub_alerts.every(self._hub))
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
            versions_trained=int(self._learning.version is not None),
            swaps=int(self._learning.swapped_at is not None),
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
        if (not self._learning.over and self._seconds is not None) or self._learning.stage == "failed":
            problems.append(f"no model was swapped in: {self._now.model}")
        if (code := self._agent.stop()) != 0:
            problems.append(f"the agent ended with code {code}; {self._agent.last_words()}")
        if not complete and not problems:
            problems.append("not everything had arrived in time")
        self._view.close()
        if self._learning.stage == "running":
            announce(f"model {self._now.model}")
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


def _enroll(folder: Path, hub_toml: Path) -> None:
    """Make the gateway known to the hub, which writes the key ring that the agent takes models by.

    Raises:
        ChildError: it could not be enrolled.
    """
    enrolled = folder / configuration.ENROLLED
    command = _program("vedette-hub", "enroll", configuration.GATEWAY, "--out", enrolled, "--config", hub_toml)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ChildError(f"the gateway could not be enrolled: {done.stderr.strip()}")


def _add_user(folder: Path, hub_toml: Path) -> Path:
    """Add the user who looks at the console, and say where the password is.

    Raises:
        ChildError: the user could not be added.
    """
    password, path = secrets.token_urlsafe(12), folder / "console-password"
    path.touch(mode=0o600)
    path.write_text(password + "\n")
    command = _program("vedette-hub", "user", "add", USER, "--role", "admin", "--config", hub_toml)
    done = subprocess.run(command, input=password, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ChildError(f"the console's user could not be added: {done.stderr.strip()}")
    return path


def _program(name: str, *arguments: object) -> list[str]:
    """A program of ours, run by this Python."""
    module = {"vedette-agent": "vedette_agent", "vedette-hub": "vedette_hub"}[name]
    return [sys.executable, "-c", f"from {module}.cli import main; main()", *map(str, arguments)]
