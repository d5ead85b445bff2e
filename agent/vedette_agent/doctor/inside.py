"""Inside: the running agent looks at its own connections, since nobody else can log in as it without evicting it."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import msgspec

from vedette_agent.clock import SYSTEM
from vedette_agent.doctor import access
from vedette_agent.doctor.access import Examined, Side
from vedette_agent.doctor.samples import summarise
from vedette_agent.mqtt.transport import NotConnected

if TYPE_CHECKING:
    from vedette_agent.config import Config
    from vedette_agent.doctor.overheard import Overheard
    from vedette_agent.mqtt.connection import Connection

LONGEST = 20.0
"""Seconds to listen, whatever is asked for."""
ACKNOWLEDGED = 3.0
"""Seconds for a broker to answer a publication."""
STEP = 0.1


async def examine(
    config: Config,
    devices: Connection,
    hub: Connection | None,
    heard: Overheard,
    asked: str,
    last_receipt: float | None,
) -> str:
    """An `Examined` as JSON: what each broker lets us do, and what was `heard` within about `asked` seconds."""
    started = SYSTEM.uptime()
    try:
        wanted = min(max(0.0, float(asked)), LONGEST)
    except ValueError:
        return f"{asked!r} is no number of seconds"
    sides = await asyncio.gather(
        _side(config, "devices", devices), *([_side(config, "hub", hub)] if hub is not None else [])
    )
    while not heard.some and SYSTEM.uptime() - started < wanted:  # noqa: ASYNC110 - nobody tells when all have come
        await asyncio.sleep(STEP)
    found = Examined(
        devices=sides[0],
        hub=sides[1] if hub is not None else None,
        samples=summarise(config, heard.by_filter, time.time()),
        listened=max(1.0, SYSTEM.uptime() - started),
        last_receipt=last_receipt,
    )
    return msgspec.json.encode(found).decode()


async def _side(config: Config, subject: str, connection: Connection) -> Side:
    if not connection.up:
        return Side(False, connection.problem or "not connected")
    refused: dict[str, str] = {}
    for write in access.writes(config, subject):
        try:
            async with asyncio.timeout(ACKNOWLEDGED):
                await connection.publish(write.topic, write.payload)
        except TimeoutError:
            refused[write.topic] = "no answer in time"
        except NotConnected as error:
            if not connection.up:
                return Side(False, connection.problem or str(error))
            refused[write.topic] = str(error)
    # A subscription that was refused is the connection's problem for as long as it lasts.
    problem = connection.problem or ""
    reads = tuple(name for name in access.reads(config, subject) if repr(name) in problem)
    return Side(True, problem, reads, refused, tells=connection.broker.protocol == "5")
