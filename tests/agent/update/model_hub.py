"""A small hub that signs: it publishes artefacts and manifests, and hears what a gateway says of them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any

import msgspec
import numpy as np
from nacl.signing import SigningKey

from tests.agent.hub_simulator import HubSimulator
from tests.models.forests import DEVICES, normal_readings, small_artifact, trained
from tests.processes import eventually
from vedette_models import artifact, manifest, messages, topics
from vedette_models.artifact import Artifact
from vedette_models.detectors.isolation_forest import IsolationForest
from vedette_models.golden import Golden
from vedette_models.manifest import Manifest, Release
from vedette_models.messages import Activation, Status

PROFILE = "pump"
CHANNELS = ("flow", "pressure")
WIDTH = 4
DAY = 86_400.0


@lru_cache
def model(version: int, *, channels: tuple[str, ...] = CHANNELS, profile: str = PROFILE, width: int = WIDTH) -> bytes:
    """The artefact of a version: all score alike, each has its own hash."""
    made = small_artifact(channels) if width == WIDTH else _of_width(channels, width)
    lineage = msgspec.structs.replace(made.lineage, trained=1.8e9 + version)
    return artifact.to_bytes(replace(made, profile=profile, lineage=lineage))


def _of_width(channels: tuple[str, ...], width: int) -> Artifact:
    detector = IsolationForest(*trained(len(channels), width, trees=5, max_samples=16), len(channels), width)
    readings = normal_readings(len(channels), 16 * width, seed=1)
    readings.values[-DEVICES:] += 5.0 * np.arange(DEVICES)[:, None]
    return replace(small_artifact(channels), learnt=detector.learnt, golden=Golden.recorded(detector, readings))


def release(version: int, data: bytes, **changes: Any) -> Release:
    made = Release(version, "isolation_forest", artifact.sha256(data), len(data))
    return msgspec.structs.replace(made, **changes)


class ModelHub(HubSimulator):
    """Counts its orders up from `counter`."""

    subjects = (*messages.PRIORITIES, "status")

    def __init__(self, port: int, gateway: str = "gw", *, counter: int = 0, key: SigningKey | None = None) -> None:
        self.key = key or SigningKey(b"a key for tests, known to anyone")
        self.counter = counter
        self.statuses: list[Status] = []
        super().__init__(port, gateway)

    def heard(self, subject: str, payload: bytes) -> None:
        self.statuses.append(messages.from_bytes(Status, payload))

    # -------------------------------------------------------------- what it orders

    def publish(self, data: bytes, sha256: str | None = None) -> str:
        """Retain an artefact, under its own name or another; empty: clear it."""
        name = sha256 or artifact.sha256(data)
        self.send(topics.artifact(name), data)
        return name

    def manifest(self, releases: Mapping[str, Release], **changes: Any) -> Manifest:
        """The next manifest, not published."""
        self.counter += 1
        now = time.time()
        made = Manifest(self.gateway, self.counter, now, now + DAY, dict(releases))
        return msgspec.structs.replace(made, **changes)

    def desire(self, data: bytes) -> None:
        """Retain these bytes as what the gateway should run."""
        self.send(topics.gateway_down(self.gateway, "desired"), data)

    def push(self, version: int, data: bytes, profile: str = PROFILE, *, artefact: bool = True, **changes: Any) -> str:
        """Order one version, artefact first; its hash."""
        if artefact:
            self.publish(data)
        self.desire(manifest.sign(self.manifest({profile: release(version, data)}, **changes), self.key))
        return artifact.sha256(data)

    def unload(self) -> None:
        """Order no model."""
        self.desire(manifest.sign(self.manifest({}), self.key))

    def connected(self) -> bool:
        """Whether its broker has it."""
        return bool(self._client.is_connected())

    def send(self, topic: str, payload: bytes) -> None:
        self._client.publish(topic, payload, qos=1, retain=True).wait_for_publish(15)

    # -------------------------------------------------------------- what it hears

    @property
    def activations(self) -> list[Activation]:
        """All that were reported, in order."""
        return [a for key in list(self.order) if key[0] == "reports" for a in self.reports[key].activations]

    @property
    def status(self) -> Status | None:
        """The newest."""
        return self.statuses[-1] if self.statuses else None

    def told(self, outcome: str, *, since: int = 0, reason: str = "", sha256: str = "") -> Activation:
        """The first activation with this outcome after so many others, as soon as it is there."""

        def found() -> Activation | None:
            for a in self.activations[since:]:
                if a.outcome == outcome and a.sha256.startswith(sha256) and reason in ("", a.reason):
                    return a
            return None

        return eventually(found, f"{outcome} {reason} among {self.activations[since:]}", 20.0)

    def runs(self, sha256: str, profile: str = PROFILE) -> Status:
        """The first status that says that this version runs, and that devices are heard; empty: none."""

        def found() -> Status | None:
            status = self.status
            if status is None or not status.online or status.ingest == "disconnected":
                return None
            running = status.models.get(profile)
            return status if (running.sha256 if running else "") == sha256 else None

        return eventually(found, f"{sha256 or 'no model'} runs", 20.0)
