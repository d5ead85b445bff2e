"""A fleet of one on a thousand bad days: whatever fails, nothing is lost and nothing counts twice."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from tests.simulation.world import run

SEEDS = int(os.environ.get("SIMULATION_SEEDS") or (1_000 if os.environ.get("FAULTS_LONG") else 40))
"""`make simulation` takes more of them than there is time for in `make faults`."""
PARTS = 20
"""Of all seeds, so that they can be shared among processes."""
SEEDS_PER_PART = SEEDS // PARTS


@pytest.mark.fault(
    fault="crashes, drops, duplicates, reorders, disk errors, clock jumps, attacks on the hub's broker (simulated)",
    expected="0 violations",
)
@pytest.mark.parametrize("part", range(PARTS))
def test_nothing_is_lost_doubled_or_followed_wrongly(part: int, record_property: Callable[[str, object], None]) -> None:
    seeds = range(part * SEEDS_PER_PART, (part + 1) * SEEDS_PER_PART)
    wrong = {seed: story for seed in seeds if (story := run(seed)).violations}
    record_property("observed", f"{len(wrong)} of {len(seeds)} seeds with violations")
    assert not wrong, f"{len(wrong)} of {len(seeds)} seeds; the first:\n{next(iter(wrong.values()))}"
