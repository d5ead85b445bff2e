"""One agent to a state folder."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from vedette_agent.state_lock import StateInUseError, StateLock


def test_a_second_agent_is_refused_and_told_what_to_do(tmp_path: Path) -> None:
    held = StateLock(tmp_path)
    with pytest.raises(StateInUseError, match="another agent works with this folder; give each a state_dir"):
        StateLock(tmp_path)
    held.release()
    StateLock(tmp_path).release()


def test_a_killed_agent_leaves_no_lock_behind(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from vedette_agent.state_lock import StateLock; "
        "held = StateLock(Path(sys.argv[1])); print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(StateInUseError):
            StateLock(tmp_path)
        other.kill()
    StateLock(tmp_path).release()
