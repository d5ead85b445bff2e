"""Service: whether systemd starts the agent at boot, watches it, and lets it reach its brokers."""

from __future__ import annotations

import ipaddress
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from vedette_agent.doctor.dns import is_address
from vedette_agent.doctor.finding import Finding

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vedette_agent.config import Config

UNIT = "vedette-agent.service"
PROPERTIES = (
    "LoadState",
    "UnitFileState",
    "ActiveState",
    "Result",
    "NRestarts",
    "Restart",
    "WatchdogUSec",
    "LoadCredential",
    "LoadCredentialEncrypted",
    "SetCredential",
    "IPAddressAllow",
    "IPAddressDeny",
)
RESOLVER = Path("/etc/resolv.conf")


class Service(NamedTuple):
    """What systemd says of the unit."""

    properties: Mapping[str, str] = {}
    unread: str = ""
    nameservers: tuple[str, ...] = ()


def look(unit: str, seconds: float) -> Service:
    """Ask systemctl, which changes nothing."""
    program = shutil.which("systemctl")
    if program is None or not Path("/run/systemd/system").is_dir():
        return Service(unread="systemd does not run this machine")
    try:
        said = subprocess.run(  # noqa: S603  # a program of the system, and words of our own
            [program, "show", f"--property={','.join(PROPERTIES)}", "--", unit],
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return Service(unread=f"systemctl does not answer ({type(error).__name__})")
    if said.returncode != 0:
        return Service(unread=said.stderr.strip().splitlines()[0] if said.stderr.strip() else "systemctl failed")
    pairs = (line.partition("=") for line in said.stdout.splitlines())
    return Service({key: value for key, _, value in pairs}, nameservers=_nameservers())


def _nameservers() -> tuple[str, ...]:
    try:
        text = RESOLVER.read_text(errors="replace")
    except OSError:
        return ()
    return tuple(re.findall(r"(?m)^\s*nameserver\s+(\S+)", text))


def judge(
    config: Config, unit: str, seen: Service, addresses: Mapping[str, Sequence[str]], *, runs: bool
) -> list[Finding]:
    """`addresses`: of each broker, by section; `runs`: an agent holds the state folder, whoever has started it."""
    if seen.unread:
        fix = "Look after the agent with what runs services here; --unit names another unit."
        return [Finding("systemd", "", "not tested", f"{seen.unread}.", fix)]
    said = seen.properties
    if said.get("LoadState") != "loaded":
        fix = "Install it: install -m 644 systemd/vedette-agent.service /etc/systemd/system/; systemctl daemon-reload"
        return [Finding("systemd", "", "warning", f"there is no usable unit {unit}: nobody restarts the agent.", fix)]
    found = [*_life(unit, said, runs=runs), *_credentials(config, unit, said), *_network(config, unit, seen, addresses)]
    if found:
        return found
    watched = f"restarted {said.get('NRestarts', '0')} times, watchdog {said.get('WatchdogUSec', 'unknown')}"
    return [Finding("systemd", "", "ok", f"{unit} is {said.get('ActiveState')}, {watched}.")]


def _life(unit: str, said: Mapping[str, str], *, runs: bool) -> list[Finding]:
    found = []

    def add(outcome: str, seen: str, fix: str) -> None:
        found.append(Finding("systemd", "", "failed" if outcome == "failed" else "warning", seen, fix))

    state = said.get("ActiveState")
    if state == "failed":
        result = said.get("Result")
        add("failed", f"{unit} has failed ({result}).", f"Read why: journalctl -u {unit} -n 50; then start it")
    elif state not in ("active", "activating", "reloading"):
        said_so = f"an agent runs, but not as {unit}, which" if runs else unit
        add("warning", f"{said_so} is {state}.", f"systemctl enable --now {unit}")
    elif said.get("WatchdogUSec") in ("0", "infinity"):  # of a unit that is not active, systemd does not know it
        fix = f"Set WatchdogSec=60 under [Service]: systemctl edit {unit}"
        add("warning", f"{unit} has no watchdog: an agent that hangs is not noticed.", fix)
    if said.get("UnitFileState") not in ("enabled", "enabled-runtime", "static", "generated"):
        add("warning", f"{unit} is not started at boot ({said.get('UnitFileState')}).", f"systemctl enable {unit}")
    if said.get("Restart") not in (None, "always", "on-failure"):
        fix = f"Set Restart=always under [Service]: systemctl edit {unit}"
        add("warning", f"{unit} is not restarted when it ends (Restart={said.get('Restart')}).", fix)
    return found


def _credentials(config: Config, unit: str, said: Mapping[str, str]) -> list[Finding]:
    if "unprintable" in said.get("LoadCredential", "unprintable"):
        return []  # systemd 252 does not say
    handed = " ".join(said.get(key, "") for key in ("LoadCredential", "LoadCredentialEncrypted", "SetCredential"))
    names = set(re.split(r"[\s:]+", handed))
    found = []
    for section, broker in (("devices", config.devices), ("hub", config.hub)):
        name = broker.password_credential if broker is not None else None
        if name is not None and name not in names:
            seen = f"[{section}] password_credential is {name}, which {unit} does not load."
            fix = f"Add LoadCredential={name}:/etc/vedette/{section}.password under [Service]: systemctl edit {unit}"
            found.append(Finding("systemd", "", "failed", seen, fix))
    return found


def _network(config: Config, unit: str, seen: Service, addresses: Mapping[str, Sequence[str]]) -> list[Finding]:
    allowed, denied = (_networks(seen.properties.get(key, "")) for key in ("IPAddressAllow", "IPAddressDeny"))
    found = []
    hosts = {"devices": config.devices.host} | ({"hub": config.hub.host} if config.hub else {})
    for section, known in addresses.items():
        blocked = [address for address in known if _is_blocked(address, allowed, denied)]
        if blocked and len(blocked) == len(known):
            said = f"{unit} may not reach {hosts.get(section, section)} ({blocked[0]}): its IPAddressAllow= has it not."
            fix = f"Add IPAddressAllow={blocked[0]} under [Service]: systemctl edit {unit}; systemctl restart {unit}"
            found.append(Finding("systemd", section, "failed", said, fix))
    servers = [server for server in seen.nameservers if _is_blocked(server, allowed, denied)]
    by_name = [host for host in hosts.values() if not is_address(host) and host != "localhost"]
    if servers and by_name and len(servers) == len(seen.nameservers):
        said = f"{unit} may not reach the nameserver {servers[0]}: it cannot look up {by_name[0]}."
        fix = f"Add IPAddressAllow={servers[0]} under [Service]: systemctl edit {unit}; systemctl restart {unit}"
        found.append(Finding("systemd", "", "failed", said, fix))
    return found


def _networks(text: str) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    found = []
    for word in text.split():
        try:
            found.append(ipaddress.ip_network(word, strict=False))
        except ValueError:
            continue  # a word of a later systemd
    return found


def _is_blocked(
    address: str,
    allowed: Sequence[ipaddress.IPv4Network | ipaddress.IPv6Network],
    denied: Sequence[ipaddress.IPv4Network | ipaddress.IPv6Network],
) -> bool:
    """As systemd decides: what is allowed passes, else what is denied does not, else it passes."""
    try:
        one = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if any(one in network for network in allowed if network.version == one.version):
        return False
    return any(one in network for network in denied if network.version == one.version)
