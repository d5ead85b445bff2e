"""Messages on the hub's own broker, over the connection that ingest has: the broker wants one client for each user."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiomqtt

from vedette_hub.notify.errors import DeliveryError
from vedette_hub.notify.kinds import MqttSettings


class MqttLink:
    """Publishes while there is a connection."""

    def __init__(self) -> None:
        self._client: aiomqtt.Client | None = None

    async def run(self, client: aiomqtt.Client) -> None:
        """Use this connection until cancelled."""
        self._client = client
        try:
            await asyncio.Event().wait()
        finally:
            self._client = None

    async def send(self, settings: MqttSettings, identifier: str, message: dict[str, Any], seconds: float) -> str:
        """Publish a message with QoS 1; returns when the broker has acknowledged it, which may take `seconds`.

        Raises:
            DeliveryError: there is no connection, or the broker has not acknowledged it.
        """
        if self._client is None:
            raise DeliveryError("there is no connection to the broker now")
        body = json.dumps({"id": identifier, **message}, ensure_ascii=False).encode()
        try:
            await self._client.publish(settings.topic, body, qos=1, retain=settings.retain, timeout=seconds)
        except aiomqtt.MqttError as error:
            raise DeliveryError(f"topic {settings.topic}: {error}") from error
        return "acknowledged by the broker"
