"""Moments at which something happens to a system."""

from __future__ import annotations

import os
import random
import time


class Moments:
    """Random moments, seeded and printed; `FAULTS_SEED` chooses others."""

    def __init__(self) -> None:
        self.seed = int(os.environ.get("FAULTS_SEED", "1"))
        self._random = random.Random(self.seed)

    def let_pass(self, low: float, high: float, what: str) -> None:
        """Let the world go on for a random while: here the length of time is the condition."""
        seconds = self._random.uniform(low, high)
        print(f"seed {self.seed}: {what} for {seconds:.3f} s")
        time.sleep(seconds)
