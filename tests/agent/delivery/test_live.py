from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import numpy as np
import pytest

from tests.agent.mqtt_ends import until
from vedette_agent.clock import Clock
from vedette_agent.config.models import LiveSettings
from vedette_agent.delivery import live as live_module
from vedette_agent.delivery.live import LiveStream, fitting
from vedette_agent.mqtt.transport import NotConnected
from vedette_agent.reading.profile_watch import ProfileWatch
from vedette_models import topics
from vedette_models.messages import LIVE_BYTES, Live, LiveReading, LiveRequest, from_bytes, to_bytes
from vedette_models.profile import Channel, Profile
from vedette_models.readings import ReadingBatch

PROFILE = Profile("pump", (Channel("vibration", unit="mm/s"), Channel("pressure")))
REQUEST = topics.gateway_down("gw", topics.LIVE_REQUEST)


class SetClock(Clock):
    time = 1_000.0

    def uptime(self) -> float:
        return self.time


class Hub:
    """The hub's end of a connection: what was published to it, as fast as `line` lets it through."""

    def __init__(self) -> None:
        self.up = True
        self.heard: list[Live] = []
        self.sizes: list[int] = []
        self.line = asyncio.Event()
        self.line.set()
        self.sending = 0

    async def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        assert (topic, retain) == (topics.gateway_up("gw", "live"), False)
        self.sending += 1
        assert self.sending == 1, "one message at a time"
        await self.line.wait()
        self.sending -= 1
        if not self.up:
            raise NotConnected("gone")
        self.heard.append(from_bytes(Live, payload))
        self.sizes.append(len(payload))

    def readings(self, device: str) -> list[LiveReading]:
        return [one for live in self.heard if live.device == device for one in live.readings]


class Gateway:
    def __init__(self, **settings: int) -> None:
        self.clock, self.hub = SetClock(), Hub()
        self.watch = ProfileWatch(PROFILE, "gw", "epoch", 1_000)
        self.stream = LiveStream("gw", LiveSettings(**settings), {"pump": self.watch}, clock=self.clock)
        self.minute = 0

    def ask(self, device: str, seconds: float = 30.0) -> None:
        assert self.stream.received(REQUEST, to_bytes(LiveRequest(device, seconds)))

    def read(self, device: str, count: int = 1) -> None:
        row = self.watch.table.row(device)
        assert row is not None
        times = 1.7e9 + 60.0 * (self.minute + np.arange(count))
        self.minute += count
        self.watch.process(ReadingBatch.of([row] * count, times, np.full((count, 2), 1.25)))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_module, "EVERY", 0.005)


@contextlib.asynccontextmanager
async def streaming(**settings: int) -> AsyncIterator[Gateway]:
    gateway = Gateway(**settings)
    task = asyncio.create_task(gateway.stream.run(gateway.hub))  # type: ignore[arg-type]  # all that it uses of it
    try:
        yield gateway
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_nothing_is_taken_down_or_sent_while_nobody_looks() -> None:
    async with streaming() as gateway:
        gateway.read("pump-1", 5)
        await asyncio.sleep(0)
        assert gateway.watch.live is None
        assert gateway.hub.heard == []


async def test_readings_of_the_device_come_in_order_with_their_channels() -> None:
    async with streaming() as gateway:
        gateway.read("pump-1")
        gateway.read("pump-2")
        gateway.ask("pump-1")
        gateway.read("pump-1", 3)
        gateway.read("pump-2", 3)
        await until(lambda: len(gateway.hub.readings("pump-1")) == 3)
        gateway.read("pump-1", 2)
        await until(lambda: len(gateway.hub.readings("pump-1")) == 5)

    times = [one.time for one in gateway.hub.readings("pump-1")]
    assert times == sorted(times)
    assert {live.device for live in gateway.hub.heard} == {"pump-1"}
    first = next(live for live in gateway.hub.heard if live.readings)
    assert (first.profile, first.channels, first.units) == ("pump", ("vibration", "pressure"), ("mm/s", ""))


async def test_a_stream_ends_by_itself_and_leaves_nothing_behind() -> None:
    async with streaming() as gateway:
        gateway.read("pump-1")
        gateway.ask("pump-1", 30.0)
        gateway.clock.time += 29.0
        gateway.ask("pump-1", 30.0)
        gateway.clock.time += 29.0
        gateway.read("pump-1")
        await until(lambda: gateway.hub.readings("pump-1"))
        gateway.clock.time += 2.0
        await until(lambda: gateway.watch.live is None)
        told = len(gateway.hub.heard)
        gateway.read("pump-1", 5)
        gateway.ask("pump-2")
        await until(lambda: len(gateway.hub.heard) > told)
        assert gateway.hub.heard[-1] == Live("pump-2", "unknown device")


async def test_no_request_makes_a_stream_last_longer_than_it_may() -> None:
    async with streaming() as gateway:
        gateway.ask("pump-1", 1e12)
        gateway.clock.time += 61.0
        await until(lambda: gateway.watch.live is None)


async def test_more_devices_than_may_be_looked_at_are_refused() -> None:
    async with streaming(devices=2) as gateway:
        for number in range(5):
            gateway.ask(f"pump-{number}")
        await until(lambda: sum(live.state == "refused" for live in gateway.hub.heard) == 3)
        states = {live.device: live.state for live in gateway.hub.heard}
        assert states == {"pump-0": "unknown device", "pump-1": "unknown device"} | dict.fromkeys(
            ("pump-2", "pump-3", "pump-4"), "refused"
        )


async def test_a_quiet_device_is_told_from_a_gateway_that_does_not_answer() -> None:
    async with streaming() as gateway:
        gateway.read("pump-1")
        gateway.ask("pump-1")
        await until(lambda: gateway.hub.heard == [Live("pump-1", "streaming")])
        gateway.clock.time += 5.0
        await until(lambda: gateway.hub.heard == [Live("pump-1", "streaming")] * 2)


async def test_the_budget_holds_whatever_is_read_and_what_is_left_out_is_counted() -> None:
    async with streaming(bytes_per_second=100) as gateway:
        gateway.read("pump-1")
        gateway.ask("pump-1", 60.0)
        for _ in range(10):
            gateway.read("pump-1", 40)
            gateway.clock.time += 1.0
            await asyncio.sleep(0.01)
        told = sum(gateway.hub.sizes)
        gateway.clock.time += 45.0
        await until(lambda: sum(gateway.hub.sizes) > told)

    assert told <= 2 * 100 + 10 * 100 + live_module.LEAST_BYTES
    assert len(gateway.hub.readings("pump-1")) < 400
    assert sum(live.skipped for live in gateway.hub.heard) > 0


async def test_a_slow_line_carries_one_message_at_a_time_and_nothing_piles_up() -> None:
    async with streaming() as gateway:
        gateway.read("pump-1")
        gateway.ask("pump-1")
        gateway.hub.line.clear()
        gateway.read("pump-1", 10)
        await until(lambda: gateway.hub.sending == 1)
        for _ in range(6):
            gateway.read("pump-1", 50)
        gateway.clock.time += 2.0
        gateway.hub.line.set()
        await until(lambda: any(live.skipped for live in gateway.hub.heard))
        assert max(gateway.hub.sizes) <= LIVE_BYTES


async def test_a_connection_that_breaks_costs_a_message_and_not_the_stream() -> None:
    async with streaming() as gateway:
        gateway.read("pump-1")
        gateway.ask("pump-1")
        gateway.hub.line.clear()
        gateway.read("pump-1")
        await until(lambda: gateway.hub.sending == 1)
        gateway.hub.up = False
        gateway.hub.line.set()
        await until(lambda: gateway.hub.sending == 0)
        gateway.hub.up = True
        gateway.read("pump-1")
        await until(lambda: gateway.hub.readings("pump-1"))


@pytest.mark.parametrize("payload", [b"", b"{}", b"\xff", b'{"device":1,"seconds":2}', b'{"device":"a","seconds":-1}'])
async def test_an_unusable_request_starts_nothing(payload: bytes) -> None:
    async with streaming() as gateway:
        assert gateway.stream.received(REQUEST, payload)
        assert gateway.watch.live is None
    assert not gateway.stream.received(topics.gateway_down("gw", "receipts"), payload)


async def test_the_scores_of_all_devices_are_told_the_largest_first() -> None:
    async with streaming() as gateway:
        for number in range(80):
            gateway.read(f"pump-{number}")
        gateway.ask("")
        for number in range(80):
            gateway.read(f"pump-{number}")
        await until(lambda: any(live.scores for live in gateway.hub.heard))
        scores = next(live.scores for live in gateway.hub.heard if live.scores)
    assert len(scores) == live_module.SCORES_OF_ONE
    assert [one.score for one in scores] == sorted((one.score for one in scores), reverse=True)


def test_of_a_message_that_is_too_long_the_calmest_readings_go() -> None:
    readings = tuple(
        LiveReading(float(i), (1.5,) * 20, (1.0,) * 20, (2.0,) * 20, 5.0 if i == 777 else 0.1) for i in range(1_000)
    )
    whole = Live("pump-1", "streaming", "pump", ("a",) * 20, ("",) * 20, readings)
    payload = fitting(whole, LIVE_BYTES)
    cut = from_bytes(Live, payload)

    assert len(payload) <= LIVE_BYTES
    assert len(cut.readings) + cut.skipped == 1_000
    assert 777.0 in {one.time for one in cut.readings}
    assert [one.time for one in cut.readings] == sorted(one.time for one in cut.readings)
