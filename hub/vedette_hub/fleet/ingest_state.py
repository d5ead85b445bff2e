"""How ingest is doing, in a small file that the web workers read: it works when the database does not."""

from __future__ import annotations

from pathlib import Path

import msgspec

FILE_NAME = "ingest.json"
HEARTBEAT_SECONDS = 5.0
STALE_SECONDS = 20.0
"""A state that has not been written for so long is of a process that is gone or hangs."""


class IngestState(msgspec.Struct, frozen=True, omit_defaults=True):
    """What ingest said last. Times are seconds since 1970 UTC."""

    written: float = 0.0
    connected: bool = False
    problem: str = ""
    """What is wrong now, one sentence with a hint; empty means nothing known is wrong."""
    last_message: float | None = None
    last_commit: float | None = None
    dropped: int = 0
    """Messages dropped since the start because they came faster than they could be committed; they come again."""
    waiting: int = 0
    """Messages that have arrived and are not committed yet."""
    batches: int = 0
    """Batches committed since the start."""
    commit_seconds: float = 0.0
    """What that took, waiting for the database included."""
    cpu_seconds: float = 0.0
    """Processor time of the process since its start."""
    memory_bytes: int = 0
    """Memory that it holds."""


def write(state_dir: Path, state: IngestState) -> None:
    """Replace the state file, all or nothing; raise OSError when that fails."""
    path = state_dir / FILE_NAME
    temporary = path.with_suffix(".new")
    temporary.write_bytes(msgspec.json.encode(state))
    temporary.replace(path)


def read(state_dir: Path, now: float) -> IngestState:
    """What ingest said last; a state that is missing, unreadable or old counts as `not running`."""
    try:
        state = msgspec.json.decode((state_dir / FILE_NAME).read_bytes(), type=IngestState)
    except (OSError, msgspec.MsgspecError):
        state = IngestState()
    if abs(now - state.written) > STALE_SECONDS:
        return msgspec.structs.replace(
            state, connected=False, problem="ingest is not running; is `vedette-hub serve` up?"
        )
    return state
