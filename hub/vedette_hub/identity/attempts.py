"""Failed sign-ins: counted for each address and each user name, and too many of them make everybody wait."""

from __future__ import annotations

import ipaddress
import time

from limits import RateLimitItemPerMinute
from limits.strategies import FixedWindowRateLimiter

from vedette_hub.identity.bounded_memory import BoundedMemory

WINDOW_MINUTES = 15


class Attempts:
    """What has failed within a quarter of an hour, in the memory of this process.

    Args:
        most: failures for one user name, and from one address, after which nothing is tried until the window is over.
    """

    def __init__(self, most: int) -> None:
        self._limit = RateLimitItemPerMinute(most, WINDOW_MINUTES)
        self._limiter = FixedWindowRateLimiter(BoundedMemory())

    def wait(self, name: str, address: str) -> int:
        """Seconds until this may be tried; 0: now."""
        ends = [
            self._limiter.get_window_stats(self._limit, *key).reset_time
            for key in self._keys(name, address)
            if not self._limiter.test(self._limit, *key)
        ]
        return max(1, round(max(ends) - time.time())) if ends else 0

    def failed(self, name: str, address: str) -> None:
        """Count a failure; also for a name that nobody has, so that it tells nothing."""
        for key in self._keys(name, address):
            self._limiter.hit(self._limit, *key)

    def succeeded(self, name: str) -> None:
        """Forget the failures for a user name. Those of the address stay: somebody there may be guessing others."""
        self._limiter.clear(self._limit, "user", name)

    def _keys(self, name: str, address: str) -> tuple[tuple[str, str], tuple[str, str]]:
        return ("user", name), ("address", network(address))


def network(address: str) -> str:
    """What counts as one address: an IPv4 address, or an IPv6 network of 64 bits, which one customer is given."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((parsed, 64), strict=False))
