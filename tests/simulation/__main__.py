"""`python -m tests.simulation SEED [PLANTED BUG]`: the story of one seed."""

from __future__ import annotations

import sys

from tests.simulation.world import run


def main() -> int:
    """Print it; 1 if anything was violated."""
    from tests.simulation.planted_bugs import PLANTED

    bug = PLANTED[sys.argv[2]] if len(sys.argv) > 2 else None
    story = run(int(sys.argv[1]), bug)
    sys.stdout.write(f"{story}\n")
    return int(bool(story.violations))


if __name__ == "__main__":
    sys.exit(main())
