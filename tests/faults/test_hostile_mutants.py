"""Mutants of valid models, read as the gateway reads them, but with nobody asking for hash or signature.

Some hundreds always; 50,000 with FAULTS_LONG=1; a million with FUZZ_LONG=1, the numbers from FUZZ_FIRST on.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults import fuzzing
from tests.faults.mutation import CRASHED, EXECUTED, GREW, OTHER, SAME
from tests.faults.small_models import small_models
from vedette_models.artifact import DETECTORS

FEW, MANY, MOST = 600, 50_000, 1_000_000
long, longest = bool(os.environ.get("FAULTS_LONG")), bool(os.environ.get("FUZZ_LONG"))


@pytest.mark.fault(
    fault="mutants of models of every detector, signature and hash not asked for",
    expected="each is refused, or is a model that scores; nothing executed, no crash, no growth over 64 MiB",
)
def test_no_mutant_executes_anything_crashes_or_grows(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    count = MOST if longest else MANY if long else FEW
    first = int(os.environ.get("FUZZ_FIRST", "0"))
    processes = os.cpu_count() or 1 if long or longest else 1
    result = fuzzing.run(
        tmp_path, small_models(), range(first, first + count), processes=processes, tell=_progress(count)
    )
    print(f"\n{result.table()}")
    stages = {outcome for _, outcome, _ in result.counts}
    record_property(
        "observed",
        f"{result.mutants:,} mutants: {result.bad} bad, {_share(result, SAME)} models as before, "
        f"{_share(result, OTHER)} other models, the rest refused; grew by {result.grown / 2**20:.0f} MiB at most",
    )
    assert result.mutants == count
    assert result.bad == 0, result.faults
    assert stages >= {"zlib", "opcode", "grammar", "dtype and size", "structure", "golden", SAME}
    assert {name for name, _, _ in result.counts} == set(DETECTORS)


def _share(result: fuzzing.Result, outcome: str) -> str:
    return f"{sum(count for (_, found, _), count in result.counts.items() if found == outcome):,}"


def _progress(count: int) -> Callable[[int], None] | None:
    """Something to look at while it takes hours."""
    if not longest:
        return None
    said = [time.monotonic()]

    def tell(done: int) -> None:
        if time.monotonic() - said[0] > 60.0:
            said[0] = time.monotonic()
            print(f"{done:,} of {count:,} mutants", file=sys.stderr, flush=True)

    return tell


@pytest.mark.parametrize(
    ("plant", "outcome"),
    [("imports", EXECUTED), ("opens", EXECUTED), ("raises", CRASHED), ("grows", GREW), ("dies", CRASHED)],
)
def test_a_reader_with_a_fault_is_noticed(tmp_path: Path, plant: str, outcome: str) -> None:
    result = fuzzing.run(tmp_path, small_models(), range(100), plant=plant)
    assert result.mutants == 100
    assert {found for _, found, _ in result.counts if found in fuzzing.BAD} == {outcome}
    assert result.faults
