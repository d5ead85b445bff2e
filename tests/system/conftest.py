"""For tests of the whole: a gateway with everything that belongs to it, and its devices."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.brokers import MOSQUITTO
from tests.conftest import NO_MOSQUITTO
from tests.system.devices import Devices
from tests.system.gateway import Gateway
from tests.system.moments import Moments

DEVICES = [f"pump-{number}" for number in range(24)]


@pytest.fixture
def new_gateway(tmp_path: Path) -> Iterator[Callable[..., Gateway]]:
    """Build gateways that end with the test."""
    if MOSQUITTO is None:
        pytest.skip(NO_MOSQUITTO)
    built: list[Gateway] = []

    def build(**options: str) -> Gateway:
        folder = tmp_path / f"gateway{len(built)}"
        folder.mkdir()
        built.append(Gateway(folder, DEVICES, **options))
        return built[-1]

    yield build
    for gateway in built:
        gateway.end()


@pytest.fixture
def gateway(new_gateway: Callable[..., Gateway]) -> Gateway:
    """A gateway on which everything runs."""
    gateway = new_gateway()
    gateway.start()
    return gateway


@pytest.fixture
def new_devices() -> Iterator[Callable[..., Devices]]:
    """Connect devices that disconnect with the test."""
    built: list[Devices] = []

    def build(gateway: Gateway, names: list[str] = DEVICES, **options: float) -> Devices:
        built.append(Devices(names, gateway.devices_broker.port, **options))
        return built[-1]

    yield build
    for devices in built:
        devices.close()


@pytest.fixture
def moments() -> Moments:
    """When something happens to it all."""
    return Moments()
