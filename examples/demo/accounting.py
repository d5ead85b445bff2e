"""Accounting: what became of every published reading, by its sequence, from the agent's trace."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path


@dataclass
class Fates:
    """What the trace says so far; follows the file as it grows."""

    path: Path
    scored: dict[str, set[int]] = field(default_factory=dict)
    """Sequences by device."""
    accounted: dict[str, set[int]] = field(default_factory=dict)
    """Sequences by device with any fate: scored, recognised as a duplicate, retained."""
    scored_twice: list[tuple[str, int]] = field(default_factory=list)
    dead_letters: int = 0
    count: int = 0
    """Readings scored, each once."""
    _offset: int = 0

    def follow(self) -> None:
        """Read what is new; a line still being written is left for the next time."""
        if not self.path.exists():
            return
        with self.path.open("rb") as file:
            file.seek(self._offset)
            data = file.read()
        complete = data[: data.rfind(b"\n") + 1]
        self._offset += len(complete)
        for line in complete.splitlines():
            self._take(json.loads(line))

    def _take(self, line: Mapping[str, object]) -> None:
        fate, device, sequence = line.get("fate"), line.get("device"), line.get("sequence")
        if fate == "dead_letter":
            self.dead_letters += 1
        if not isinstance(device, str) or not isinstance(sequence, int):
            return
        self.accounted.setdefault(device, set()).add(sequence)
        if fate == "scored":
            known = self.scored.setdefault(device, set())
            if sequence in known:
                self.scored_twice.append((device, sequence))
            else:
                known.add(sequence)
                self.count += 1

    def missing(self, published: Mapping[str, Iterable[int]]) -> list[tuple[str, int]]:
        """(device, sequence) of every published reading of which the trace says nothing."""
        return sorted(
            (device, sequence)
            for device, sequences in published.items()
            for sequence in set(sequences) - self.accounted.get(device, set())
        )


@dataclass(frozen=True)
class Result:
    """The demo's last line."""

    published: int
    scored: int
    alerts_raised: int
    alerts_stored: int
    lost: int
    faults_injected: int
    faults_found: int
    versions_trained: int
    """Versions of models that the hub has trained from what the agent saw."""
    swaps: int
    """Activations of a pushed version, as reported to the hub and seen at the agent."""

    def as_json(self) -> str:
        """For a machine."""
        return json.dumps(vars(self))
