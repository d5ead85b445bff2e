"""Many WebSocket clients of one hub that are all told of every alert: `python -m benchmarks.hub_sockets [--json]`.

The web server runs as it does in production, in a process of its own; alerts reach the store by the transaction that
ingest commits them with. A delay lasts from the beginning of that transaction to the moment when a client has the
message, so it includes the commit, the look every 0.1 s for what has changed, and the way to the client.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from sqlalchemy import Engine
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from vedette_hub import state
from vedette_hub.config import Config
from vedette_hub.fleet import arrivals
from vedette_hub.fleet.commit import commit
from vedette_hub.hub import WEB_COMMAND, open_database
from vedette_hub.web import server
from vedette_models import topics
from vedette_models.messages import Alert, ChannelReason, Delivery, Row, to_bytes

GATEWAY = "bench-gateway"
BATCHES_PER_SECOND = 10
START_SECONDS = 300.0
PATIENCE_SECONDS = 60.0


class _Told(msgspec.Struct):
    """The part of a message that is looked at: the alert's number is in its id, with the time when it was raised."""

    type: str
    data: dict[str, Any]


_decoder = msgspec.json.Decoder(_Told)


def _alert(number: int, raised: float) -> Alert:
    return Alert(
        f"{number}-{raised!r}",
        1,
        GATEWAY,
        f"pump-{number % 500}",
        "pump",
        "anomaly",
        "active",
        "medium",
        raised,
        raised,
        1.5,
        "vibration 4.1 mm/s, usually 1.2–2.0",
        "rangebreak",
        (ChannelReason("vibration", 4.1, 1.2, 2.0, 1.0, unit="mm/s"),),
    )


def _raise_alerts(engine: Engine, config: Config, first: int, count: int) -> None:
    raised = time.time()
    rows = tuple(
        Row("bench", number + 1, msgspec.Raw(to_bytes(_alert(number, raised))))
        for number in range(first, first + count)
    )
    found = arrivals.parse(topics.gateway_up(GATEWAY, "alerts"), to_bytes(Delivery(rows)))
    commit(engine, found, raised, config.limits)


async def _listen(url: str, token: str, ready: asyncio.Semaphore, alerts: int, delays: list[float]) -> int:
    """Listen until all alerts are told or missed; how many were missed."""
    async with connect(url, additional_headers={"Authorization": f"Bearer {token}"}, open_timeout=PATIENCE_SECONDS,
                       proxy=None, compression=None) as socket:  # fmt: skip
        await _subscribe(socket)
        ready.release()
        told = missed = 0
        while told + missed < alerts:
            message = _decoder.decode(await asyncio.wait_for(socket.recv(), PATIENCE_SECONDS))
            if message.type == "alert":
                told += 1
                delays.append(time.time() - float(message.data["alert"]["id"].partition("-")[2]))
            elif message.type == "missed":
                missed += int(message.data["count"])
        return missed


async def _subscribe(socket: ClientConnection) -> None:
    await socket.send('{"type":"subscribe","data":{"channels":["alerts"]}}')
    while _decoder.decode(await socket.recv()).type != "subscribed":
        pass


async def _wait_until_up(url: str, token: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            async with connect(url, additional_headers={"Authorization": f"Bearer {token}"}, proxy=None):
                return
        except (OSError, WebSocketException):
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.2)


def _cpu_seconds(pid: int) -> float:
    """Processor time of a process and its children so far."""
    total = 0.0
    for path in (Path(f"/proc/{pid}"), *(Path(f"/proc/{child}") for child in _children(pid))):
        fields = (path / "stat").read_text().rpartition(")")[2].split()
        total += (int(fields[11]) + int(fields[12])) / 100.0
    return total


def _children(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


async def _run(url: str, token: str, pid: int, engine: Engine, config: Config, clients: int, rate: int,
               seconds: float) -> dict[str, Any]:  # fmt: skip
    await _wait_until_up(url, token)
    batches = max(1, round(seconds * BATCHES_PER_SECOND))
    each = max(1, round(rate / BATCHES_PER_SECOND))
    delays: list[float] = []
    ready = asyncio.Semaphore(0)
    listening = [
        asyncio.create_task(_listen(url, token, ready, batches * each, delays), name=f"client {number}")
        for number in range(clients)
    ]
    for _ in range(clients):
        waiting = asyncio.create_task(ready.acquire())
        await asyncio.wait((waiting, *listening), return_when=asyncio.FIRST_EXCEPTION)
    cpu, begun = _cpu_seconds(pid), time.monotonic()
    for batch in range(batches):
        await asyncio.to_thread(_raise_alerts, engine, config, batch * each, each)
        await asyncio.sleep(max(0.0, begun + (batch + 1) / BATCHES_PER_SECOND - time.monotonic()))
    raised = time.monotonic() - begun
    missed = sum(await asyncio.gather(*listening))
    elapsed = time.monotonic() - begun
    p50, p95, p99 = (1000.0 * float(np.percentile(delays, share)) for share in (50, 95, 99))
    return {
        "clients": clients,
        "alerts": batches * each,
        "alerts_per_second": batches * each / raised,
        "messages": len(delays),
        "messages_per_second": len(delays) / elapsed,
        "missed": missed,
        "p50_ms": p50,
        "p95_ms": p95,
        "p99_ms": p99,
        "max_ms": 1000.0 * max(delays),
        "server_cpu_seconds_per_second": (_cpu_seconds(pid) - cpu) / elapsed,
    }


def measure(clients: int = 200, rate: int = 100, seconds: float = 10.0) -> dict[str, Any]:
    """Delays in milliseconds from raising an alert to each client's having it, at `rate` alerts a second."""
    with tempfile.TemporaryDirectory() as folder:
        config = Config.model_validate(
            {"hub": {"state_dir": f"{folder}/state", "log_level": "warning"}, "live": {"sockets": 2 * clients + 10}}
        )
        engine = open_database(config)
        state.first_token(config.state_dir, engine, time.time())
        token = (config.state_dir / state.TOKEN_FILE).read_text().strip()
        listener = server.listen("127.0.0.1", 0)
        url = f"ws://127.0.0.1:{listener.getsockname()[1]}/ws"
        child = server.start(WEB_COMMAND, listener, config.model_dump_json())
        listener.close()
        try:
            return asyncio.run(_run(url, token, child.pid, engine, config, clients, rate, seconds))
        finally:
            server.stop(child)
            engine.dispose()


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--rate", type=int, default=100, help="alerts a second")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = measure(options.clients, options.rate, options.seconds)
    if options.json:
        print(json.dumps(found, indent=2))
        return
    for name, value in found.items():
        print(f"{name:32} {value:,.1f}" if isinstance(value, float) else f"{name:32} {value:,}")


if __name__ == "__main__":
    main()
