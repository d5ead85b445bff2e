"""ModelStore: the models of a gateway on its disk, and what was ordered, runs and ran before, so that a kill at any
point leaves a
valid one.

Artefacts lie under their hash. Everything else is one small file, the journal, written whole to a temporary name,
synced and
renamed, with a checksum and a second copy: whatever happens, one of the two is whole. Where both are damaged the
counter is lost,
and the gateway waits for a manifest that echoes its nonce.
"""

from __future__ import annotations

import hashlib
import logging
import os
from typing import TYPE_CHECKING

import msgspec

from vedette_models import artifact
from vedette_models.manifest import Release
from vedette_models.messages import Activation

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

logger = logging.getLogger(__name__)

FOLDER = "models"
JOURNAL, COPY = "journal", "journal.copy"
REPORTS_KEPT = 100


class Running(msgspec.Struct, frozen=True):
    """A release that was activated."""

    release: Release
    since: float
    """Seconds since 1970."""


class Journal(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the gateway must not forget of its models. `counter` is None where it was lost."""

    counter: int | None = 0
    ordered: dict[str, Release] = {}
    """By profile, by the manifest accepted last."""
    current: dict[str, Running] = {}
    previous: dict[str, Running] = {}
    failed: dict[str, str] = {}
    """Hashes that were refused since the last order, and why: not tried again until ordered anew."""
    unreported: tuple[Activation, ...] = ()
    """What the hub does not know yet."""


class ModelStore:
    """The folder of a gateway's models. Every change is durable when the call returns."""

    def __init__(self, state_dir: Path) -> None:
        self.folder = state_dir / FOLDER
        self.folder.mkdir(parents=True, exist_ok=True)
        self.journal = self._read()

    def _read(self) -> Journal:
        found = [path for path in (self.folder / JOURNAL, self.folder / COPY) if path.exists()]
        for path in found:
            journal = _decode(path.read_bytes())
            if journal is not None:
                return journal
            logger.error("%s is damaged", path)
        if found:
            logger.error("%s: the manifest's counter is lost; waiting for the hub to answer our nonce", self.folder)
            return Journal(counter=None)
        return Journal()

    def write(self, journal: Journal) -> None:
        """Replace the journal.

        Raises:
            OSError: the old one, or its copy, is still there.
        """
        data = _encode(journal)
        for name in (JOURNAL, COPY):
            _replace(self.folder / name, data)
        self.journal = journal

    def has(self, sha256: str) -> bool:
        """Whether an artefact of this name lies here."""
        return self._path(sha256).exists()

    def read(self, sha256: str) -> bytes | None:
        """The bytes of an artefact, verified by nobody yet; None where there is none."""
        try:
            with self._path(sha256).open("rb") as file:
                return file.read(artifact.MAX_BYTES + 1)
        except OSError:
            return None

    def keep(self, sha256: str, data: bytes) -> None:
        """Store an artefact.

        Raises:
            OSError: it is not stored.
        """
        _replace(self._path(sha256), data)

    def clean(self) -> None:
        """Delete artefacts that are neither ordered, running nor the one before."""
        journal = self.journal
        wanted = {release.sha256 for release in journal.ordered.values()}
        wanted |= {running.release.sha256 for part in (journal.current, journal.previous) for running in part.values()}
        for path in self.folder.glob("*.model"):
            if path.stem not in wanted:
                path.unlink(missing_ok=True)

    def _path(self, sha256: str) -> Path:
        return self.folder / f"{sha256}.model"


def with_report(journal: Journal, activation: Activation) -> Journal:
    """The journal with something more to report; the oldest give way."""
    unreported = (*journal.unreported, activation)[-REPORTS_KEPT:]
    return msgspec.structs.replace(journal, unreported=unreported)


def without(part: Mapping[str, Running], profile: str) -> dict[str, Running]:
    """A copy without one profile."""
    return {name: running for name, running in part.items() if name != profile}


def _encode(journal: Journal) -> bytes:
    body = msgspec.json.encode(journal)
    return hashlib.sha256(body).hexdigest().encode() + b"\n" + body


def _decode(data: bytes) -> Journal | None:
    digest, _, body = data.partition(b"\n")
    if hashlib.sha256(body).hexdigest().encode() != digest:
        return None
    try:
        return msgspec.json.decode(body, type=Journal)
    except msgspec.MsgspecError:
        return None


def _replace(path: Path, data: bytes) -> None:
    temporary = path.with_name(path.name + ".new")
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
