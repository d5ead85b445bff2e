"""The test of the simulation: it finds every bug that was planted, and soon."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.simulation.planted_bugs import PLANTED
from tests.simulation.world import run

SEEDS = 50


@pytest.mark.parametrize("bug", PLANTED)
def test_a_planted_bug_is_found_within_fifty_seeds(bug: str, record_property: Callable[[str, object], None]) -> None:
    for seed in range(SEEDS):
        if violations := run(seed, PLANTED[bug]).violations:
            record_property("observed", f"seed {seed}: {violations[0]}")
            return
    pytest.fail(f"{SEEDS} seeds do not find that {bug}")
