"""Accounts by sequence: what became of every reading, from the agent's trace."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

Key = tuple[str, int]
"""(device, sequence)."""


class Accounts:
    """The trace so far; `follow` reads what is new."""

    def __init__(self, trace: Path) -> None:
        self._trace = trace
        self._offset = 0
        self.fates: dict[str, Counter[Key]] = {"scored": Counter(), "duplicate": Counter(), "retained": Counter()}
        """How often each reading met this fate."""
        self.dead_letters: Counter[tuple[str, str]] = Counter()
        """By topic and reason."""
        self.disordered: set[str] = set()
        """Devices of which a reading came after a later one, and was no repetition."""
        self._latest: dict[str, int] = {}

    @property
    def scored(self) -> Counter[Key]:
        """How often each reading was scored."""
        return self.fates["scored"]

    def follow(self) -> None:
        """Read what is new; a line still being written is left for the next time."""
        if not self._trace.exists():
            return
        with self._trace.open("rb") as file:
            file.seek(self._offset)
            data = file.read()
        whole = data[: data.rfind(b"\n") + 1]
        self._offset += len(whole)
        for line in whole.splitlines():
            entry = json.loads(line)
            if entry["fate"] == "dead_letter":
                self.dead_letters[entry["device"], entry["reason"]] += 1
            else:
                self._take(entry["fate"], (entry["device"], entry["sequence"]))

    def _take(self, fate: str, key: Key) -> None:
        device, sequence = key
        if not any(key in counter for counter in self.fates.values()):
            if sequence < self._latest.get(device, -1):
                self.disordered.add(device)
            self._latest[device] = max(sequence, self._latest.get(device, -1))
        self.fates[fate][key] += 1

    def missing(self, readings: set[Key]) -> set[Key]:
        """Those of which the trace says neither that they were scored nor that they repeat what was committed."""
        self.follow()
        return readings - self.scored.keys() - self.fates["duplicate"].keys()
