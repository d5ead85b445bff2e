"""TCP: whether something listens at a broker's address."""

from __future__ import annotations

import errno
import socket
from typing import TYPE_CHECKING, NamedTuple

from vedette_agent.doctor.finding import Finding

if TYPE_CHECKING:
    from collections.abc import Sequence


class Reached(NamedTuple):
    """The first address that answered, or why the last did not."""

    address: str = ""
    number: int = 0
    """errno of the failure."""
    error: str = ""


def look(addresses: Sequence[str], port: int, seconds: float) -> Reached:
    """Connect to one address after the other until one answers, and hang up."""
    last = Reached(error="there is no address")
    for address in addresses:
        try:
            socket.create_connection((address, port), timeout=seconds / len(addresses)).close()
        except OSError as error:
            number = errno.ETIMEDOUT if isinstance(error, TimeoutError) else error.errno or 0
            last = Reached("", number, "no answer" if isinstance(error, TimeoutError) else error.strerror or str(error))
        else:
            return Reached(address)
    return last


def judge(subject: str, host: str, port: int, seen: Reached) -> Finding:
    """Ok when one address answers."""
    where = f"{host} port {port}"
    if seen.address:
        return Finding("tcp", subject, "ok", f"{where} answers at {seen.address}.")
    match seen.number:
        case errno.ECONNREFUSED:
            fix = f"Start the broker there (systemctl status mosquitto) with `listener {port}` in mosquitto.conf."
        case errno.EPERM | errno.EACCES:
            fix = "Allow the address: a firewall on this machine forbids it (nft list ruleset)."
        case errno.ENETUNREACH | errno.EHOSTUNREACH:
            fix = f"Give this machine a route there, or correct [{subject}] url; try: ip route get {host}"
        case _:
            fix = f"Open TCP port {port} in the firewalls between here and {host}, or correct [{subject}] url."
    return Finding("tcp", subject, "failed", f"{where} cannot be reached: {seen.error.lower()}.", fix)
