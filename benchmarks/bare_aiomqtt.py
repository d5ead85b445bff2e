"""The bare loop that throughput is compared with: aiomqtt receives every message and does nothing with it."""

from __future__ import annotations

import asyncio
import sys

import aiomqtt


async def receive(port: int) -> None:
    """Receive for ever."""
    async with aiomqtt.Client("127.0.0.1", port, identifier="bare", protocol=aiomqtt.ProtocolVersion.V5) as client:
        await client.subscribe("bench/+/telemetry", qos=1)
        print("ready", flush=True)
        async for _ in client.messages:
            pass


if __name__ == "__main__":
    asyncio.run(receive(int(sys.argv[1])))
