"""What a gateway streams → what those who look are told. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from vedette_hub.live.frames import frame
from vedette_hub.live.watches import MESSAGES, Key
from vedette_models.messages import Live


def state_frame(key: Key, state: str) -> bytes:
    """What became of a request to look at a device."""
    message = MESSAGES.get(state, state)
    return frame("watching", {"gateway": key[0], "device": key[1], "state": state, "message": message})


def readings_frame(gateway: str, live: Live) -> bytes:
    """Readings of one device, with the band that was expected of each channel."""
    units = [*live.units, *[""] * len(live.channels)]
    return frame(
        "reading",
        {
            "gateway": gateway,
            "device": live.device,
            "profile": live.profile,
            "channels": [{"name": name, "unit": unit} for name, unit in zip(live.channels, units, strict=False)],
            "readings": [{**msgspec.structs.asdict(one), "anomalous": one.score >= 1.0} for one in live.readings],
            "skipped": live.skipped,
        },
    )


def scores(gateway: str, live: Live) -> Iterator[dict[str, Any]]:
    """What the channel `scores` is told: the largest score of each device in the message."""
    if live.readings:
        largest = max(live.readings, key=lambda one: one.score)
        yield _score(gateway, live.device, live.profile, largest.time, largest.score)
    for one in live.scores:
        yield _score(gateway, one.device, one.profile, one.time, one.score)


def _score(gateway: str, device: str, profile: str, time: float, score: float) -> dict[str, Any]:
    return {
        "gateway": gateway,
        "device": device,
        "profile": profile,
        "time": time,
        "score": score,
        "anomalous": score >= 1.0,
        "source": "live",
    }
