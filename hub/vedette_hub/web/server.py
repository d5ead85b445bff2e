"""The web server: gunicorn as a child that ends with its parent, on a socket the parent holds.

The parent keeps the child's standard input open. However the parent ends, also by `kill -9`, the child reads the end
of it and takes its workers along at once, so that a new hub finds the port free.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from vedette_hub.errors import HubError
from vedette_hub.parent import end_with_parent

if TYPE_CHECKING:
    from flask import Flask

STOP_SECONDS = 10
"""What requests in flight have to finish when the hub is told to stop; less than the unit's TimeoutStopSec."""
_OF_SYSTEMD = {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID", "GUNICORN_CMD_ARGS"}


def listen(host: str, port: int) -> socket.socket:
    """A listening socket.

    Raises:
        HubError: the address is in use, or not one of this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=128)
    except OSError as error:
        hint = "does another program listen there? Set web.port" if error.errno == 98 else "set web.host and web.port"
        raise HubError(f"web: cannot listen on {host} port {port}: {error.strerror or error}; {hint}") from error


def start(command: list[str], listener: socket.socket, settings: str) -> subprocess.Popen[bytes]:
    """Start a child that serves `listener`; it is given `settings` as the first line of its standard input."""
    number = listener.fileno()
    child = subprocess.Popen(  # noqa: S603  # our own interpreter and arguments
        [sys.executable, *command, "--socket", str(number)],
        stdin=subprocess.PIPE,
        pass_fds=[number],
        process_group=0,
        # gunicorn would speak to systemd in the hub's place.
        env={name: value for name, value in os.environ.items() if name not in _OF_SYSTEMD},
    )
    assert child.stdin is not None  # noqa: S101  # a pipe was asked for
    child.stdin.write(settings.replace("\n", " ").encode() + b"\n")
    child.stdin.flush()
    return child


def stop(child: subprocess.Popen[bytes]) -> None:
    """End the child: requests that run may finish, for a few seconds."""
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(STOP_SECONDS + 2)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
    if child.stdin is not None:
        child.stdin.close()


def serve(
    make_application: Callable[[], Flask], socket_number: int, threads: int, certificate: tuple[str, str] | None
) -> None:
    """In the child: serve until told to stop, or until the parent is gone."""
    from vedette_hub.web.gunicorn_application import GunicornApplication

    end_with_parent()
    GunicornApplication(make_application, socket_number, threads, STOP_SECONDS, certificate).run()
