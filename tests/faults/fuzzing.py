"""Runs mutants in processes of their own, as many as there are processors, and counts what becomes of them."""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from tests.faults.mutation import CRASHED, EXECUTED, GREW, OTHER, SAME
from tests.processes import ROOT

ORDER = ("zlib", "opcode", "grammar", "dtype and size", "structure", "golden", SAME, OTHER, EXECUTED, CRASHED, GREW)
BAD = (EXECUTED, CRASHED, GREW)
CHUNK = 10_000
"""Mutants that one process reads."""
PATIENCE = 3_600.0
"""Seconds a process is given for a thousand mutants: it may get little of a busy machine."""


@dataclass
class Result:
    """What became of the mutants."""

    counts: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    """By detector, stage and reason."""
    faults: list[str] = field(default_factory=list)
    grown: int = 0
    """Bytes by which a process grew at most."""
    cpu: float = 0.0
    seconds: float = 0.0

    @property
    def mutants(self) -> int:
        return sum(self.counts.values())

    @property
    def bad(self) -> int:
        """Those that were neither refused nor models."""
        return sum(count for (_, outcome, _), count in self.counts.items() if outcome in BAD)

    def table(self) -> str:
        """Stages down, detectors across, and the reasons of each stage."""
        names = sorted({name for name, _, _ in self.counts})
        head = f"{'stage':32}" + "".join(f"{name:>18}" for name in names) + f"{'all':>11}"
        lines = [head]
        for outcome in ORDER:
            found = [sum(c for (n, o, _), c in self.counts.items() if (n, o) == (name, outcome)) for name in names]
            lines.append(f"{outcome:32}" + "".join(f"{count:>18,}" for count in found) + f"{sum(found):>11,}")
        reasons: Counter[tuple[str, str]] = Counter()
        for (_, outcome, reason), count in self.counts.items():
            if reason:
                reasons[outcome, reason] += count
        for outcome in ORDER:
            of = sorted(((r, c) for (o, r), c in reasons.items() if o == outcome), key=lambda one: -one[1])
            if of:
                lines.append(f"{outcome}: " + ", ".join(f"{reason} {count:,}" for reason, count in of))
        rate = self.mutants / self.cpu if self.cpu else 0.0
        lines.append(
            f"{self.mutants:,} mutants in {self.seconds:.0f} s, {rate:,.0f} a second of processor time; a process grew "
            f"by {self.grown / 2**20:.1f} MiB at most; {self.bad} executed something, crashed or grew beyond 64 MiB"
        )
        return "\n".join([*lines, *self.faults[:40]])


@dataclass
class _Process:
    process: subprocess.Popen[bytes]
    progress: Path
    next: int
    last: int
    heard: float

    @property
    def output(self) -> IO[bytes]:
        assert self.process.stdout is not None
        return self.process.stdout


def run(
    folder: Path,
    artefacts: dict[str, bytes],
    numbers: Iterable[int],
    *,
    processes: int = 1,
    plant: str = "",
    tell: Callable[[int], None] | None = None,
) -> Result:
    """Read the mutants with these numbers, in ascending order without gaps."""
    wanted = range(min(numbers), max(numbers) + 1)
    for name, data in artefacts.items():
        (folder / f"{name}.model").write_bytes(data)
    result, began = Result(), time.monotonic()
    waiting = [(first, min(first + CHUNK, wanted.stop)) for first in range(wanted.start, wanted.stop, CHUNK)][::-1]
    with selectors.DefaultSelector() as selector:
        running: dict[int, _Process] = {}
        while waiting or running:
            while waiting and len(running) < processes:
                first, last = waiting.pop()
                one = _start(folder, first, last, plant)
                running[one.process.pid] = one
                selector.register(one.output, selectors.EVENT_READ, one)
            for key, _ in selector.select(1.0):
                one = key.data
                line = one.output.readline()
                if line:
                    _take(result, one, line)
                    if tell is not None:
                        tell(result.mutants)
                    continue
                selector.unregister(one.output)
                one.output.close()
                del running[one.process.pid]
                if one.process.wait() != 0 or one.next != one.last:
                    waiting += _died(result, one)
            for one in running.values():
                if time.monotonic() - one.heard > PATIENCE:
                    one.process.kill()
    result.seconds = time.monotonic() - began
    return result


def _start(folder: Path, first: int, last: int, plant: str) -> _Process:
    progress = folder / f"progress-{first}"
    progress.write_bytes(first.to_bytes(8, "little"))
    command = [sys.executable, "-m", "tests.faults.mutation", folder, first, last, progress, plant]
    # A thread of the linear algebra library would count as growth: its stack is address space.
    process = subprocess.Popen(
        [str(part) for part in command],
        stdout=subprocess.PIPE,
        cwd=ROOT,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"},
    )
    return _Process(process, progress, first, last, time.monotonic())


def _take(result: Result, one: _Process, line: bytes) -> None:
    said = json.loads(line)
    one.next, one.heard = said["next"], time.monotonic()
    for name, outcome, reason, count in said["counts"]:
        result.counts[name, outcome, reason] += count
    result.faults += said["faults"]
    result.grown = max(result.grown, said["grown"])
    if one.next == one.last:
        result.cpu += said["cpu"]


def _died(result: Result, one: _Process) -> list[tuple[int, int]]:
    """Count what ended a process, and say what is still to be read: what it had not told of yet, but not that one."""
    number = int.from_bytes(one.progress.read_bytes(), "little")
    code = one.process.returncode
    how = f"ended by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
    result.faults.append(f"mutant {number}: {CRASHED}: {how}")
    result.counts["-", CRASHED, ""] += 1
    return [part for part in ((number + 1, one.last), (one.next, number)) if part[0] < part[1]]
