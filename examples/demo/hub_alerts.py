"""The hub's API, as any program would use it: alerts over HTTP, with a bearer token from a file."""

from __future__ import annotations

from http.client import HTTPException
from typing import TYPE_CHECKING
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import msgspec

if TYPE_CHECKING:
    from pathlib import Path

TIMEOUT = 5.0
LARGEST_PAGE = 500


class HubError(RuntimeError):
    """The hub did not answer, or refused."""


class HubAlert(msgspec.Struct, frozen=True):
    """What the demo wants to know of an alert; the answer has more."""

    id: str
    device: str
    severity: str
    opened: float
    """Time of the reading that raised it, seconds since 1970."""
    reason: str


class Page(msgspec.Struct, frozen=True):
    """A part of the list, those that reached the hub last first."""

    alerts: list[HubAlert]
    total: int
    next: int | None


class Hub:
    """A hub at an address, and the file in which it left its first token."""

    def __init__(self, url: str, token_file: Path) -> None:
        self.url, self.token_file = url, token_file

    def ready(self) -> bool:
        """Whether it answers, and has made its token."""
        try:
            self.newest(1)
        except HubError:
            return False
        return True

    def newest(self, limit: int) -> Page:
        """The alerts that reached the hub last.

        Raises:
            HubError: no answer.
        """
        return self._get({"limit": limit})

    def all(self) -> list[HubAlert]:
        """Every alert, page by page.

        Raises:
            HubError: no answer.
        """
        page = self._get({"limit": LARGEST_PAGE})
        found = list(page.alerts)
        while page.next is not None:
            page = self._get({"limit": LARGEST_PAGE, "before": page.next})
            found += page.alerts
        return found

    def _get(self, query: dict[str, int]) -> Page:
        url = f"{self.url}/api/v1/alerts?{urlencode(query)}"
        try:
            token = self.token_file.read_text().strip()
            request = Request(url, headers={"Authorization": f"Bearer {token}"})  # noqa: S310  # our own address
            with urlopen(request, timeout=TIMEOUT) as response:  # noqa: S310
                return msgspec.json.decode(response.read(), type=Page)
        except (OSError, HTTPException, msgspec.MsgspecError) as error:
            raise HubError(f"{url}: {error}") from error
