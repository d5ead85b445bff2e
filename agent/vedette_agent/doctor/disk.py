"""Disk: whether the state folder can take what the agent must not lose."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from vedette_agent.clock import SYSTEM
from vedette_agent.delivery import database, disk_room
from vedette_agent.doctor.bounded import bounded
from vedette_agent.doctor.finding import Finding

if TYPE_CHECKING:
    from vedette_agent.config import OutboxLimits
    from vedette_agent.doctor.finding import Outcome

LEAST = 16 * 2**20
"""Bytes below which a disk counts as full."""
FILES = 100
"""Files that can still be made, below which a file system counts as full."""
SLOW = 1.0
"""Seconds for a small synced write, above which a disk counts as slow."""
_MOUNTS = Path("/proc/self/mounts")
_FORGETFUL = {
    "tmpfs": "is kept in memory, and gone with the power",
    "ramfs": "is kept in memory, and gone with the power",
    "overlay": "belongs to a container, and is gone with it",
}


class Disk(NamedTuple):
    """What the file system says of the state folder."""

    exists: bool = True
    is_folder: bool = True
    owner: int = 0
    mode: int = 0o700
    foreign: tuple[str, ...] = ()
    """Files in it that belong to another user than the folder does."""
    kind: str = ""
    """Of the file system."""
    read_only: bool = False
    free: int = 0
    """Bytes for those who are not root."""
    free_files: int | None = None
    """None: this file system does not count them."""
    used: int = 0
    """Bytes of the database and its log already."""
    denied: bool = False
    """This user may not write there, so that nothing is known about writing."""
    write_error: str = ""
    write_seconds: float = 0.0


def look(folder: Path, seconds: float) -> Disk:
    """Look at the folder, and write, sync and remove a small file of the doctor's own."""
    try:
        return bounded(lambda: _look(folder), seconds)
    except TimeoutError:
        return Disk(write_error=f"the disk did not answer within {seconds:.0f} s")
    except PermissionError:
        return Disk(denied=True)
    except OSError as error:
        return Disk(write_error=error.strerror or str(error))


def _look(folder: Path) -> Disk:
    try:
        found = folder.stat()
    except FileNotFoundError:
        return Disk(exists=False)
    if not stat.S_ISDIR(found.st_mode):
        return Disk(is_folder=False)
    system = os.statvfs(folder)
    files = [entry for entry in folder.iterdir() if not entry.is_symlink()]
    names = (database.FILE, f"{database.FILE}-wal", f"{database.FILE}{disk_room.RESERVE}")
    seen = Disk(
        owner=found.st_uid,
        mode=stat.S_IMODE(found.st_mode),
        foreign=tuple(sorted(file.name for file in files if file.stat().st_uid != found.st_uid))[:4],
        kind=_kind(folder),
        read_only=bool(system.f_flag & os.ST_RDONLY),
        free=system.f_bavail * system.f_frsize,
        free_files=system.f_favail if system.f_files else None,
        used=sum(file.stat().st_size for file in files if file.name in names),
    )
    if seen.read_only:
        return seen
    started = SYSTEM.uptime()
    probe = folder / f".doctor.{os.getpid()}"
    try:
        _write(probe)
    except PermissionError:
        return seen._replace(denied=True)
    except OSError as error:
        return seen._replace(write_error=error.strerror or str(error))
    finally:
        probe.unlink(missing_ok=True)
    return seen._replace(write_seconds=SYSTEM.uptime() - started)


def _write(path: Path) -> None:
    with path.open("xb") as file:
        file.write(bytes(4096))
        file.flush()
        os.fsync(file.fileno())


def _kind(folder: Path) -> str:
    """The type of the file system that holds the folder: that of the longest mount point above it."""
    real, best, kind = folder.resolve(), -1, ""
    try:
        lines = _MOUNTS.read_text(errors="replace").splitlines()
    except OSError:
        return ""
    for line in lines:
        words = line.split(" ")
        if len(words) < 3:
            continue
        point = Path(words[1].encode().decode("unicode_escape"))
        if real.is_relative_to(point) and len(point.parts) >= best:
            best, kind = len(point.parts), words[2]
    return kind


def judge(folder: Path, limits: OutboxLimits, seen: Disk, *, runs: bool) -> list[Finding]:
    """One finding for each thing that is wrong, or one that says how much room there is."""
    if seen.denied and seen.write_seconds == 0.0:
        return [
            _finding(
                "not tested", f"this user may not write to {folder}.", "Run this as root: sudo vedette-agent doctor"
            )
        ]
    if not seen.exists:
        fix = "The unit creates it (StateDirectory=); by hand: install -d -m 700 " + str(folder)
        return [_finding("failed" if runs else "warning", f"there is no folder {folder}.", fix)]
    if not seen.is_folder:
        return [_finding("failed", f"{folder} is no folder.", "Correct state_dir in [gateway].")]
    found = [*_writing(folder, seen), *_room(folder, limits, seen), *_rights(folder, seen)]
    if found:
        return found
    files = "" if seen.free_files is None else f" and {seen.free_files} files"
    return [
        _finding(
            "ok",
            f"{folder} can be written ({1000 * seen.write_seconds:.0f} ms), {_size(seen.free)}{files} are free; the "
            f"database may grow by {_size(_needed(limits, seen))}.",
        )
    ]


def _writing(folder: Path, seen: Disk) -> list[Finding]:
    found = []
    if seen.read_only:
        said = f"the file system of {folder} is read-only, as after errors of the disk."
        found.append(_finding("failed", said, f"See dmesg for the reason, then: mount -o remount,rw $(df -P {folder})"))
    elif seen.write_error:
        said = f"a small file in {folder} could not be written: {seen.write_error.lower()}."
        found.append(_finding("failed", said, f"Free space on its disk or replace it; look: df {folder}; dmesg"))
    elif seen.write_seconds > SLOW:
        said = f"a small synced write to {folder} took {seen.write_seconds:.1f} s."
        found.append(_finding("warning", said, "See what keeps the disk busy (iostat -x 5), or replace a worn card."))
    if seen.kind in _FORGETFUL:
        said = f"{folder} ({seen.kind}) {_FORGETFUL[seen.kind]}."
        found.append(_finding("warning", said, "Set state_dir in [gateway] to a folder on a disk that stays."))
    return found


def _room(folder: Path, limits: OutboxLimits, seen: Disk) -> list[Finding]:
    if seen.write_error:
        return []  # a disk that does not answer has said nothing about its room
    needed = _needed(limits, seen)
    clear = f"Free space: journalctl --vacuum-size=50M; du -xh {folder} | sort -h | tail"
    if seen.free < LEAST:
        return [_finding("failed", f"only {_size(seen.free)} are free for {folder}.", clear)]
    if seen.free_files is not None and seen.free_files < FILES:
        said = f"only {seen.free_files} more files can be made on the file system of {folder}."
        return [_finding("failed", said, "Remove what made so many files: du --inodes -x / | sort -n | tail")]
    if seen.free < needed:
        said = f"{_size(seen.free)} are free for {folder}, and the database may grow by {_size(needed)}."
        return [_finding("warning", said, f"{clear}; or lower max_bytes in [outbox].")]
    return []


def _rights(folder: Path, seen: Disk) -> list[Finding]:
    found = []
    if seen.mode & (stat.S_IWGRP | stat.S_IWOTH):
        said = f"others than the agent may write to {folder} (mode {seen.mode:04o})."
        found.append(_finding("failed", said, f"Take it from them: chmod go-w {folder}"))
    if seen.foreign:
        said = f"{', '.join(seen.foreign)} in {folder} belongs to another user than the folder (uid {seen.owner})."
        found.append(_finding("warning", said, f"Give it back: chown --reference={folder} {folder}/*"))
    return found


def _needed(limits: OutboxLimits, seen: Disk) -> int:
    """Bytes by which the database and its log may still grow."""
    file = database.room(limits.max_rows, limits.max_bytes)
    return max(0, file + database.LOG_BYTES + disk_room.RESERVE_BYTES - seen.used)


def _size(count: int) -> str:
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / 2**20:.0f} MiB"


def _finding(outcome: Outcome, said: str, fix: str = "") -> Finding:
    return Finding("disk", "", outcome, said, fix)
