"""Live readings from process to process: the bridge of the web server and the relay of the hub, over a Unix socket."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from vedette_hub.live import relay as relay_module
from vedette_hub.live import wire
from vedette_hub.live.bridge import Bridge
from vedette_hub.live.relay import MESSAGES_PER_SECOND, Relay
from vedette_hub.live.wire import Ask, Heard
from vedette_models import topics
from vedette_models.messages import LIVE_BYTES, Live, LiveReading, LiveRequest, from_bytes, to_bytes

SECONDS = 15.0
READING = LiveReading(1.7e9, (4.1, None), (1.2, None), (2.0, None), 3.4)
LIVE = Live("pump-1", "streaming", "pump", ("vibration", "flow"), ("mm/s", ""), (READING,))


class Broker:
    """What the relay uses of its connection."""

    def __init__(self) -> None:
        self.published: asyncio.Queue[tuple[str, LiveRequest, int]] = asyncio.Queue()

    async def publish(self, topic: str, payload: bytes, qos: int) -> None:
        self.published.put_nowait((topic, from_bytes(LiveRequest, payload), qos))


class Ends:
    def __init__(self, state_dir: Path) -> None:
        state_dir.mkdir(parents=True)
        self.time = 100.0
        self.broker, self.heard = Broker(), queue.SimpleQueue[Heard]()
        self.relay = Relay(state_dir, lambda: self.time)
        self.bridge = Bridge(state_dir, self.heard.put)

    async def ask(self, gateway: str = "gw-1", device: str = "pump-1", seconds: float = 30.0) -> Any:
        assert await asyncio.to_thread(self.bridge.ask, [Ask(gateway, device, seconds)])
        return await asyncio.wait_for(self.broker.published.get(), SECONDS)

    async def told(self) -> Heard:
        return await asyncio.to_thread(self.heard.get, True, SECONDS)


@contextlib.asynccontextmanager
async def connected(state_dir: Path) -> AsyncIterator[Ends]:
    ends = Ends(state_dir)
    tasks = [asyncio.create_task(ends.relay.serve()), asyncio.create_task(ends.relay.run(ends.broker))]  # type: ignore[arg-type]  # all that it uses
    try:
        async with asyncio.timeout(SECONDS):
            while not (state_dir / wire.FILE).exists():  # noqa: ASYNC110  # nothing tells of it
                await asyncio.sleep(0.005)
        yield ends
    finally:
        ends.bridge.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_request_goes_down_and_readings_come_up(tmp_path: Path) -> None:
    async with connected(tmp_path / "state") as ends:
        topic, request, qos = await ends.ask()
        assert (topic, qos) == (topics.gateway_down("gw-1", "request/live"), 0)
        assert request == LiveRequest("pump-1", 30.0)
        ends.relay.received("gw-1", to_bytes(LIVE))
        assert await ends.told() == Heard("gw-1", LIVE)
    assert not (tmp_path / "state" / wire.FILE).exists()


async def test_the_socket_is_for_the_hubs_user_alone(tmp_path: Path) -> None:
    async with connected(tmp_path / "state"):
        assert stat.S_IMODE((tmp_path / "state" / wire.FILE).stat().st_mode) == 0o600


async def test_a_deep_state_directory_has_a_socket_too(tmp_path: Path) -> None:
    async with connected(tmp_path / ("d" * 120) / "state") as ends:
        await ends.ask()
        ends.relay.received("gw-1", to_bytes(LIVE))
        assert (await ends.told()).gateway == "gw-1"


async def test_a_gateway_is_heard_only_about_what_it_was_asked_for(tmp_path: Path) -> None:
    async with connected(tmp_path / "state") as ends:
        await ends.ask()
        ends.relay.received("gw-2", to_bytes(LIVE))
        ends.relay.received("gw-1", to_bytes(Live("pump-2", "streaming")))
        ends.relay.received("gw-1", b"no message")
        ends.relay.received("gw-1", b"")
        ends.relay.received("gw-1", b" " * LIVE_BYTES + to_bytes(LIVE))
        ends.relay.received("gw-1", to_bytes(LIVE))
        assert await ends.told() == Heard("gw-1", LIVE)
        ends.time += 1_000.0
        ends.relay.received("gw-1", to_bytes(LIVE))
        await ends.ask("gw-2")
        ends.relay.received("gw-2", to_bytes(LIVE))
        assert await ends.told() == Heard("gw-2", LIVE)


async def test_a_gateway_that_floods_is_not_listened_to_for_the_rest_of_the_second(tmp_path: Path) -> None:
    async with connected(tmp_path / "state") as ends:
        await ends.ask()
        for _ in range(100):
            ends.relay.received("gw-1", to_bytes(LIVE))
        assert ends.relay.left_out == 100 - MESSAGES_PER_SECOND
        ends.time += 1.0
        ends.relay.received("gw-1", to_bytes(Live("pump-1", "unknown device")))
        told = [await ends.told() for _ in range(MESSAGES_PER_SECOND + 1)]
        assert told[-1].live.state == "unknown device"


async def test_a_web_server_that_does_not_read_costs_no_more_than_so_much(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay_module, "UNREAD_BYTES", 10_000)
    async with connected(tmp_path / "state") as ends:
        with wire.address(tmp_path / "state") as address:
            reader, writer = await asyncio.open_unix_connection(address, limit=1)
        writer.write(wire.to_line(Ask("gw-1", "pump-1", 30.0)))
        await asyncio.wait_for(ends.broker.published.get(), SECONDS)
        for _ in range(5_000):
            ends.time += 1.0
            ends.relay._asked["gw-1", "pump-1"] = ends.time + 1.0
            ends.relay.received("gw-1", to_bytes(LIVE))
        assert ends.relay.left_out > 0
        writer.close()
        assert reader


async def test_nonsense_from_a_web_server_ends_its_connection_and_no_other(tmp_path: Path) -> None:
    async with connected(tmp_path / "state") as ends:
        with wire.address(tmp_path / "state") as address:
            reader, writer = await asyncio.open_unix_connection(address)
        writer.write(b"nonsense\n")
        assert await asyncio.wait_for(reader.read(), SECONDS) == b""
        writer.close()
        await ends.ask()


async def test_without_the_hubs_process_a_request_is_not_taken(tmp_path: Path) -> None:
    bridge = Bridge(tmp_path, lambda _: None)
    assert not await asyncio.to_thread(bridge.ask, [Ask("gw-1", "pump-1", 30.0)])


async def test_a_bridge_is_built_anew_when_the_hubs_process_was_away(tmp_path: Path) -> None:
    async with connected(tmp_path / "state") as ends:
        await ends.ask()
        ends.bridge.close()
        await ends.ask()
        ends.relay.received("gw-1", to_bytes(LIVE))
        assert await ends.told() == Heard("gw-1", LIVE)
