"""Which addresses messages may go to: a name is resolved once, all it stands for is checked, and that is connected to.

Whoever may set up a channel must not thereby reach what only the hub's machine can reach: itself, its network, and the
metadata service of a cloud. A name server that answers differently the second time finds nobody asking.
"""

from __future__ import annotations

import ipaddress
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from vedette_hub.notify.errors import DeliveryError, RefusedAddressError

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# IPv6 networks whose addresses stand for an IPv4 address in their last 32 bits: mapped, translated (RFC 6052).
_EMBEDDING = tuple(map(ipaddress.IPv6Network, ("::ffff:0:0/96", "64:ff9b::/96")))
_SIX_TO_FOUR = ipaddress.IPv6Network("2002::/16")
# What the tables of some Pythons call global: IETF protocol assignments (a cloud keeps its metadata there), relays,
# site-local addresses, translation within a network (RFC 8215), documentation (RFC 9637), segment routing (RFC 9602).
_NEVER = tuple(
    map(
        ipaddress.ip_network,
        ("192.0.0.0/24", "192.88.99.0/24", "fec0::/10", "64:ff9b:1::/48", "3fff::/20", "5f00::/16"),
    )
)


@dataclass(frozen=True)
class AddressPolicy:
    """What may be connected to: addresses of the public internet, and these networks."""

    networks: tuple[_Network, ...] = ()
    allow_http: bool = False
    """Whether messages may go unencrypted."""

    @classmethod
    def of(cls, networks: Sequence[str], *, allow_http: bool) -> AddressPolicy:
        """From networks as text, such as `10.1.0.0/16`; a ValueError when one is none."""
        return cls(tuple(map(ipaddress.ip_network, networks)), allow_http)

    def allows(self, address: str) -> bool:
        """Whether an IP address, as text, may be connected to.

        >>> AddressPolicy().allows("169.254.169.254"), AddressPolicy().allows("::ffff:127.0.0.1")
        (False, False)
        >>> AddressPolicy.of(["10.1.0.0/16"], allow_http=False).allows("10.1.2.3")
        True
        """
        found = _meant(ipaddress.ip_address(address))
        if any(found.version == network.version and found in network for network in self.networks):
            return True
        if any(found.version == network.version and found in network for network in _NEVER):
            return False
        return found.is_global and not (found.is_multicast or found.is_reserved or found.is_unspecified)

    def check(self, host: str, addresses: Sequence[str]) -> None:
        """Refuse a host when any of the addresses it stands for may not be connected to.

        Raises:
            RefusedAddressError: one may not; says which, and what to do.
        """
        for address in addresses:
            if not self.allows(address):
                shown = host if host == address else f"{host} ({address})"
                raise RefusedAddressError(
                    f"{shown}: not an address of the public internet, so nothing is sent there; "
                    "if it is meant, add its network to notify.allow_networks"
                )


def _meant(address: _Address) -> _Address:
    """The IPv4 address that an IPv6 address stands for; otherwise the address."""
    if isinstance(address, ipaddress.IPv6Address):
        if any(address in network for network in _EMBEDDING):
            return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
        if address in _SIX_TO_FOUR:
            return ipaddress.IPv4Address(int(address) >> 80 & 0xFFFF_FFFF)
    return address


def connect(host: str, port: int, policy: AddressPolicy, timeout: float) -> socket.socket:
    """A connection to a host that the policy allows; each step of it may take `timeout` seconds.

    Raises:
        RefusedAddressError: it does not.
        DeliveryError: the name cannot be resolved, or nothing answers.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise DeliveryError(f"{host}: the name cannot be resolved: {_words(error)}") from error
    policy.check(host, [str(entry[4][0]) for entry in found])
    problem = "no address"
    for family, kind, protocol, _, address in found:
        made = socket.socket(family, kind, protocol)
        made.settimeout(timeout)
        try:
            made.connect(address)
        except OSError as error:
            made.close()
            problem = _words(error)
        else:
            return made
    raise DeliveryError(f"{host}:{port}: {problem}")


@contextmanager
def cut_after(connection: socket.socket, seconds: float) -> Iterator[None]:
    """End a connection that is still used after so long, whatever dribbles in: the reader then fails."""
    # Another descriptor of the same connection: TLS takes the socket away.
    own = connection.dup()
    timer = threading.Timer(seconds, _shut, (own,))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
        own.close()


def _shut(connection: socket.socket) -> None:
    with suppress(OSError):  # it has ended by itself
        connection.shutdown(socket.SHUT_RDWR)


def _words(error: Exception) -> str:
    reason: Any = getattr(error, "strerror", None)
    return "no answer in time" if isinstance(error, TimeoutError) else str(reason or error)
