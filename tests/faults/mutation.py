"""Reads mutants of artefacts, one after the other, in a process of its own that may neither grow nor do anything else.

`python -m tests.faults.mutation FOLDER FIRST LAST PROGRESS [PLANT]` reads artefacts from `FOLDER/*.model`, then mutants
FIRST to LAST - 1, whose hash and signature nobody asks for. It prints a line of JSON for every thousand, and keeps in
the file PROGRESS which one it is at: whoever waits for it learns which one ended it.
"""

from __future__ import annotations

import json
import mmap
import resource
import signal
import sys
import warnings
import zlib
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from tests.faults.mutants import Base, base_of, mutant
from tests.models.forests import normal_readings
from vedette_models import artifact, strict_reader
from vedette_models.readings import ReadingBatch
from vedette_models.rejection import ArtifactRejected, Rejection

GROWTH = 64 << 20
"""Bytes by which the process may grow."""
LINE = 1_000
SECONDS = 60.0
"""Of processor time for one mutant; beyond, it hangs, and SIGPROF ends the process."""
PAGE = resource.getpagesize()
STAGES = {
    "zlib": {
        Rejection.UNKNOWN_CONTAINER, Rejection.CORRUPT, Rejection.TRUNCATED, Rejection.TRAILING_DATA,
        Rejection.EXPANDS_TOO_FAR, Rejection.TOO_LARGE,
    },
    "opcode": {Rejection.FORBIDDEN_OPERATION},
    "grammar": {
        Rejection.MALFORMED, Rejection.FORBIDDEN_NAME, Rejection.TOO_MANY_OPERATIONS, Rejection.TOO_DEEP,
        Rejection.LONG_TEXT,
    },
    "dtype and size": {Rejection.FORBIDDEN_TYPE, Rejection.BAD_SHAPE},
    "golden": {Rejection.NO_GOLDEN_INPUTS, Rejection.GOLDEN_MISMATCH},
}  # fmt: skip
"""At which stage a reason is given; what is not named here belongs to the structure of a model."""
SAME, OTHER = "accepted, scores as the original", "accepted, scores otherwise"
EXECUTED, CRASHED, GREW = "EXECUTED SOMETHING", "CRASHED", "GREW BY MORE THAN 64 MiB"

done: list[str] = []
"""What the interpreter was asked to do, other than to compute, since the hook was armed."""


class Watch:
    """An audit hook (PEP 578): hears of every import, file, process, socket and piece of code. It cannot be removed."""

    armed = False

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.armed:
            done.append(f"{event} {arguments!r}"[:200])


watch = Watch()


def stage(reason: Rejection, *, packed: bool) -> str:
    """Where a mutant was refused."""
    if packed:
        return "zlib"
    if reason in (Rejection.TRUNCATED, Rejection.TRAILING_DATA, Rejection.TOO_LARGE):
        return "grammar" if reason is not Rejection.TOO_LARGE else "structure"
    return next((name for name, reasons in STAGES.items() if reason in reasons and name != "zlib"), "structure")


class Judge:
    """Says of one mutant after the other what became of it."""

    def __init__(self, bases: tuple[Base, ...], plant: str = "") -> None:
        self.bases = bases
        self.load = artifact.load if not plant else _planted(plant)
        some = normal_readings(2, 12, seed=3)
        some.values[-8:] *= np.array([[1.0], [-1.0], [1e3], [1e12], [1e99], [-1e99], [1e300], [0.0]])
        some.values[3, 0] = np.nan
        self.probe = some
        self.expected = {base.name: self._scores(artifact.load(base.stream)) for base in bases}

    def of(self, number: int) -> tuple[str, str]:
        """(what became of it, more about it)."""
        base, data = mutant(number, self.bases)
        done.clear()
        watch.armed = True
        try:
            found = self._read(base, data)
        except MemoryError as error:
            found = GREW, str(error)
        except Exception as error:
            found = CRASHED, f"{type(error).__name__}: {error}"
        finally:
            watch.armed = False
        return (EXECUTED, done[0]) if done else found

    def _read(self, base: Base, data: bytes) -> tuple[str, str]:
        try:
            strict_reader.expand(data)
        except ArtifactRejected as error:
            return stage(error.reason, packed=True), error.reason
        try:
            model = self.load(data)
        except ArtifactRejected as error:
            return stage(error.reason, packed=False), error.reason
        if len(model.artifact.channels) != self.probe.values.shape[1]:
            return OTHER, "of other channels"
        scores = self._scores(model)
        same = scores.shape == self.expected[base.name].shape and np.allclose(
            scores, self.expected[base.name], rtol=1e-9, atol=1e-9
        )
        return (SAME if same else OTHER), ""

    def _scores(self, model: artifact.Model) -> np.ndarray[Any, Any]:
        """What it says of ordinary and of wild readings, as it would in use."""
        detector, batch = model.detector, self.probe
        devices = int(batch.device.max()) + 1
        if detector.devices < devices:
            detector.resize(devices)
        scores = detector.score(ReadingBatch.of(batch.device, batch.time, batch.values))
        total, by_channel = scores.total, scores.by_channel
        if not (np.isfinite(total).all() and np.isfinite(by_channel).all() and (total >= 0).all()):
            raise AssertionError("an accepted model whose scores are none")
        loudest = int(total.argmax())
        for channel in range(by_channel.shape[1]):
            scores.finding(loudest, channel)
        return total


def _planted(plant: str) -> Any:
    """A reader with a fault, to see that it is noticed."""

    def load(data: bytes) -> artifact.Model:
        if zlib.crc32(data) % 40 == 0:
            match plant:
                case "imports":
                    __import__("this_is_no_module")
                case "opens":
                    with Path("/dev/null").open("rb"):
                        pass
                case "raises":
                    raise KeyError("planted")
                case "grows":
                    np.ones(GROWTH // 4)
                case "dies":
                    signal.raise_signal(signal.SIGSEGV)
        return artifact.load(data)

    return load


def bound_memory(growth: int = GROWTH) -> None:
    """From now on this process may grow by so many bytes of address space, and no more."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * PAGE + growth, resource.RLIM_INFINITY))


def main(folder: str, first: str, last: str, progress: str, plant: str = "") -> None:
    """Read the mutants."""
    warnings.simplefilter("ignore")  # to be printed, a warning has its source read
    np.seterr(all="ignore")
    bases = tuple(base_of(path.stem, path.read_bytes()) for path in sorted(Path(folder).glob("*.model")))
    judge = Judge(bases, plant)
    sys.addaudithook(watch)
    judge.of(0)
    with Path(progress).open("r+b") as file, mmap.mmap(file.fileno(), 8) as place:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        bound_memory()
        counts: Counter[tuple[str, str, str]] = Counter()
        faults: list[str] = []
        for number in range(int(first), int(last)):
            place[:8] = number.to_bytes(8, "little")
            signal.setitimer(signal.ITIMER_PROF, SECONDS)
            outcome, more = judge.of(number)
            if outcome in (EXECUTED, CRASHED, GREW):
                faults.append(f"mutant {number}: {outcome}: {more}")
                more = ""
            counts[bases[number % len(bases)].name, outcome, more] += 1
            if (number + 1) % LINE == 0 or number + 1 == int(last):
                grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
                cpu = resource.getrusage(resource.RUSAGE_SELF)
                said = {
                    "next": number + 1,
                    "counts": [[*key, count] for key, count in counts.items()],
                    "faults": faults[:20],
                    "grown": 1024 * grown,
                    "cpu": cpu.ru_utime + cpu.ru_stime,
                }
                print(json.dumps(said), flush=True)
                counts.clear()
                faults.clear()


if __name__ == "__main__":
    main(*sys.argv[1:])
