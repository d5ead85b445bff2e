"""For the tests of updates: a disk that kills."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.agent.update.disk import Disk


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    """The disk does what it is asked to, until a test says otherwise."""
    made = Disk(monkeypatch)
    yield made
    made.kill_at(-1)
