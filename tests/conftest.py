"""Fixtures for every test: a real broker."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.brokers import MOSQUITTO, Mosquitto

NO_MOSQUITTO = "mosquitto is not installed (Debian: apt-get install mosquitto)"


@pytest.fixture
def start_mosquitto(tmp_path: Path) -> Iterator[Callable[..., Mosquitto]]:
    """Start brokers of one's own kind: `start_mosquitto(persistence=True)`, `start_mosquitto(config="…")`."""
    if MOSQUITTO is None:
        pytest.skip(NO_MOSQUITTO)
    brokers: list[Mosquitto] = []

    def start(**options: object) -> Mosquitto:
        broker = Mosquitto(tmp_path / f"mosquitto{len(brokers)}", **options)  # type: ignore[arg-type]  # checked there
        brokers.append(broker)
        broker.start()
        return broker

    yield start
    for broker in brokers:
        broker.kill()


@pytest.fixture
def mosquitto(start_mosquitto: Callable[..., Mosquitto]) -> Mosquitto:
    """A broker that lets everybody in and keeps nothing on disk."""
    return start_mosquitto()
