"""Relay: in the hub's process, between the web server and the gateways' broker. It keeps nothing.

A request goes to the gateway as it comes, at QoS 0: what a gateway that is away would be told later is of no use then.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import time
from collections.abc import Callable
from pathlib import Path

import aiomqtt
import msgspec

from vedette_hub.live import wire
from vedette_hub.live.wire import Ask, Heard
from vedette_models import topics
from vedette_models.messages import LIVE_BYTES, LIVE_SECONDS, Live, LiveRequest, MessageError, from_bytes, to_bytes

logger = logging.getLogger(__name__)

REQUESTS_WAITING = 1_000
ASKED_DEVICES = 10_000
MESSAGES_PER_SECOND = 8
"""Of one gateway and device; a gateway that sends more is not listened to for the rest of the second."""
UNREAD_BYTES = 1024 * 1024
"""What may wait for a web server that does not read; more is left out."""


class Relay:
    """Requests down, readings up, for as long as somebody looks."""

    def __init__(self, state_dir: Path, uptime: Callable[[], float] = time.monotonic) -> None:
        self._state_dir, self._uptime = state_dir, uptime
        self._writers: set[asyncio.StreamWriter] = set()
        self._requests: asyncio.Queue[Ask] = asyncio.Queue(REQUESTS_WAITING)
        self._asked: dict[tuple[str, str], float] = {}
        """Until when each device may be heard."""
        self._second = 0
        self._counts: dict[tuple[str, str], int] = {}
        """Messages of each in this second."""
        self.left_out = 0

    async def serve(self) -> None:
        """Listen to web servers until cancelled."""
        listener = self._listen()
        if listener is None:
            return
        server = await asyncio.start_unix_server(self._talk, sock=listener, limit=wire.LINE_BYTES)
        try:
            await server.serve_forever()
        finally:
            (self._state_dir / wire.FILE).unlink(missing_ok=True)

    def _listen(self) -> socket.socket | None:
        (self._state_dir / wire.FILE).unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX)
        try:
            with wire.address(self._state_dir) as address:
                listener.bind(address)
            (self._state_dir / wire.FILE).chmod(0o600)
        except OSError as error:
            listener.close()
            logger.error("live: no live readings: %s/%s: %s", self._state_dir, wire.FILE, error.strerror or error)
            return None
        return listener

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while line := await reader.readline():
                self._take(msgspec.json.decode(line, type=Ask))
        except (OSError, ValueError) as error:  # ValueError: a line that is too long, or no Ask
            logger.warning("live: a web server said something unusable: %s", error)
        finally:
            self._writers.discard(writer)
            writer.close()

    def _take(self, ask: Ask) -> None:
        now = self._uptime()
        if len(self._asked) >= ASKED_DEVICES:
            self._asked = {key: until for key, until in self._asked.items() if until > now}
        self._asked[ask.gateway, ask.device] = now + min(ask.seconds, LIVE_SECONDS) + LIVE_SECONDS
        with contextlib.suppress(asyncio.QueueFull):  # it will be asked again
            self._requests.put_nowait(ask)

    async def run(self, client: aiomqtt.Client) -> None:
        """Ask gateways over this connection until cancelled."""
        while not self._requests.empty():
            self._requests.get_nowait()  # from before there was a connection
        while True:
            ask = await self._requests.get()
            request = LiveRequest(ask.device, min(ask.seconds, LIVE_SECONDS))
            try:
                topic = topics.gateway_down(ask.gateway, topics.LIVE_REQUEST)
                await client.publish(topic, to_bytes(request), qos=0)
            except aiomqtt.MqttError as error:
                logger.debug("live: %s could not be asked: %s", ask.gateway, error)  # ingest reports the connection

    def received(self, gateway: str, payload: bytes) -> None:
        """What a gateway has sent: passed on if somebody has asked for it, and there is room."""
        if not self._writers or len(payload) > LIVE_BYTES:
            return
        try:
            live = from_bytes(Live, payload)
        except MessageError as error:
            logger.debug("live: gateway %r: %s", gateway, error)
            return
        now, key = self._uptime(), (gateway, live.device)
        if self._asked.get(key, 0.0) < now:
            return
        if int(now) != self._second:
            self._second, self._counts = int(now), {}
        self._counts[key] = self._counts.get(key, 0) + 1
        if self._counts[key] > MESSAGES_PER_SECOND:
            self.left_out += 1
            return
        line = wire.to_line(Heard(gateway, live))
        for writer in self._writers:
            if writer.transport.get_write_buffer_size() > UNREAD_BYTES:
                self.left_out += 1
            else:
                writer.write(line)
