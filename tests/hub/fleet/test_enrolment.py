"""An enrolled gateway gets into the broker as shipped, and there to its own topics only."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from sqlalchemy import Engine

from tests.brokers import Mosquitto
from tests.hub.updating import KEY
from vedette_hub.fleet import enrolment
from vedette_hub.fleet.enrolment import Enrolment, EnrolmentError
from vedette_hub.store import fleet
from vedette_hub.store.database import reading
from vedette_models import topics
from vedette_models.keys import key_id, parse_key_ring

ACCESS = Path(__file__).parents[3] / "configs" / "mosquitto" / "hub.acl"
CONFIGURATION = """\
listener {port} 127.0.0.1
allow_anonymous false
use_username_as_clientid true
password_file {directory}/passwd
acl_file {directory}/acl
user root
"""


def broker(start: Callable[..., Mosquitto], tmp_path: Path, access: str, *enrolled: Enrolment) -> Mosquitto:
    folder = tmp_path / "mosquitto0"
    folder.mkdir()
    (folder / "acl").write_text(access)
    (folder / "passwd").write_text("".join(f"{each.password_line}\n" for each in enrolled))
    for name in ("acl", "passwd"):
        (folder / name).chmod(0o600)
    return start(config=CONFIGURATION)


class Client:
    """A gateway's connection: what the broker answers to it."""

    def __init__(self, port: int, username: str, password: str) -> None:
        self.accepted: bool | None = None
        self.heard: list[str] = []
        self._answered = threading.Event()
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
        self.client.username_pw_set(username, password)
        self.client.on_connect = self._connected
        self.client.on_message = lambda _c, _d, message: self.heard.append(message.topic)
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        assert self._answered.wait(5)

    def _connected(self, _client: object, _data: object, _flags: object, code: mqtt.ReasonCode, _p: object) -> None:
        self.accepted = not code.is_failure
        self._answered.set()

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()

    def publishes(self, topic: str) -> bool:
        """Whether the broker takes it, as its acknowledgement says."""
        codes: list[bool] = []
        done = threading.Event()

        def acknowledged(_c: object, _d: object, _mid: int, code: mqtt.ReasonCode, _p: object) -> None:
            codes.append(not code.is_failure)
            done.set()

        self.client.on_publish = acknowledged
        self.client.publish(topic, b"x", qos=1)
        assert done.wait(5)
        return codes[0]


@pytest.mark.parametrize("shipped", [True, False])
def test_the_broker_lets_it_in_to_its_own_topics(
    engine: Engine, tmp_path: Path, start_mosquitto: Callable[..., Mosquitto], shipped: bool
) -> None:
    made = enrolment.enroll(engine, KEY, "line 3/a", 1.0)
    other = enrolment.enroll(engine, KEY, "line 4", 1.0)
    access = ACCESS.read_text() if shipped else made.access_lines + other.access_lines
    mosquitto = broker(start_mosquitto, tmp_path, access, made, other)
    assert not Client(mosquitto.port, made.username, other.password).accepted
    client = Client(mosquitto.port, made.username, made.password)
    assert client.accepted
    assert client.publishes(topics.gateway_up("line 3/a", "status"))
    assert not client.publishes(topics.gateway_up("line 4", "status"))
    assert not client.publishes(topics.gateway_down("line 3/a", "desired"))
    assert not client.publishes(topics.artifact("0" * 64))
    client.close()


def test_an_enrolled_gateway_is_known_and_has_never_been_heard(engine: Engine) -> None:
    assert enrolment.enroll(engine, KEY, "gw-1", 1.0).new
    assert not enrolment.enroll(engine, KEY, "gw-1", 2.0).new
    with reading(engine) as connection:
        found = fleet.find_gateway(connection, "gw-1")
    assert found is not None
    assert (found.first_seen, found.last_seen, found.status) == (1.0, 0.0, None)


def test_the_key_ring_has_the_public_key_and_never_the_private_one(engine: Engine) -> None:
    made = enrolment.enroll(engine, KEY, "gw-1", 1.0)
    assert list(parse_key_ring(made.key_ring)) == [key_id(KEY.verify_key)]
    assert "vedette-private" not in str(made)


@pytest.mark.parametrize("name", ["", "   ", "a\nb", "x" * 300, "ü" * 100])
def test_a_name_that_cannot_be_a_gateways_is_refused(engine: Engine, name: str) -> None:
    with pytest.raises(EnrolmentError):
        enrolment.enroll(engine, KEY, name, 1.0)


def test_the_hubs_own_user_at_the_broker_is_no_gateway(engine: Engine) -> None:
    for name, own in (("hub", "central"), ("central", "central"), ("hub", enrolment.HUB_USER)):
        with pytest.raises(EnrolmentError, match="the hub's own user at the broker"):
            enrolment.enroll(engine, KEY, name, 1.0, own)
    with reading(engine) as connection:
        assert fleet.find_gateway(connection, "hub") is None
    assert enrolment.enroll(engine, KEY, "hub-2", 1.0).new


def test_the_signing_key_is_made_once_and_a_damaged_one_is_no_reason_to_make_another(
    engine: Engine, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    made = enrolment.prepare_signing_key(tmp_path, engine)
    assert made is not None
    again = enrolment.prepare_signing_key(tmp_path, engine)
    assert again is not None
    assert bytes(again) == bytes(made)
    (tmp_path / "signing-key").write_text("vedette-private 0000000000000000 AAAA\n")
    assert enrolment.prepare_signing_key(tmp_path, engine) is None
    assert "restore it from a backup" in caplog.text


def test_a_replaced_key_is_kept_aside(engine: Engine, tmp_path: Path) -> None:
    made = enrolment.prepare_signing_key(tmp_path, engine)
    old = enrolment.replace_signing_key(tmp_path)
    replaced = enrolment.prepare_signing_key(tmp_path, engine)
    assert made is not None
    assert replaced is not None
    assert old is not None
    assert old.exists()
    assert bytes(replaced) != bytes(made)
