"""The process in which Apprise runs: it takes orders on standard input, one line each, and ends with its parent.

Apprise knows more than a hundred services, each with code of its own that connects where it pleases. So it runs apart,
and Python's audit events tell of every connection before it is made: what the address policy refuses fails, whatever
plug-in, redirect or name server led there. Programs cannot be started from it, and it can be killed when it hangs.
"""

from __future__ import annotations

import ipaddress
import json
import logging
import signal
import socket
import sys
from typing import Any

from vedette_hub.notify.addresses import AddressPolicy

_CONNECTING = frozenset({"socket.connect", "socket.sendto", "socket.sendmsg"})
_STARTING = frozenset(
    {"subprocess.Popen", "os.system", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "pty.spawn"}
)


class RefusedError(OSError):
    """What is not done here."""


class Guard:
    """An audit hook that lets nothing out but what the policy of the present order allows."""

    def __init__(self) -> None:
        self.policy = AddressPolicy()
        self.refused = ""
        """What was refused while the present order was carried out; empty: nothing."""

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Refuse, by raising an error."""
        if event in _STARTING:
            self._refuse("it wanted to start a program")
        elif event in _CONNECTING and (problem := self._problem(arguments[0], arguments[1])):
            self._refuse(problem)

    def _problem(self, made: socket.socket, address: Any) -> str:
        if made.family not in (socket.AF_INET, socket.AF_INET6) or not isinstance(address, tuple):
            return "" if address is None else "it wanted to connect to something that is no internet address"
        try:
            host = str(ipaddress.ip_address(address[0]))
        except ValueError:
            return f"it wanted to connect to {address[0]!r}, a name that is not resolved yet"
        if not self.policy.allows(host):
            return f"{host}: not an address of the public internet; if it is meant, add it to notify.allow_networks"
        return ""

    def _refuse(self, problem: str) -> None:
        self.refused = problem
        raise RefusedError(problem)


class _Words(logging.Handler):
    """What Apprise complained of."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(" ".join(record.getMessage().split())[:300])


def carry_out(order: dict[str, Any], guard: Guard, complaints: list[str]) -> dict[str, Any]:
    """Send what an order says: `{"ok", "error", "permanent"}`."""
    import apprise

    guard.policy = AddressPolicy.of(order["networks"], allow_http=order["allow_http"])
    guard.refused = ""
    complaints.clear()
    # Nothing of Apprise's own: neither its name nor pictures from its site, nor plug-ins from a folder.
    asset = apprise.AppriseAsset(
        app_id="Vedette", app_desc="Vedette", app_url="", image_url_mask="", image_url_logo="", plugin_paths=[]
    )
    service = apprise.Apprise.instantiate(order["url"], asset=asset, suppress_exceptions=True)
    if service is None or isinstance(service, (list, dict)):
        return {"ok": False, "permanent": True, "error": "Apprise does not understand this address"}
    if problem := _plain(service, order["url"], allow_http=order["allow_http"]):
        return {"ok": False, "permanent": True, "error": problem}
    sent = service.notify(
        title=order["title"],
        body=order["text"],
        body_format=apprise.NotifyFormat.TEXT,
        notify_type=apprise.NotifyType(order["type"]),
    )
    if sent:
        return {"ok": True, "permanent": False, "error": ""}
    reason = guard.refused or "; ".join(complaints) or "the service did not take it"
    return {"ok": False, "permanent": False, "error": reason[:500]}


def _plain(service: Any, url: str, *, allow_http: bool) -> str:
    """Why a service is not used at all: it stays on this machine, or goes unencrypted."""
    if allow_http:
        return ""
    schema = url.split("://", 1)[0].lower()
    if not getattr(service, "verify_certificate", True):
        return "the address turns off the check of certificates, and notify.allow_http is not set"
    if schema in _several(service.protocol):
        return f"{schema}:// is not encrypted, and notify.allow_http is not set"
    return ""


def _several(protocols: Any) -> tuple[str, ...]:
    return (protocols,) if isinstance(protocols, str) else tuple(protocols or ())


def main() -> None:
    """Carry out orders until standard input ends."""
    # It ends with its standard input: what is being sent while the hub stops is sent.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    guard, words = Guard(), _Words()
    logger = logging.getLogger("apprise")
    logger.addHandler(words)
    logger.propagate = False
    # What plug-ins print must not look like an answer.
    out, sys.stdout = sys.stdout, sys.stderr
    import apprise  # noqa: F401  # before the guard, and before the first order: it takes half a second

    sys.addaudithook(guard)
    for line in sys.stdin:
        try:
            answer = carry_out(json.loads(line), guard, words.lines)
        except Exception as error:  # a plug-in may raise anything; the next order is another's
            problem = guard.refused or f"{type(error).__name__}: {error}"[:500]
            answer = {"ok": False, "permanent": False, "error": problem}
        out.write(json.dumps(answer) + "\n")
        out.flush()


if __name__ == "__main__":
    main()
