"""Checkpoint: what the detectors of a profile have learnt, on disk, so that a restart resumes.

One `.npz` file per profile, of plain arrays, written to a temporary name, synced and renamed: a power cut leaves the
old one or the new one. A file that cannot be used is set aside and said; the detectors then learn anew.
"""

from __future__ import annotations

import hashlib
import json
import logging
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

import numpy as np

from vedette_agent import durable_file

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

logger = logging.getLogger(__name__)

FORMAT = 1
_RECENT = "recent "
"""Begins the names of arrays of recent readings: without a slash, so that releases that do not know them look past."""
LONGEST_NAME = 200
"""Of a file, in bytes; a percent-encoded name of 64 characters may be longer than any file system takes."""


class CheckpointError(ValueError):
    """A checkpoint that cannot be used: says why."""


class Checkpoint(NamedTuple):
    """State of one profile at one moment."""

    time: float
    """When it was taken, seconds since 1970."""
    channels: tuple[str, ...]
    devices: tuple[str | None, ...]
    """Device of every row; None where free."""
    detectors: Mapping[str, Mapping[str, NDArray[np.generic]]]
    """Arrays by detector and name, a row for each device."""
    recent: Mapping[str, NDArray[np.generic]] = {}
    """The newest readings, a row for each."""


def path_of(folder: Path, profile: str) -> Path:
    """Where the checkpoint of a profile is kept."""
    name = quote(profile, safe="")
    if len(name) > LONGEST_NAME:
        name = f"{name[:LONGEST_NAME]}-{hashlib.blake2b(profile.encode(), digest_size=8).hexdigest()}"
    return folder / f"{name}.npz"


def save(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint, durable when this returns.

    Raises:
        OSError: the old one is still there.
    """
    arrays: dict[str, NDArray[np.generic]] = {}
    for detector, state in checkpoint.detectors.items():
        for name, array in state.items():
            arrays[f"{detector}/{name}"] = array
    arrays |= {f"{_RECENT}{name}": array for name, array in checkpoint.recent.items()}
    about = {
        "format": FORMAT,
        "time": checkpoint.time,
        "channels": checkpoint.channels,
        "devices": checkpoint.devices,
        "arrays": list(arrays),  # their names have no checksum where they stand
    }
    arrays["about"] = np.frombuffer(json.dumps(about).encode(), np.uint8)
    durable_file.replace(path, lambda file: np.savez(file, allow_pickle=False, **arrays))


def load(path: Path) -> Checkpoint | None:
    """The checkpoint at `path`; None where there is none.

    Raises:
        CheckpointError: the file is damaged or of a format this version does not read.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            about = json.loads(bytes(file["about"]))
            form = about["format"]
            if form == FORMAT:
                return _read(about, file)
    except FileNotFoundError:
        return None
    except Exception as error:
        # a damaged archive raises whatever the readers of zip, header and JSON stumble over, MemoryError included
        raise CheckpointError(f"{path}: damaged ({type(error).__name__}: {error})") from error
    raise CheckpointError(f"{path}: format {form!r}, this version reads {FORMAT}")


def _read(about: Mapping[str, Any], file: Mapping[str, NDArray[np.generic]]) -> Checkpoint:
    devices, channels = about["devices"], about["channels"]
    names = [name for name in devices if name is not None]
    if not all(isinstance(name, str) for name in (*names, *channels)) or len(set(names)) < len(names):
        raise ValueError("devices and channels must be names, each device once")
    arrays = [key for key in file if key != "about"]
    if sorted(about.get("arrays", arrays)) != sorted(arrays):
        raise ValueError("its arrays are not those that were written")
    detectors: dict[str, dict[str, NDArray[np.generic]]] = {}
    recent = {key.removeprefix(_RECENT): file[key] for key in file if key.startswith(_RECENT) and "/" not in key}
    for key in file:
        detector, _, name = key.partition("/")
        if name:
            array = detectors.setdefault(detector, {})[name] = file[key]
            if array.shape[:1] != (len(devices),):
                raise ValueError(f"array {key!r} has the shape {array.shape}, there are {len(devices)} devices")
    return Checkpoint(float(about["time"]), tuple(channels), tuple(devices), detectors, recent)


def set_aside(path: Path) -> None:
    """Keep an unusable checkpoint for whoever wants to look at it, and make room for a new one."""
    try:
        path.replace(path.with_suffix(".unusable"))
    except OSError as error:
        logger.warning("%s: %s", path, error)
