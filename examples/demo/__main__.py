"""`python -m examples.demo`: see the README.

DEMO_SECONDS ends it by itself; DEMO_BROKER chooses `mosquitto` or `amqtt`; DEMO_FOLDER is where it keeps its files.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from examples.demo.children import ChildError
from examples.demo.run import Demo

FOLDER = Path(__file__).parents[2] / ".demo"


def seconds_of(text: str) -> float | None:
    """The value of DEMO_SECONDS; None where it is empty.

    Raises:
        ValueError: it is no number of seconds between 0 and a day.
    """
    if not text:
        return None
    seconds = float(text)
    if not 0.0 < seconds <= 86_400.0:
        raise ValueError(text)
    return seconds


def main() -> int:
    """Run the demo; returns the exit code."""
    wanted = os.environ.get("DEMO_SECONDS", "")
    try:
        seconds = seconds_of(wanted)
    except ValueError:
        print(f'demo: DEMO_SECONDS="{wanted}" must be a number of seconds above 0, at most 86400', file=sys.stderr)
        return 2
    folder = Path(os.environ.get("DEMO_FOLDER") or FOLDER)
    try:
        return Demo(folder, seconds, os.environ.get("DEMO_BROKER", "")).run()
    except ChildError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
