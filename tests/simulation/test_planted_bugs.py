"""The test of the simulation: it finds every bug that was planted, and soon."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from tests.simulation.planted_bugs import PLANTED
from tests.simulation.world import run

SEEDS = 50
BUGS = list(PLANTED) if os.environ.get("FAULTS_LONG") else list(PLANTED)[::5]


@pytest.mark.slow
@pytest.mark.fault(fault="a bug planted in the real code", expected="found within 50 seeds of the simulation")
@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_is_found_within_fifty_seeds(bug: str, record_property: Callable[[str, object], None]) -> None:
    for seed in range(SEEDS):
        if violations := run(seed, PLANTED[bug]).violations:
            assert "TypeError" not in str(violations[0]), f"this plant does not fit the code any more: {violations[0]}"
            record_property("observed", f"seed {seed}: {violations[0]}")
            return
    pytest.fail(f"{SEEDS} seeds do not find that {bug}")
