"""DNS: whether a broker's name leads to an address."""

from __future__ import annotations

import ipaddress
import socket
from typing import NamedTuple

from vedette_agent.doctor.bounded import bounded
from vedette_agent.doctor.finding import Finding


class Resolved(NamedTuple):
    """What a name leads to."""

    addresses: tuple[str, ...] = ()
    """In the order in which they are tried."""
    error: str = ""


def look(host: str, port: int, seconds: float) -> Resolved:
    """Look a name up as the agent does."""
    try:
        found = bounded(lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM), seconds)
    except TimeoutError:
        return Resolved(error=f"no nameserver answered within {seconds:.0f} s")
    except (OSError, UnicodeError) as error:
        return Resolved(error=getattr(error, "strerror", None) or str(error))
    return Resolved(tuple(dict.fromkeys(str(address[0]) for *_, address in found)))


def judge(subject: str, host: str, seen: Resolved) -> Finding:
    """Ok with at least one address."""
    if seen.error:
        return Finding(
            "dns",
            subject,
            "failed",
            f"{host} could not be looked up: {seen.error}.",
            f"Correct the name in [{subject}] url, or the nameservers in /etc/resolv.conf; try: getent hosts {host}",
        )
    if is_address(host):
        return Finding("dns", subject, "ok", f"{host} is an address: no name is looked up.")
    return Finding("dns", subject, "ok", f"{host} is {', '.join(seen.addresses[:4])}.")


def is_address(host: str) -> bool:
    """Whether a host is an IP address and no name."""
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True
