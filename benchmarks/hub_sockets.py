"""Many WebSocket clients of one hub that are all told of every alert: `python -m benchmarks.hub_sockets [--json]`.

The web server runs as it does in production, in a process of its own; alerts reach the store by the transaction that
ingest commits them with. A delay lasts from the beginning of that transaction to the moment when a client has the
message, so it includes the commit, the look every 0.05 s for what has changed, and the way to the client.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import re
import selectors
import socket
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from sqlalchemy import Engine
from websockets.client import ClientProtocol
from websockets.frames import Frame
from websockets.http11 import Response
from websockets.uri import parse_uri

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
READ_BYTES = 256 * 1024
_RAISED = re.compile(rb'"id":"[0-9]+-([0-9.]+)"')


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


class _Listener:
    """A client that counts: frames are taken apart by hand, so that 200 of them are no more work than the server."""

    def __init__(self, port: int, token: str) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), START_SECONDS)
        protocol = ClientProtocol(parse_uri(f"ws://127.0.0.1:{port}/ws"))
        request = protocol.connect()
        request.headers["Authorization"] = f"Bearer {token}"
        protocol.send_request(request)
        self.socket.sendall(b"".join(protocol.data_to_send()))
        self._until(protocol, Response)
        if protocol.handshake_exc is not None:
            raise protocol.handshake_exc
        protocol.send_text(b'{"type":"subscribe","data":{"channels":["alerts"]}}')
        self.socket.sendall(b"".join(protocol.data_to_send()))
        self._until(protocol, Frame)
        self._rest = b""
        self.accounted = self.missed = 0

    def _until(self, protocol: ClientProtocol, kind: type[object]) -> None:
        while not any(isinstance(event, kind) for event in protocol.events_received()):
            if not (data := self.socket.recv(READ_BYTES)):
                raise ConnectionError("the hub has closed a socket")
            protocol.receive_data(data)

    def read(self, delays: list[float]) -> None:
        """Take in what has arrived, and how long ago the alerts in it were raised."""
        if not (data := self.socket.recv(READ_BYTES)):
            raise ConnectionError("the hub has closed a socket")
        now, data, start = time.time(), self._rest + data, 0
        while len(data) - start >= 10:  # the longest header; messages are longer
            length, body = data[start + 1], start + 2
            if length > 125:
                body += 2 if length == 126 else 8
                length = int.from_bytes(data[start + 2 : body])
            if body + length > len(data):
                break
            message = data[body : body + length]
            if message.startswith(b'{"type":"alert"'):
                self.accounted += 1
                delays.append(now - float(_RAISED.search(message)[1]))  # type: ignore[index]  # every alert has it
            elif message.startswith(b'{"type":"missed"'):
                count = int(msgspec.json.decode(message)["data"]["count"])
                self.accounted, self.missed = self.accounted + count, self.missed + count
            start = body + length
        self._rest = data[start:]


def _listen(clients: int, port: int, token: str, alerts: int, pipe: Connection) -> None:
    """In a process of its own: listen until every client is told of all alerts, or of how many it missed."""
    selector, delays, waiting = selectors.DefaultSelector(), list[float](), clients
    listeners = [_Listener(port, token) for _ in range(clients)]
    for one in listeners:
        selector.register(one.socket, selectors.EVENT_READ, one)
    pipe.send("ready")
    while waiting:
        ready = selector.select(PATIENCE_SECONDS)
        if not ready:
            raise TimeoutError(f"{waiting} clients wait for alerts that do not come")
        for key, _ in ready:
            key.data.read(delays)
            if key.data.accounted >= alerts:
                selector.unregister(key.fileobj)
                waiting -= 1
    pipe.send((delays, sum(one.missed for one in listeners)))


def _cpu_seconds(pid: int) -> float:
    """Processor time of a process and its children so far."""
    total = 0.0
    for path in (Path(f"/proc/{pid}"), *(Path(f"/proc/{child}") for child in _children(pid))):
        fields = (path / "stat").read_text().rpartition(")")[2].split()
        total += (int(fields[11]) + int(fields[12])) / 100.0
    return total


def _children(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def _run(port: int, token: str, pid: int, engine: Engine, config: Config, clients: int, rate: int,
         seconds: float) -> dict[str, Any]:  # fmt: skip
    batches = max(1, round(seconds * BATCHES_PER_SECOND))
    each = max(1, round(rate / BATCHES_PER_SECOND))
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    listening = context.Process(target=_listen, args=(clients, port, token, batches * each, theirs), daemon=True)
    listening.start()
    theirs.close()
    ours.recv()
    cpu, begun = _cpu_seconds(pid), time.monotonic()
    for batch in range(batches):
        _raise_alerts(engine, config, batch * each, each)
        time.sleep(max(0.0, begun + (batch + 1) / BATCHES_PER_SECOND - time.monotonic()))
    raised = time.monotonic() - begun
    delays, missed = ours.recv()
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
        port = listener.getsockname()[1]
        child = server.start(WEB_COMMAND, listener, config.model_dump_json())
        listener.close()
        try:
            return _run(port, token, child.pid, engine, config, clients, rate, seconds)
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
