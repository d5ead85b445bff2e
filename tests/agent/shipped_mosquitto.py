"""A Mosquitto with a shipped configuration, and clients that wait for what it answers."""

from __future__ import annotations

import queue
import ssl
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from tests.brokers import Mosquitto

CONFIGS = Path(__file__).parents[2] / "configs" / "mosquitto"
TLS = Path(__file__).parent / "cases" / "config" / "tls"
SECONDS = 15.0
NOT_AUTHORIZED = 0x87


class Client:
    """One client whose callers wait for what happens."""

    def __init__(
        self,
        port: int,
        user: str | None,
        client_id: str = "",
        *,
        transport: Any = "tcp",
        protocol: Any = mqtt.MQTTv5,
        **connect: Any,
    ) -> None:
        self.messages: queue.Queue[tuple[str, bytes]] = queue.Queue()
        self._connected: queue.Queue[tuple[int, bool]] = queue.Queue()
        self._answers: queue.Queue[int] = queue.Queue()
        self.disconnected: queue.Queue[int] = queue.Queue()
        self._client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id,
            protocol=protocol,
            transport=transport,
            reconnect_on_failure=False,
        )
        self._client.max_inflight_messages_set(1_000)
        if user is not None:
            self._client.username_pw_set(user, f"password of {user}")
        if transport == "websockets" or "tls" in connect:
            self._client.tls_set(ca_certs=str(TLS / "localhost.pem"), tls_version=ssl.PROTOCOL_TLS_CLIENT)
            connect.pop("tls", None)
        if "will" in connect:
            self._client.will_set(connect.pop("will"), b"x", 1, retain=True)
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = lambda _c, _u, _f, reason, _p: self.disconnected.put(reason.value)
        self._client.on_message = lambda _c, _u, message: self.messages.put((message.topic, bytes(message.payload)))
        self._client.on_publish = lambda _c, _u, _m, reason, _p: self._answers.put(reason.value)
        self._client.on_subscribe = lambda _c, _u, _m, reasons, _p: self._answers.put(reasons[0].value)
        self._client.connect("127.0.0.1" if transport == "tcp" else "localhost", port, **connect)
        self._client.loop_start()
        self.reason, self.session = self._connected.get(timeout=SECONDS)

    def _on_connect(self, _client: mqtt.Client, _data: Any, flags: mqtt.ConnectFlags, reason: Any, _p: Any) -> None:
        self._connected.put((reason.value, flags.session_present))

    def publish(self, topic: str, payload: bytes = b"x", qos: int = 1, *, retain: bool = False) -> int:
        """Publish and return what the broker answers."""
        self._client.publish(topic, payload, qos, retain)
        return self._answers.get(timeout=SECONDS)

    def send(self, topic: str, payload: bytes) -> None:
        """Publish, and do not wait."""
        self._client.publish(topic, payload, 1)

    def publish_all(self, topic: str, payloads: list[bytes], qos: int) -> None:
        for payload in payloads:
            self._client.publish(topic, payload, qos)
        for _ in payloads:
            self._answers.get(timeout=SECONDS)

    def subscribe(self, topic_filter: str) -> int:
        self._client.subscribe(topic_filter, 1)
        return self._answers.get(timeout=SECONDS)

    def until(self, last: str) -> set[str]:
        """Topics received before one on topic `last`."""
        received = set()
        while (topic := self.messages.get(timeout=SECONDS)[0]) != last:
            received.add(topic)
        return received

    def vanish(self) -> None:
        """Break the connection without a goodbye, so that the broker speaks the last will."""
        self._client.loop_stop()
        found = self._client.socket()
        assert found is not None
        found.close()

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@contextmanager
def connecting() -> Iterator[Callable[..., Client]]:
    """Clients that are gone afterwards."""
    clients: list[Client] = []

    def connected(*arguments: Any, **options: Any) -> Client:
        clients.append(Client(*arguments, **options))
        return clients[-1]

    yield connected
    for client in clients:
        client.close()


def starting(start_mosquitto: Callable[..., Mosquitto], tmp_path: Path) -> Callable[..., Mosquitto]:
    """Start a broker with a shipped configuration, in which only paths, the port and the users are ours."""

    def started(name: str, *users: str, edit: Callable[[str], str] = str) -> Mosquitto:
        passwords = tmp_path / f"{name}.passwd"
        passwords.write_text("".join(f"{user}:password of {user}\n" for user in (*users, "observer")))
        subprocess.run(["mosquitto_passwd", "-U", str(passwords)], check=True)
        # What the test itself needs to see: everything for one user, and a last message for everybody.
        access = (CONFIGS / f"{name}.acl").read_text()
        (tmp_path / f"{name}.acl").write_text(f"{access}\nuser observer\ntopic readwrite #\n\npattern read last/%u\n")
        text = edit((CONFIGS / f"{name}.conf").read_text())
        changes = {
            "/etc/mosquitto/": f"{tmp_path}/",
            "/var/lib/mosquitto/": "{directory}/",
            "listener 1883 127": "listener {port} 127",
        }
        for shipped, ours in changes.items():
            assert shipped in text
            text = text.replace(shipped, ours, 1 if shipped.startswith("listener") else -1)
        # Started as root, Mosquitto would become a user who cannot write to the test's folder.
        return start_mosquitto(config=f"{text}\nuser root\n")

    return started
