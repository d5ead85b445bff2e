"""MetricsServer: `GET /metrics`, `/health` and `/ready` over HTTP, for programs on this machine alone."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import resource
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING

from vedette_agent import metrics
from vedette_agent.clock import SYSTEM
from vedette_agent.metrics import Process

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from vedette_models.messages import Status

logger = logging.getLogger(__name__)

ADDRESS = "127.0.0.1"
"""Nothing else: there is no password, and names of devices' profiles are nobody's business on the network."""
OUR_NAMES = frozenset({"127.0.0.1", "localhost"})
HEAD_BYTES = 8 * 1024
SECONDS = 5.0
"""For one client, from its connection to the end of its answer."""
CLIENTS = 8
"""At the same time; more are turned away."""
FRESH = 1.0
"""Seconds for which a status is good enough: whoever asks more often gets the same again."""
RETRY = 30.0

JSON = "application/json"


class MetricsServer:
    """Answers on a port of the loopback interface; whatever becomes of it, the agent goes on."""

    def __init__(self, port: int, status: Callable[[], Awaitable[Status]]) -> None:
        self._port = port
        self._status = status
        self._clients = 0
        self._looked = float("-inf")
        self._last: Status | None = None
        self._lock = asyncio.Lock()
        self.problem: str | None = None
        """Why it does not answer; None when it does."""

    async def run(self) -> None:
        """Answer until cancelled; a port that somebody else has is tried again for ever."""
        while True:
            try:
                server = await asyncio.start_server(self._serve, ADDRESS, self._port, limit=HEAD_BYTES)
            except OSError as error:
                if self.problem is None:
                    logger.error("metrics: %s port %d: %s", ADDRESS, self._port, error.strerror or error)
                self.problem = f"metrics: port {self._port}: {error.strerror or error}; set another [metrics] port"
                await asyncio.sleep(RETRY)
                continue
            self.problem = None
            async with server:
                await server.serve_forever()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._clients += 1
        try:
            async with asyncio.timeout(SECONDS):
                writer.write(await self._answer(reader))
                await writer.drain()
        except (TimeoutError, OSError, asyncio.IncompleteReadError):
            pass  # it has gone, or is too slow
        finally:
            self._clients -= 1
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader) -> bytes:
        if self._clients > CLIENTS:
            return _response(HTTPStatus.SERVICE_UNAVAILABLE, "too many at the same time\n")
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        except asyncio.LimitOverrunError:
            return _response(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "the request is too large\n")
        first, *lines = head.split("\r\n")
        words = first.split(" ")
        if len(words) != 3 or not words[2].startswith("HTTP/1."):
            return _response(HTTPStatus.BAD_REQUEST, "this is no request\n")
        if words[0] not in {"GET", "HEAD"}:
            return _response(HTTPStatus.METHOD_NOT_ALLOWED, "GET only\n", more="Allow: GET, HEAD\r\n")
        if not _ours(lines):
            return _response(HTTPStatus.FORBIDDEN, "ask for 127.0.0.1 or localhost\n")
        return await self._page(words[1].partition("?")[0], with_body=words[0] == "GET")

    async def _page(self, path: str, *, with_body: bool) -> bytes:
        if path not in {"/metrics", "/health", "/ready"}:
            said = "there are /metrics, /health and /ready\n"
            return _response(HTTPStatus.NOT_FOUND, said, with_body=with_body)
        status = await self._fresh_status()
        if path == "/metrics":
            return _response(HTTPStatus.OK, metrics.text(status, _process()), metrics.CONTENT_TYPE, with_body=with_body)
        reason = _unready(status) if path == "/ready" else ""
        body = (
            {"status": "degraded" if status.problems else "ok", "problems": status.problems}
            if path == "/health"
            else {"ready": not reason, "reason": reason}
        )
        code = HTTPStatus.SERVICE_UNAVAILABLE if reason else HTTPStatus.OK
        return _response(code, json.dumps(body, ensure_ascii=False) + "\n", JSON, with_body=with_body)

    async def _fresh_status(self) -> Status:
        async with self._lock:
            if self._last is None or SYSTEM.uptime() - self._looked > FRESH:
                self._last = await self._status()
                self._looked = SYSTEM.uptime()
            return self._last


def _ours(lines: list[str]) -> bool:
    """Whether the request asks for this machine: a web page elsewhere whose name leads here would ask for that name."""
    hosts = [line.partition(":")[2].strip().lower() for line in lines if line.lower().startswith("host:")]
    return len(hosts) <= 1 and all(host.rpartition(":")[0] in OUR_NAMES or host in OUR_NAMES for host in hosts)


def _unready(status: Status) -> str:
    """Why readings do not come in; empty when they do, or would if devices sent some."""
    return "the devices' broker is not connected" if status.ingest == "disconnected" else ""


def _process() -> Process:
    used = resource.getrusage(resource.RUSAGE_SELF)
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, IndexError, ValueError):
        return Process(used.ru_utime + used.ru_stime, used.ru_maxrss * 1024)
    return Process(used.ru_utime + used.ru_stime, pages * os.sysconf("SC_PAGE_SIZE"))


def _response(
    status: HTTPStatus,
    text: str,
    kind: str = "text/plain; charset=utf-8",
    *,
    more: str = "",
    with_body: bool = True,
) -> bytes:
    body = text.encode()
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
        f"X-Content-Type-Options: nosniff\r\nCache-Control: no-store\r\n{more}Connection: close\r\n\r\n"
    )
    return head.encode("latin-1") + (body if with_body else b"")
