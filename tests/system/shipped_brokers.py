"""Brokers with the shipped configuration, in which only paths, the port and the users are a test's own."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from pathlib import Path

from tests.brokers import Mosquitto
from tests.processes import ROOT

SHIPPED = ROOT / "configs" / "mosquitto"


def password_of(user: str) -> str:
    """What `user` logs in with."""
    return f"password of {user}"


def shipped_broker(directory: Path, name: str, users: Iterable[str]) -> Mosquitto:
    """A broker, not started, as `configs/mosquitto/<name>.conf` says, with its access list and these users."""
    directory.mkdir(parents=True)
    passwords = directory / f"{name}.passwd"
    passwords.write_text("".join(f"{user}:{password_of(user)}\n" for user in users))
    subprocess.run(["mosquitto_passwd", "-U", str(passwords)], check=True)
    # a topic more, as an operator adds one
    more = "\npattern write plant/%u/other\n" if name == "devices" else ""
    (directory / f"{name}.acl").write_text((SHIPPED / f"{name}.acl").read_text() + more)
    text = (SHIPPED / f"{name}.conf").read_text()
    changes = {
        "/etc/mosquitto/": f"{directory}/",
        "/var/lib/mosquitto/": "{directory}/",
        "listener 1883 127": "listener {port} 127",
    }
    for shipped, ours in changes.items():
        assert shipped in text
        text = text.replace(shipped, ours)
    # Started as root, Mosquitto would become a user who cannot write to the test's folder.
    return Mosquitto(directory, config=f"{text}\nuser root\n")
