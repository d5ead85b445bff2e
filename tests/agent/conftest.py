"""For the agent's tests: a broker that a whole module shares, and every way of speaking MQTT."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec

import pytest

from tests.brokers import MOSQUITTO, Mosquitto
from tests.conftest import NO_MOSQUITTO
from vedette_agent.mqtt import connection
from vedette_agent.mqtt.connection import TransportFactory
from vedette_agent.mqtt.paho_transport import PahoTransport

WAYS = ("codec" if find_spec("mqtt5") else "paho", "paho 3.1.1")
"""For MQTT 5 the transport that an installation uses: the codec with the extra `mqtt5`, paho without."""


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    """A broker that lets everybody in; tests that stop brokers use `start_mosquitto`."""
    if MOSQUITTO is None:
        pytest.skip(NO_MOSQUITTO)
    made = Mosquitto(tmp_path_factory.mktemp("broker"))
    made.start()
    yield made
    made.kill()


@pytest.fixture(params=WAYS)
def protocol(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """`protocol` for a broker's configuration, once for every transport that is installed."""
    if request.param == "paho":
        factory: TransportFactory = PahoTransport
        monkeypatch.setattr(connection, "transport_for", lambda _broker: factory)
    return "3.1.1" if request.param == "paho 3.1.1" else "5"


@pytest.fixture(autouse=True)
def quick_reconnects(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections that do not let a test wait."""
    monkeypatch.setattr(connection, "RETRY_FIRST", 0.05)
    monkeypatch.setattr(connection, "RETRY_LONGEST", 0.2)
