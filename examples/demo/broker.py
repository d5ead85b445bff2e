"""Broker: Mosquitto where it is installed, else amqtt; on loopback, with a state folder of its own."""

from __future__ import annotations

import os
import shutil
import sys
from typing import TYPE_CHECKING, NamedTuple

from examples.demo.children import Child, ChildError, free_port, listens

if TYPE_CHECKING:
    from pathlib import Path

START_SECONDS = 20.0
_PLACES = "/usr/sbin:/usr/local/sbin:/opt/homebrew/sbin"
"""Where packages put Mosquitto, and users have no path to."""


class Broker(NamedTuple):
    """A running broker."""

    name: str
    port: int
    protocol: str
    """The newest MQTT version that it speaks, as in the configurations of agent and hub."""
    child: Child

    @property
    def url(self) -> str:
        """Where clients connect."""
        return f"mqtt://127.0.0.1:{self.port}"


def start(folder: Path, wanted: str) -> Broker:
    """Start a broker that keeps its files in `folder`; `wanted`: mosquitto, amqtt, or empty for what there is.

    Raises:
        ChildError: it is not installed, or did not start.
    """
    if wanted not in ("", "mosquitto", "amqtt"):
        raise ChildError(f'DEMO_BROKER="{wanted}" is not known: use mosquitto or amqtt, or leave it out')
    program = shutil.which("mosquitto") or shutil.which("mosquitto", path=_PLACES)
    if wanted == "mosquitto" and program is None:
        raise ChildError("DEMO_BROKER=mosquitto, but it is not installed (Debian: apt-get install mosquitto)")
    folder.mkdir(parents=True)
    port = free_port()
    if program is None or wanted == "amqtt":
        command = [sys.executable, "-m", "examples.demo.amqtt_broker", str(port)]
        broker = Broker("amqtt", port, "3.1.1", Child("the broker amqtt", command, folder / "amqtt.log"))
    else:
        configuration = folder / "mosquitto.conf"
        configuration.write_text(_mosquitto(folder, port))
        command = [program, "-c", str(configuration)]
        broker = Broker("Mosquitto", port, "5", Child("the broker Mosquitto", command, folder / "mosquitto.log"))
    try:
        broker.child.wait_until(lambda: listens(port), "accepts connections", START_SECONDS)
    except BaseException:
        broker.child.stop()
        raise
    return broker


def _mosquitto(folder: Path, port: int) -> str:
    """The shipped configuration in small: this machine only, everybody may connect, generous queues."""
    lines = [
        f"listener {port} 127.0.0.1",
        "allow_anonymous true",
        "max_queued_messages 500000",
        "max_inflight_messages 512",
        "set_tcp_nodelay true",
        "persistence true",
        f"persistence_location {folder}/",
        "log_dest stderr",
    ]
    if os.geteuid() == 0:
        # started as root it becomes the user `mosquitto`, who may not write to our folder
        lines.append("user root")
    return "\n".join(lines) + "\n"
