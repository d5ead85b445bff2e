"""Presence: whether an agent runs here, and what it left behind if not. Writes nothing, and creates nothing."""

from __future__ import annotations

import fcntl
import os
import time
from typing import TYPE_CHECKING, NamedTuple

from vedette_agent import state_lock, status
from vedette_agent.doctor.finding import Finding
from vedette_models.messages import MessageError

if TYPE_CHECKING:
    from vedette_agent.config import Config
    from vedette_models.messages import Status


class Presence(NamedTuple):
    """What the state folder says."""

    running: bool | None
    """None: the folder cannot be read by this user."""
    status: Status | None = None
    installed: str = ""
    """Version of this program."""
    configured: float = 0.0
    """When the configuration file was changed last."""


def look(config: Config) -> Presence:
    """Read the lock and the status file."""
    from importlib.metadata import version

    folder = config.gateway.state_dir
    running = _is_locked(config)
    try:
        found = status.read(folder)
    except (OSError, MessageError):
        found = None
    try:
        changed = config.source.stat().st_mtime
    except OSError:
        changed = 0.0
    return Presence(running, found, version("vedette"), changed)


def _is_locked(config: Config) -> bool | None:
    path = config.gateway.state_dir / state_lock.FILE
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    except OSError:
        return None
    try:
        # shared, and for no longer than this: an agent that starts at this very moment is started again by systemd
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(file)
    return False


def judge(config: Config, seen: Presence, now: float) -> list[Finding]:
    """Whether it runs, is alive, is up to date, and what it complains of."""
    folder = config.gateway.state_dir
    if seen.running is None:
        return [
            Finding(
                "agent",
                "",
                "not tested",
                f"this user may not read {folder}, so nobody knows whether an agent runs.",
                "Run this as root: sudo vedette-agent doctor",
            )
        ]
    if not seen.running:
        return [
            Finding(
                "agent",
                "",
                "warning",
                f"no agent runs on {folder}: nobody watches.",
                "Start it: systemctl enable --now vedette-agent",
            )
        ]
    if seen.status is None or now - seen.status.time > 3 * config.gateway.heartbeat + 5:
        ago = "has said nothing yet" if seen.status is None else f"last spoke {now - seen.status.time:.0f} s ago"
        return [
            Finding(
                "agent",
                "",
                "failed",
                f"an agent holds {folder} and {ago}: it hangs, its disk refuses, or the clock was set.",
                "Restart it: systemctl restart vedette-agent; then read: journalctl -u vedette-agent -n 50",
            )
        ]
    return _alive(seen, seen.status, now)


def _alive(seen: Presence, said: Status, now: float) -> list[Finding]:
    restart = "Restart it: systemctl restart vedette-agent"
    found = [
        Finding(
            "agent",
            "",
            "ok",
            f"it runs since {_when(said.started)} UTC, version {said.version}, ingest {said.ingest}, hub {said.hub}, "
            f"{said.devices} devices.",
        )
    ]
    if said.version != seen.installed:
        found.append(
            Finding("agent", "", "warning", f"it runs version {said.version}, installed is {seen.installed}.", restart)
        )
    if seen.configured > said.started:
        found.append(Finding("agent", "", "warning", "its configuration has been changed since it started.", restart))
    if said.lost_rows:
        found.append(
            Finding(
                "agent",
                "",
                "warning",
                f"{said.lost_rows} rows were given up before the hub had them.",
                "Raise max_rows and max_bytes in [outbox], or find out why the hub was away for so long.",
            )
        )
    fix = "Do what it says, or read: journalctl -u vedette-agent -n 50"
    found += [Finding("agent", "", "warning", f"it reports: {problem}", fix) for problem in said.problems]
    return found


def _when(moment: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.gmtime(moment))
