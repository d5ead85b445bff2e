"""Versions of a model for the simulated fleet, and the keys that sign for it."""

from __future__ import annotations

from functools import lru_cache

from nacl.signing import SigningKey

from tests.agent.update import model_hub
from vedette_models import artifact

PROFILE = "pump"
CHANNELS = ("flow",)
KEY = SigningKey(b"the key of the simulated hub ...")
STRANGER = SigningKey(b"the key of somebody else .......")
GOOD = 4
"""Versions 1 to this are sound; the one after it fails a check."""
BAD = GOOD + 1


def _model(number: int) -> bytes:
    return model_hub.model(number, channels=CHANNELS)


@lru_cache
def versions() -> dict[int, bytes]:
    """The bytes of every version by its number."""
    found = {number: _model(number) for number in range(1, GOOD + 1)}
    found[BAD] = _model(BAD) + b"x"
    return found


@lru_cache
def names() -> dict[str, int]:
    """Version by SHA-256."""
    return {artifact.sha256(data): number for number, data in versions().items()}
