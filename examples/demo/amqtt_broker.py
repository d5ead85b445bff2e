"""amqtt as a process: `python -m examples.demo.amqtt_broker PORT`. Pure Python, MQTT 3.1.1, nothing on disk."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys

from amqtt.broker import Broker  # type: ignore[import-untyped]  # it has no types


async def serve(port: int) -> None:
    """Serve everybody on this loopback port until SIGTERM or SIGINT."""
    configuration = {
        "listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{port}"}},
        "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
    }
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    broker = Broker(configuration)
    await broker.start()
    await stopping.wait()
    await broker.shutdown()


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    asyncio.run(serve(int(sys.argv[1])))
