"""ModelStore: the models of a gateway on its disk, what was ordered, what runs and what ran before.

Artefacts lie under their hash. Everything else is one small file, the journal, written whole to a temporary name,
synced and renamed, with a checksum and a second copy: a kill at any point leaves one of the two whole. Where both are
damaged the counter is lost, and the gateway waits for a manifest that echoes its nonce.
"""

from __future__ import annotations

import hashlib
import logging
from typing import TYPE_CHECKING

import msgspec

from vedette_agent import durable_file
from vedette_agent.durable_file import NEW
from vedette_agent.update.journal import Journal
from vedette_models import artifact

if TYPE_CHECKING:
    from pathlib import Path

logger = logging.getLogger(__name__)

FOLDER = "models"
JOURNAL, COPY = "journal", "journal.copy"
SUFFIX = ".model"


class ModelStore:
    """The folder of a gateway's models. Every change is durable when the call returns."""

    def __init__(self, state_dir: Path) -> None:
        """Writes nothing: whoever only looks may use it too."""
        self.folder = state_dir / FOLDER
        self.journal = self._read()

    def _read(self) -> Journal:
        """The newest whole journal. Artefacts without any journal mean that there was one, and a counter in it."""
        for name in (JOURNAL, COPY):
            path = self.folder / name
            try:
                journal = _decode(path.read_bytes())
            except FileNotFoundError:
                continue
            except OSError as error:
                logger.error("%s: %s", path, error.strerror or error)
                continue
            if journal is not None:
                return journal
            logger.error("%s is damaged", path)
        if (self.folder / JOURNAL).exists() or (self.folder / COPY).exists() or any(self.folder.glob(f"*{SUFFIX}")):
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
            durable_file.replace(self.folder / name, lambda file: file.write(data))
        self.journal = journal

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
        durable_file.replace(self._path(sha256), lambda file: file.write(data))

    def clean(self) -> None:
        """Delete artefacts that are neither ordered, running nor the one before, and what a kill has left half written.

        Raises:
            OSError: one is still there.
        """
        journal = self.journal
        wanted = {release.sha256 for release in journal.ordered.values()}
        wanted |= {running.release.sha256 for part in (journal.current, journal.previous) for running in part.values()}
        for path in [*self.folder.glob(f"*{SUFFIX}"), *self.folder.glob(f"*{SUFFIX}{NEW}")]:
            if path.suffix == NEW or path.stem not in wanted:
                path.unlink(missing_ok=True)

    def _path(self, sha256: str) -> Path:
        return self.folder / f"{sha256}{SUFFIX}"


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
