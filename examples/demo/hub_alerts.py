"""Alerts at the hub, as its API tells them."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlencode

import msgspec

if TYPE_CHECKING:
    from examples.demo.hub_api import HubApi

LARGEST_PAGE = 500


class HubAlert(msgspec.Struct, frozen=True):
    """What the demo wants to know of an alert; the answer has more."""

    id: str
    device: str
    severity: str
    opened: float
    """Time of the reading that raised it, seconds since 1970."""
    reason: str
    profile: str = ""
    detector: str = ""
    """Which one said most of that reading; `sensor_health` for impossible values."""


class Page(msgspec.Struct, frozen=True):
    """A part of the list, those that reached the hub last first."""

    alerts: list[HubAlert]
    total: int
    next: int | None


def newest(hub: HubApi, limit: int) -> Page:
    """The alerts that reached the hub last.

    Raises:
        HubError: no answer.
    """
    return _page(hub, {"limit": limit})


def every(hub: HubApi) -> list[HubAlert]:
    """Every alert, page by page.

    Raises:
        HubError: no answer.
    """
    page = _page(hub, {"limit": LARGEST_PAGE})
    found = list(page.alerts)
    while page.next is not None:
        page = _page(hub, {"limit": LARGEST_PAGE, "before": page.next})
        found += page.alerts
    return found


def _page(hub: HubApi, query: dict[str, int]) -> Page:
    return hub.get(f"alerts?{urlencode(query)}", Page)
