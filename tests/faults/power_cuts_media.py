"""What a disk may hold after the power is cut: everything that was synced, and any part of what was not.

A file is cut into sectors of 512 bytes. Since its last sync each sector may have reached the disk in any of its
versions, whatever became of the others: writes are dropped, reordered and torn. Bytes of a sector that a write does not
touch stay as they were ("power-safe overwrite", which SQLite relies on as well). Entries of a folder are durable after
the folder's sync; until then the disk knows a beginning of what happened to them, in order, as journalling file systems
do it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import NamedTuple

SECTOR = 512


class Write(NamedTuple):
    path: str
    offset: int
    data: bytes


class Truncate(NamedTuple):
    path: str
    size: int


class Sync(NamedTuple):
    path: str


class Create(NamedTuple):
    path: str
    folder: bool = False


class Delete(NamedTuple):
    path: str


class Rename(NamedTuple):
    path: str
    to: str


class SyncFolder(NamedTuple):
    """The entries of a folder; "." is the one that everything lies in."""

    path: str


class Mark(NamedTuple):
    """Something that the program has promised by now."""

    what: object


Change = Write | Truncate | Sync | Create | Delete | Rename | SyncFolder | Mark


@dataclass
class _Content:
    """A file's bytes: what is durable, and what has happened since."""

    durable: bytearray = field(default_factory=bytearray)
    since: list[Write | Truncate] = field(default_factory=list)
    folder: bool = False

    def sync(self) -> None:
        for change in self.since:
            _apply(self.durable, change)
        self.since.clear()

    def after_a_cut(self, keep: Callable[[], bool], torn: bool) -> bytearray:
        """What is durable with those changes that `keep` says, each as a whole or sector by sector."""
        content = bytearray(self.durable)
        for change in self.since:
            if isinstance(change, Truncate) or not torn:
                if keep():
                    _apply(content, change)
                continue
            end = change.offset + len(change.data)
            first = change.offset
            while first < end:
                last = min(end, (first // SECTOR + 1) * SECTOR)
                if keep():
                    part = change.data[first - change.offset : last - change.offset]
                    _apply(content, Write(change.path, first, part))
                first = last
        return content


def _apply(content: bytearray, change: Write | Truncate) -> None:
    if isinstance(change, Truncate):
        del content[change.size :]
        content.extend(bytes(change.size - len(content)))
        return
    content.extend(bytes(max(0, change.offset - len(content))))
    content[change.offset : change.offset + len(change.data)] = change.data


def _enter(there: dict[str, _Content], entries: Iterable[tuple[Create | Delete | Rename, _Content]]) -> None:
    """Do to the entries of folders what happened to them."""
    for change, content in entries:
        there.pop(change.path, None)
        if isinstance(change, Create):
            there[change.path] = content
        elif isinstance(change, Rename):
            there[change.to] = content


class State(NamedTuple):
    """What the disk holds after a cut, and what had been promised before it, in order."""

    files: dict[str, bytes]
    promised: Sequence[object]
    about: str


class Media:
    """A disk that a recording is replayed on."""

    def __init__(self) -> None:
        self._now: dict[str, _Content] = {}
        self._durable: dict[str, _Content] = {}
        self._entries: list[tuple[Create | Delete | Rename, _Content]] = []
        """What happened to entries of folders since their last sync, and the contents of what was created."""
        self.promised: list[object] = []

    def play(self, change: Change) -> None:
        """One more thing that happened."""
        match change:
            case Create(path, folder):
                self._now[path] = _Content(folder=folder)
                self._entries.append((change, self._now[path]))
            case Delete(path):
                self._now.pop(path, None)
                self._entries.append((change, _Content()))
            case Rename(path, to):
                self._now[to] = self._now.pop(path)
                self._entries.append((change, self._now[to]))
            case Write(path) | Truncate(path):
                self._now[path].since.append(change)
            case Sync(path):
                self._now[path].sync()
            case SyncFolder(folder):
                inside = [str(PurePath(change.path).parent) == folder for change, _ in self._entries]
                _enter(self._durable, [entry for entry, is_in in zip(self._entries, inside, strict=True) if is_in])
                self._entries = [entry for entry, is_in in zip(self._entries, inside, strict=True) if not is_in]
            case Mark(what):
                self.promised.append(what)

    def cut(self, rng: random.Random) -> State:
        """One of the states in which the disk may be now."""
        share = rng.choice((0.0, 1.0, rng.random(), rng.random()))
        torn = rng.random() < 0.7
        entries = rng.randint(0, len(self._entries)) if rng.random() < 0.5 else len(self._entries)
        there = dict(self._durable)
        _enter(there, self._entries[:entries])
        files = {
            path: bytes(content.after_a_cut(lambda: rng.random() < share, torn))
            for path, content in there.items()
            if not content.folder and all(str(folder) in there for folder in PurePath(path).parents[:-1])
        }
        how = f"{share:.0%} of what was not synced, {'torn' if torn else 'whole'}, {entries} entries"
        return State(files, tuple(self.promised), how)


def cuts(recording: Sequence[Change], number: int, seed: int) -> Iterator[State]:
    """States after so many cuts at random points of a recording."""
    rng = random.Random(seed)
    points = sorted(rng.randint(0, len(recording)) for _ in range(number))
    media, played = Media(), 0
    for point in points:
        for change in recording[played:point]:
            media.play(change)
        played = point
        state = media.cut(rng)
        yield state._replace(about=f"cut {point} of {len(recording)}: {state.about}")
