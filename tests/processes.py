"""Programs of ours, run as users run them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

_T = TypeVar("_T")

ROOT = Path(__file__).parents[1]
MODULES = {"vedette-agent": "vedette_agent.cli", "vedette-hub": "vedette_hub.cli"}


def command(program: str, *arguments: object) -> list[str]:
    """A command line for a program of ours, or for a Python file."""
    head = ["-c", f"from {MODULES[program]} import main; main()"] if program in MODULES else [program]
    return [sys.executable, *head, *map(str, arguments)]


def run(
    program: str,
    *arguments: object,
    cwd: Path = ROOT,
    environment: Mapping[str, str] | None = None,
    timeout: float = 180,
) -> subprocess.CompletedProcess[str]:
    """Run to the end."""
    return subprocess.run(
        command(program, *arguments),
        cwd=cwd,
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


@contextmanager
def running(
    program: str, *arguments: object, log: Path, cwd: Path = ROOT, environment: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run in the background; ended in an orderly way."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            command(program, *arguments),
            cwd=cwd,
            env={**os.environ, **(environment or {})},
            stdout=output,
            stderr=output,
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def eventually(look: Callable[[], _T | None], what: str, seconds: float = 90.0) -> _T:
    """What `look` finds, as soon as it finds something."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, f"{what}: not within {seconds:.0f} s"
        time.sleep(0.05)
    return found
