"""Secrets of channels, encrypted: a copy of the database alone gives none of them away."""

from __future__ import annotations

import json
from typing import Any

from nacl.exceptions import CryptoError
from nacl.secret import SecretBox

from vedette_hub.errors import HubError


class SealError(HubError):
    """Secrets that cannot be read."""


class Seal:
    """Encrypts with a key that stands in the state directory (XSalsa20-Poly1305)."""

    def __init__(self, key: bytes) -> None:
        self._box = SecretBox(key)

    def seal(self, secrets: dict[str, Any]) -> bytes:
        """Secrets as they are kept."""
        return bytes(self._box.encrypt(json.dumps(secrets).encode()))

    def open(self, sealed: bytes) -> dict[str, Any]:
        """The secrets behind what is kept.

        Raises:
            SealError: they were sealed with another key.
        """
        try:
            opened = json.loads(self._box.decrypt(sealed))
        except (CryptoError, ValueError) as error:
            raise SealError(
                "its secrets cannot be read: they were kept with another channel-key; restore that file from a backup, "
                "or give the channel its secrets again"
            ) from error
        assert isinstance(opened, dict)  # noqa: S101  # `seal` made it
        return opened
