"""Time that is wrong: ours, and that of devices."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from tests.agent.agent_process import configure
from tests.agent.mqtt_ends import Device, device, until
from tests.agent.set_clock import SetClock
from tests.brokers import Mosquitto
from vedette_agent.agent import Agent
from vedette_agent.config import load
from vedette_models.messages import Alert
from vedette_models.readings import Quality

Observe = Callable[[str, object], None]
NOW = 1_790_000_000.0
YEARS = 20 * 365 * 86_400.0
UNSET = Quality.GATEWAY_UNSET


class Running:
    """An agent in this process, by a clock that the test sets, and a device."""

    def __init__(self, agent: Agent, source: Device, clock: SetClock) -> None:
        self.agent, self.source, self.clock = agent, source, clock

    def alerts(self) -> list[Alert]:
        """Newest first."""
        return self.agent._outbox.history(100)

    async def send(self, name: str, value: float, **more: object) -> None:
        """A reading, scored or dead when this returns."""
        tally = self.agent.tally
        before = tally.scored + tally.dead_letters
        payload = json.dumps({"vibration": value, **more})
        await asyncio.to_thread(self.source.publish, f"plant/{name}/telemetry", payload)
        await until(lambda: tally.scored + tally.dead_letters > before, f"{name} {payload}")


@contextlib.asynccontextmanager
async def running(broker: Mosquitto, folder: Path, clock: SetClock) -> AsyncIterator[Running]:
    """An agent with a device, until the end of the block."""
    config = configure(folder, broker.url)
    agent = Agent(load(config, {}), clock=clock)
    work = asyncio.create_task(agent.run())
    try:
        with device(broker.port) as source:
            await until(lambda: agent._telemetry.subscribed or work.done(), "subscribed")
            yield Running(agent, source, clock)
    finally:
        agent.stop()
        await work


@pytest.mark.fault(
    fault="a gateway that wakes up in 1970 and is set right by 56 years while it runs",
    expected="everything is scored, alerts are raised in both times, what was recorded before is marked",
)
async def test_a_gateway_that_wakes_up_in_1970(mosquitto: Mosquitto, tmp_path: Path, record_property: Observe) -> None:
    clock = SetClock(60.0, steered=False)
    async with running(mosquitto, tmp_path / "agent", clock) as here:
        await here.send("pump-1", 99.0)  # impossible, without a time
        await here.send("pump-2", 99.0, ts=NOW)  # impossible, with a clock that is right
        await here.send("pump-3", 2.0, ts=60.0)  # as lost as we are
        await here.send("pump-3", b"not a number".decode())
        before = {alert.device: alert for alert in here.alerts()}
        assert before["pump-1"].time < 1_000.0
        assert before["pump-1"].time_quality & (UNSET | Quality.ARRIVAL_TIME) == UNSET | Quality.ARRIVAL_TIME
        assert before["pump-2"].time == NOW, "a device is believed rather than a clock that is not set"
        assert before["pump-2"].time_quality & UNSET
        [letter] = here.agent._outbox.dead_letters(10)
        assert letter.time_quality & UNSET
        status = await here.agent._heartbeat.status()
        assert status.time_quality & UNSET
        assert any("clock of this machine is not set" in problem for problem in status.problems)

        clock.set(NOW + 3_600.0, steered=True)
        await here.send("pump-4", 99.0)
        await here.send("pump-2", 2.0, ts=NOW + 3_600.0)
        after = {alert.device: alert for alert in here.alerts() if alert.time > NOW + 1_000.0}
        assert after["pump-4"].time_quality == Quality.ARRIVAL_TIME
        assert here.agent.tally.scored == 5
        assert here.agent.tally.dead_by_reason == {"wrong_type": 1}, "no reading is too old, or late"
        status = await here.agent._heartbeat.status()
        assert status.time_quality == 0
        assert not any("clock" in problem for problem in status.problems)
    record_property("observed", "5 scored, 3 alerts, those before marked as of an unset clock")


@pytest.mark.parametrize("by", [YEARS, -YEARS], ids=["forward", "back"])
@pytest.mark.fault(
    fault="the gateway's clock is set by 20 years while devices send their own time and none",
    expected="no reading is lost, no device is silent or late, an open alert goes on and ends",
)
async def test_our_clock_is_set_by_years(
    mosquitto: Mosquitto, tmp_path: Path, by: float, record_property: Observe
) -> None:
    clock = SetClock(NOW)
    async with running(mosquitto, tmp_path / "agent", clock) as here:
        await here.send("pump-1", 99.0)
        for _ in range(3):
            await here.send("pump-2", 2.0)
        clock.set(NOW + by)
        for _ in range(5):
            await here.send("pump-1", 2.0)
            await here.send("pump-2", 2.0)
        assert here.agent.tally.scored == 14
        assert here.agent.tally.dead_letters == 0
        raised = [alert for alert in here.alerts() if alert.revision == 1]
        assert [alert.kind for alert in raised] == ["impossible"]
        newest = here.alerts()[0]
        assert (newest.device, newest.state) == ("pump-1", "cleared")
        assert newest.time == pytest.approx(NOW + by, abs=60.0)
    record_property("observed", "14 of 14 scored, the alert has ended")


@pytest.mark.fault(
    fault="a device whose clock runs away into the far future, among others",
    expected="its readings are scored at their arrival and marked; the others, and it itself later, are not late",
)
async def test_a_device_whose_clock_runs_away(mosquitto: Mosquitto, tmp_path: Path, record_property: Observe) -> None:
    clock = SetClock(NOW)
    async with running(mosquitto, tmp_path / "agent", clock) as here:
        for i in range(11):  # more would be milliseconds
            await here.send("runaway", 2.0, ts=clock.now() + 10.0**i)
            await here.send("sound", 2.0, ts=clock.now())
        intake = here.agent._stages._intakes["pump"]
        newest = intake._lateness.newest[: len(here.agent._learnt.watches["pump"].table)]
        assert newest.max() <= clock.now() + 300.0, "no watermark goes beyond time.max_ahead"
        for _ in range(3):
            await here.send("runaway", 2.0, ts=clock.now())  # it is repaired
            await here.send("sound", 2.0, ts=clock.now())
        assert here.agent.tally.dead_letters == 0
        assert here.agent.tally.scored == 28
        assert {alert.device for alert in here.alerts()} <= {"runaway"}
    record_property("observed", "28 of 28 scored, alerts about the clock of that device alone")


@pytest.mark.fault(
    fault="readings that come two hours after newer ones of the same device",
    expected="dead letters, late; neither scored nor alerted; the others are scored",
)
async def test_late_data(mosquitto: Mosquitto, tmp_path: Path, record_property: Observe) -> None:
    clock = SetClock(NOW)
    async with running(mosquitto, tmp_path / "agent", clock) as here:
        await here.send("pump-1", 2.0, ts=NOW)
        for i in range(6):
            await here.send("pump-1", 99.0, ts=NOW - 7_200.0 + 60.0 * i)
        await here.send("pump-2", 2.0, ts=NOW - 7_200.0)
        await here.send("pump-1", 2.0, ts=NOW - 3_000.0)
        assert here.agent.tally.dead_by_reason == {"late": 6}
        assert here.agent.tally.scored == 3
        assert here.alerts() == []
    record_property("observed", "6 late, 3 scored, no alert")


@pytest.mark.fault(
    fault="a gateway that is suspended for two days",
    expected="timers count it: a heartbeat at once, and devices are not blamed",
)
async def test_a_suspend_of_two_days(mosquitto: Mosquitto, tmp_path: Path, record_property: Observe) -> None:
    clock = SetClock(NOW)
    async with running(mosquitto, tmp_path / "agent", clock) as here:
        for i in range(12):
            await here.send("pump-1", 2.0 + i % 2, ts=clock.now())
        clock.sleep(2 * 86_400.0)
        await here.send("pump-1", 2.0, ts=clock.now())
        status = await here.agent._heartbeat.status()
        assert status.time == pytest.approx(NOW + 2 * 86_400.0, abs=120.0)
        assert (status.silent, status.ingest) == (0, "receiving")
        assert here.alerts() == []
        assert here.agent.tally.dead_letters == 0
    record_property("observed", "no device silent, no alert, time of the status is right")
