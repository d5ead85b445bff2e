"""docs/deployment.md is followed to the letter, in a folder that stands for each machine, and then everything runs."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from tests.brokers import MOSQUITTO, Mosquitto, free_port
from tests.conftest import NO_MOSQUITTO
from tests.processes import MODULES, ROOT, eventually, running

TEXT = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")
SECONDS = 60.0
_ELSEWHERE = ("/etc/", "/opt/", "/var/")
_STANDS_IN = """#!/bin/sh
echo "$0 $*" >> {log}
"""
_SUDO = """#!/bin/sh
[ "$1" = -u ] && shift 2
exec "$@"
"""
# without the rights of root nobody can give a file to a group
_INSTALL = """#!/bin/sh
for word in "$@"; do
    shift
    if [ "$skip" ]; then skip=; elif [ "$word" = -g ]; then skip=yes; else set -- "$@" "$word"; fi
done
exec /usr/bin/install "$@"
"""


def blocks(title: str) -> list[str]:
    """Fenced commands of a section."""
    section = re.search(rf"(?ms)^## {re.escape(title)}$(.*?)(?=^## |\Z)", TEXT)
    assert section, title
    return re.findall(r"(?ms)^```sh\n(.*?)^```$", section[1])


class Machine:
    """A folder that stands for a machine: absolute paths of the page lie in it, and nobody starts services there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.called = folder / "called"
        self.environment = {
            "VEDETTE_HUB_STATE_DIR": str(folder / "hub"),
            "VEDETTE_GATEWAY__STATE_DIR": str(folder / "s"),
        }
        programs, ours = folder / "programs", folder / "opt" / "vedette" / "bin"
        for path in (programs, ours, folder / "etc" / "mosquitto" / "certs"):
            path.mkdir(parents=True)
        for name in ("apt-get", "useradd", "systemctl", "chgrp", "python3"):
            _program(programs / name, _STANDS_IN.format(log=self.called))
        _program(programs / "sudo", _SUDO)
        _program(programs / "install", _INSTALL)
        _program(ours / "pip", _STANDS_IN.format(log=self.called))
        for name, module in MODULES.items():
            start = f"#!/bin/sh\nexec {sys.executable} -c 'from {module} import main; main()' \"$@\"\n"
            _program(ours / name, start)
        self._programs = programs

    def follow(self, commands: str) -> str:
        """What they printed; ends at the first that fails."""
        for place in _ELSEWHERE:
            commands = re.sub(rf"(?<![\w.%]){place}", f"{self.folder}{place}", commands)
        commands = commands.replace(
            "agent config check", f"agent config check --config {self.folder}/etc/vedette/agent.toml"
        )
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", commands], cwd=ROOT, capture_output=True, text=True, timeout=SECONDS,
            env={**os.environ, **self.environment, "PATH": f"{self._programs}:{os.environ['PATH']}:/usr/sbin"},
        )  # fmt: skip
        assert done.returncode == 0, f"{commands}\n{done.stdout}{done.stderr}"
        return done.stdout

    def path(self, place: str) -> Path:
        return self.folder / place.lstrip("/")

    def broker(self, port: int, tls: int | None = None) -> Mosquitto:
        """Its Mosquitto, with other ports."""
        text = self.path("/etc/mosquitto/mosquitto.conf").read_text()
        text = text.replace("/etc/", f"{self.folder}/etc/").replace("/var/lib/mosquitto/", "{directory}/")
        text = re.sub(r"(?m)^listener 1883 ", "listener {port} ", text)
        if tls is not None:
            assert re.search(r"(?m)^listener 8883$", text), "the TLS listener is enabled"
            text = text.replace("listener 8883", f"listener {tls} 127.0.0.1")
        return Mosquitto(self.folder / "broker", config=f"{text}\nuser root\n", port=port)


def _program(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


def handed_over(machine: Machine, drop_in: str, folder: Path) -> None:
    """Do what systemd does with LoadCredential=."""
    folder.mkdir()
    for name, source in re.findall(r"(?m)^LoadCredential=([^:]+):(.+)$", machine.path(drop_in).read_text()):
        (folder / name).write_bytes(Path(source).read_bytes())


def test_whoever_follows_the_page_has_a_hardened_fleet_that_works(tmp_path: Path) -> None:
    if MOSQUITTO is None:
        pytest.skip(NO_MOSQUITTO)
    hub, gateway = Machine(tmp_path / "hub-machine"), Machine(tmp_path / "gateway")
    *before, enroll = (text.replace("hub.example.org", "localhost") for text in blocks("The hub's machine"))
    for commands in before:
        hub.follow(commands)
    hub_port, tls_port, devices_port = free_port(), free_port(), free_port()
    hub_broker = hub.broker(hub_port, tls_port)
    hub_broker.start()
    handed_over(hub, "/etc/systemd/system/vedette-hub.service.d/password.conf", hub.folder / "credentials")
    environment = {
        **hub.environment,
        "VEDETTE_HUB_BROKER_URL": hub_broker.url,
        "VEDETTE_HUB_BROKER_PASSWORD_FILE": str(hub.folder / "credentials" / "broker-password"),
        "VEDETTE_HUB_WEB_PORT": "0",
    }
    hub.environment = environment
    hub_log = hub.folder / "log"
    with running(
        "vedette-hub", "serve", "--config", hub.path("/etc/vedette/hub.toml"), log=hub_log, environment=environment
    ):
        eventually(lambda: "console: http://" in hub_log.read_text(), "the hub runs")
        printed = hub.follow(enroll)
        with hub.path("/etc/mosquitto/hub.passwd").open("a") as file:
            file.write(found(r"^\s+(gateway-1:\$7\$\S+)$", printed) + "\n")
        assert hub_broker.pid
        os.kill(hub_broker.pid, 1)  # what `systemctl reload` does

        first, service = _gateway_sections()
        for commands in first:
            gateway.follow(commands)
        for place, text in (
            ("hub.password", found(r"hub\.password.*?\n\n\s+(\S+)\n", printed)),
            ("keyring", found(r"^\s+(vedette-public .*)$", printed)),
            ("ca.pem", hub.path("/etc/vedette-ca/ca.pem").read_text()),
        ):
            gateway.path(f"/etc/vedette/{place}").write_text(text + "\n")
        for commands in service:
            gateway.follow(
                commands.replace("hub.example.org:8883", f"localhost:{tls_port}").replace("1883", str(devices_port))
            )
        devices_broker = gateway.broker(devices_port)
        devices_broker.start()
        handed_over(
            gateway, "/etc/systemd/system/vedette-agent.service.d/passwords.conf", gateway.folder / "credentials"
        )
        config = gateway.path("/etc/vedette/agent.toml")
        environment = {
            **gateway.environment,
            "CREDENTIALS_DIRECTORY": str(gateway.folder / "credentials"),
            "VEDETTE_GATEWAY__HEARTBEAT": "500ms",
        }
        log = gateway.folder / "log"
        with running("vedette-agent", "run", "--config", config, log=log, environment=environment):
            eventually(lambda: "hub broker" in log.read_text() and "devices broker" in log.read_text(), "both brokers")
            _check(gateway, config, devices_broker)
        devices_broker.kill()
    hub_broker.kill()
    assert "systemctl enable --now vedette-agent" in gateway.called.read_text()


def _gateway_sections() -> tuple[list[str], list[str]]:
    """Before and after what came from the hub was copied."""
    texts = blocks("The gateway")
    cut = next(i for i, text in enumerate(texts) if "agent.toml" in text)
    return texts[:cut], texts[cut:]


def _check(gateway: Machine, config: Path, broker: Mosquitto) -> None:
    doctor, test_alert = blocks("Is all well?")[0].splitlines()
    password = gateway.path("/etc/vedette/pump-7.password").read_text().strip()
    sent = gateway.follow(f"{test_alert} --config {config}")
    assert "receipted by the hub" in sent
    with publishing(broker.port, "pump-7", password):
        answer = json.loads(gateway.follow(f"{doctor} --json --config {config}"))
    outcomes = {f"{f['subject']} {f['check']}".strip(): f["outcome"] for f in answer["findings"]}
    assert answer["ok"], answer
    tested = ("dns", "tcp", "login", "acl write", "acl read")
    assert {outcomes[f"{side} {name}"] for side in ("devices", "hub") for name in tested} == {"ok"}, answer
    assert (outcomes["hub tls"], outcomes["plant/+/telemetry sample"], outcomes["key ring"]) == ("ok", "ok", "ok")
    secrets = [path.read_text().strip() for path in gateway.path("/etc/vedette").glob("*.password")]
    assert len(secrets) == 3
    assert not [secret for secret in secrets if secret in json.dumps(answer) + sent]


@contextmanager
def publishing(port: int, user: str, password: str) -> Iterator[None]:
    """A device that says the same five times a second."""
    over = threading.Event()
    client = Client(CallbackAPIVersion.VERSION2)
    client.username_pw_set(user, password)
    client.connect("127.0.0.1", port)
    client.loop_start()

    def publish() -> None:
        while not over.wait(0.2):
            reading = {"ts": time.time(), "vibration": 1.5, "temperature": 40.0}
            client.publish(f"plant/{user}/telemetry", json.dumps(reading), 1)

    thread = threading.Thread(target=publish, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        client.disconnect()
        client.loop_stop()


def found(pattern: str, text: str) -> str:
    match = re.search(pattern, text, re.MULTILINE)
    assert match, text
    return match[1]


def test_the_drop_in_fits_the_mosquitto_that_debian_installs(tmp_path: Path) -> None:
    if MOSQUITTO is None:
        pytest.skip(NO_MOSQUITTO)
    machine = Machine(tmp_path / "machine")
    (command,) = (text for text in blocks("The gateway") if text.startswith("grep -v"))
    machine.follow(command)
    (tmp_path / "conf.d").mkdir()
    ours = machine.path("/etc/mosquitto/vedette.conf.example").read_text()
    ours = ours.replace("/etc/mosquitto/", f"{tmp_path}/").replace("listener 1883 ", "listener {port} ")
    port = free_port()
    (tmp_path / "conf.d" / "vedette.conf").write_text(ours.replace("{port}", str(port)))
    (tmp_path / "devices.passwd").touch(mode=0o600)
    (tmp_path / "devices.acl").write_bytes((ROOT / "configs" / "mosquitto" / "devices.acl").read_bytes())
    # as Debian has it, but for its paths and for the user, who may not write to a test's folder
    stock = "persistence true\npersistence_location {directory}/\nlog_dest stdout\nuser root\n"
    stock += f"include_dir {tmp_path}/conf.d\n"
    broker = Mosquitto(tmp_path / "broker", config=stock, port=port)
    broker.start()
    broker.kill()
