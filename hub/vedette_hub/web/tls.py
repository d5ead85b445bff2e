"""HTTPS with a certificate of one's own, which may be renewed while the hub runs."""

from __future__ import annotations

import logging
import ssl
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vedette_hub.errors import ConfigurationError

if TYPE_CHECKING:
    import socket

logger = logging.getLogger(__name__)

HANDSHAKE_SECONDS = 5.0
"""A client that does not finish its handshake by then is dropped: each one that dawdles holds a thread."""


class _Impatient(ssl.SSLContext):
    """A context whose handshakes end in time."""

    def wrap_socket(self, sock: socket.socket, *arguments: Any, **options: Any) -> ssl.SSLSocket:
        sock.settimeout(HANDSHAKE_SECONDS)
        wrapped = super().wrap_socket(sock, *arguments, **options)
        wrapped.settimeout(None)
        return wrapped


class Certificate:
    """A certificate with its chain, and its key, both in PEM; read again when one of the files has changed."""

    def __init__(self, certificate: str, key: str) -> None:
        self._files = (Path(certificate), Path(key))
        self._lock = threading.Lock()
        self._read: tuple[int, ...] = ()
        self._context: ssl.SSLContext | None = None

    def context(self) -> ssl.SSLContext:
        """What the next connection is served with; while new files cannot be used, what there was before.

        Raises:
            ConfigurationError: the files cannot be used, and there was nothing before.
        """
        with self._lock:
            try:
                changed = tuple(path.stat().st_mtime_ns for path in self._files)
                if self._context is None or changed != self._read:
                    self._context, self._read = self._load(), changed
            except (OSError, ConfigurationError) as error:
                if self._context is None:
                    raise ConfigurationError([f"web.certificate, web.key: {error}"]) from error
                logger.error("web: the renewed certificate cannot be used, the old one stays: %s", error)
            return self._context

    def _load(self) -> ssl.SSLContext:
        context = _Impatient(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        certificate, key = self._files
        try:
            context.load_cert_chain(certificate, key, password=_no_password)
        except ssl.SSLError as error:
            reason = (error.reason or str(error)).replace("_", " ").lower()
            raise ConfigurationError(
                [f"{certificate} and {key}: {reason}; are they PEM, and do they belong together?"]
            ) from error
        return context


def _no_password() -> str:
    raise ConfigurationError(["the key has a password, which nobody can type when the hub starts; take it off"])
