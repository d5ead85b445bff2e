"""`vedette-agent` on a machine whose clock is off by as many seconds as the file TEST_CLOCK_FILE says, at any time.

Only root can set a machine's clock, and then for everybody; this replaces the one call by which a program asks for it.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

_true = time.time
_file = Path(os.environ["TEST_CLOCK_FILE"])


def _shifted() -> float:
    return _true() + float(_file.read_text())


if __name__ == "__main__":
    time.time = _shifted

    from vedette_agent.cli import main

    main()
