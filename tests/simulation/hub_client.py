"""The hub's MQTT client to a simulated broker: as much of `aiomqtt.Client` as the hub uses."""

from __future__ import annotations

import asyncio

import aiomqtt

from tests.simulation.broker import Publication
from tests.simulation.client import Connection
from tests.simulation.loop import VirtualLoop


class HubClient:
    """Acknowledges what it hands to the queue, as aiomqtt does."""

    def __init__(self, loop: VirtualLoop, connection: Connection, queue: asyncio.Queue[aiomqtt.Message]) -> None:
        self._connection, self._queue = connection, queue
        self._disconnected: asyncio.Future[str] = loop.create_future()
        connection.on_message, connection.on_lost = self._message, self._lost

    async def __aenter__(self) -> HubClient:
        try:
            await self._connection.open(None)
        except OSError as error:
            raise aiomqtt.MqttError(str(error)) from error
        return self

    async def __aexit__(self, *_: object) -> None:
        self._connection.goodbye()

    async def subscribe(self, topic: str, qos: int) -> list[int]:
        try:
            return list(await self._connection.subscribe([topic], own_echo=True, always=True))
        except OSError as error:
            raise aiomqtt.MqttError(str(error)) from error

    async def publish(
        self,
        topic: str,
        payload: bytes,
        qos: int,
        retain: bool = False,
        timeout: float | None = None,  # noqa: ASYNC109 - aiomqtt's
    ) -> None:
        if self._disconnected.done():
            raise aiomqtt.MqttError("not connected")
        try:
            async with asyncio.timeout(timeout or 10.0):
                await self._connection.publish(topic, bytes(payload), retain)
        except (OSError, TimeoutError) as error:
            raise aiomqtt.MqttError(str(error) or "timed out") from error

    @property
    def messages(self) -> HubClient:
        return self

    async def __anext__(self) -> aiomqtt.Message:
        waiting = asyncio.ensure_future(self._queue.get())
        try:
            await asyncio.wait((waiting, self._disconnected), return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            waiting.cancel()
            raise
        if not waiting.done():
            waiting.cancel()
            raise aiomqtt.MqttError("Disconnected during message iteration")
        return waiting.result()

    def _message(self, packet_id: int, publication: Publication, _duplicate: bool) -> None:
        topic, payload, retained, _ = publication
        self._queue.put_nowait(aiomqtt.Message(topic, payload, 1, retained, packet_id, None))
        self._connection.acknowledge(packet_id)

    def _lost(self, why: str) -> None:
        if not self._disconnected.done():
            self._disconnected.set_result(why)
