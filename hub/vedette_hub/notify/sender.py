"""One message through one channel, whatever its kind."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from vedette_hub.config import NotifySection
from vedette_hub.notify import mail, webhook
from vedette_hub.notify.addresses import AddressPolicy
from vedette_hub.notify.apprise_service import AppriseService
from vedette_hub.notify.errors import DeliveryError
from vedette_hub.notify.kinds import (
    AppriseSettings,
    EmailSettings,
    LogSettings,
    MqttSettings,
    Settings,
    WebhookSettings,
)
from vedette_hub.notify.mqtt_link import MqttLink

logger = logging.getLogger("vedette_hub.alerts")

THREADS = 8
"""Messages under way at the same time, at most; one for each channel."""
_LEVELS = {"info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


class Sender:
    """Sends; what blocks does so in threads of its own."""

    def __init__(self, settings: NotifySection, link: MqttLink, clock: Callable[[], float]) -> None:
        self._link = link
        self._clock = clock
        self._timeout = settings.timeout
        self._policy = AddressPolicy.of(settings.allow_networks, allow_http=settings.allow_http)
        self._apprise = AppriseService(
            settings.allow_networks, allow_http=settings.allow_http, timeout=settings.timeout
        )
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="notify")

    async def send(self, settings: Settings, identifier: str, message: dict[str, Any]) -> str:
        """Send a message; what came of it, in words.

        Raises:
            DeliveryError: it was not taken.
        """
        if isinstance(settings, MqttSettings):
            return await self._link.send(settings, identifier, message, self._timeout)
        if isinstance(settings, LogSettings):
            return _log(settings, identifier, message)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self._send, settings, identifier, message)

    def end_idle(self) -> None:
        """Let go of what has not been needed for a while."""
        self._apprise.end_idle()

    def close(self) -> None:
        """Let go of everything; nothing is being sent any more."""
        self._apprise.end_idle(0.0)
        self._threads.shutdown(wait=False)

    def _send(self, settings: Settings, identifier: str, message: dict[str, Any]) -> str:
        now, policy, timeout = self._clock(), self._policy, self._timeout
        match settings:
            case WebhookSettings():
                return webhook.send(settings, identifier, message, now=now, policy=policy, timeout=timeout)
            case EmailSettings():
                return mail.send(settings, identifier, message, now=now, policy=policy, timeout=timeout)
            case AppriseSettings():
                return self._apprise.send(settings, message)
        raise DeliveryError(f"channels of kind {type(settings).__name__} are sent otherwise")


def _log(settings: LogSettings, identifier: str, message: dict[str, Any]) -> str:
    data = message["data"]
    fields = {"delivery": identifier, "cause": message["type"], "alert": data}
    logger.log(_LEVELS[settings.level], "%s: %s", data["title"], " ".join(data["text"].split()), extra=fields)
    return "logged"
