"""TLS with a real broker: every way in which certificates go wrong is told from the others."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.agent.doctor.certificates import Authority, Pair
from tests.agent.mqtt_ends import broker_of
from tests.brokers import Mosquitto
from vedette_agent.doctor import tls
from vedette_agent.doctor.finding import Finding

SECONDS = 10.0
CONF = """
listener {{port}} 127.0.0.1
allow_anonymous true
certfile {certificate}
keyfile {key}
{more}
user root
"""

Start = Callable[..., Mosquitto]


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def serving(start: Start, pair: Pair, more: str = "") -> Mosquitto:
    return start(config=CONF.format(certificate=pair.certificate, key=pair.key, more=more))


def seen(broker: Mosquitto, authority: Authority, host: str = "localhost", **changes: Any) -> list[Finding]:
    us = broker_of(f"mqtts://{host}:{broker.port}", **{"ca_file": authority.certificate, **changes})
    return tls.judge("hub", us, tls.look(us, SECONDS), time.time())


@pytest.mark.parametrize(
    ("days", "outcome", "words"),
    [(400, "ok", "valid until"), (9, "warning", "8 days are left"), (-2, "failed", "expired on")],
)
def test_the_end_of_a_certificate_is_seen(
    start_mosquitto: Start, authority: Authority, days: int, outcome: str, words: str
) -> None:
    (found,) = seen(serving(start_mosquitto, authority.sign("broker", days=days)), authority)
    assert found.outcome == outcome
    assert words in found.seen


def test_a_certificate_for_another_name_says_for_which(start_mosquitto: Start, authority: Authority) -> None:
    broker = serving(start_mosquitto, authority.sign("broker", names="DNS:broker.example.org"))
    (found,) = seen(broker, authority)
    assert (found.outcome, "is for broker.example.org, not for localhost" in found.seen) == ("failed", True)


def test_a_broker_of_another_authority_is_not_trusted(
    start_mosquitto: Start, authority: Authority, tmp_path: Path
) -> None:
    other = Authority(tmp_path, "another authority")
    (found,) = seen(serving(start_mosquitto, authority.sign("broker")), other)
    assert (found.outcome, "ca_file" in found.fix) == ("failed", True)


def test_a_plain_port_is_recognised(start_mosquitto: Start, authority: Authority) -> None:
    (found,) = seen(start_mosquitto(), authority)
    assert (found.outcome, "mqtt:// in [hub] url" in found.fix) == ("failed", True)


def test_a_broker_that_wants_a_certificate_is_understood(
    start_mosquitto: Start, authority: Authority, tmp_path: Path
) -> None:
    more = f"cafile {authority.certificate}\nrequire_certificate true"
    broker = serving(start_mosquitto, authority.sign("broker"), more)
    (found,) = seen(broker, authority)
    assert (found.outcome, "Set cert_file and key_file in [hub]" in found.fix) == ("failed", True)

    foreign = Authority(tmp_path, "foreign").sign("us")
    (found,) = seen(broker, authority, cert_file=foreign.certificate, key_file=foreign.key)
    assert found.outcome == "failed"
    assert f"does not accept the certificate of {foreign.certificate}" in found.seen

    soon = authority.sign("gateway", days=5)
    connected, ours = seen(broker, authority, cert_file=soon.certificate, key_file=soon.key)
    assert (connected.outcome, ours.outcome, ours.name) == ("ok", "warning", "hub tls cert_file")
    assert "4 days are left" in ours.seen
