"""A simulated gateway that follows orders as an agent does: verify, fetch by exact hash, activate, report."""

from __future__ import annotations

import secrets
import threading
import time
from dataclasses import dataclass, field
from hashlib import sha256

import paho.mqtt.client as mqtt
from nacl.signing import SigningKey
from sqlalchemy import Engine, func, insert, select

from tests.hub.gateway import SimulatedGateway
from vedette_hub.store.database import writing
from vedette_hub.store.schema import models
from vedette_models import topics
from vedette_models.keys import key_ring
from vedette_models.manifest import Manifest, Release, verify
from vedette_models.messages import Activation, Report, RunningModel
from vedette_models.rejection import ManifestRejected, Rejection

KEY = SigningKey(b"\7" * 32)


def add_model(engine: Engine, profile: str = "pump", data: bytes | None = None) -> tuple[int, str]:
    """Put a version into the registry; (version, SHA-256). To the hub an artefact is bytes with a name."""
    data = data if data is not None else secrets.token_bytes(500)
    name = sha256(data).hexdigest()
    with writing(engine) as connection:
        newest = connection.execute(select(func.max(models.c.version)).where(models.c.profile == profile)).scalar()
        version = (newest or 0) + 1
        connection.execute(
            insert(models).values(
                profile=profile,
                version=version,
                sha256=name,
                detector="isolation_forest",
                bytes=len(data),
                artefact=data,
                created=1_800_000_000.0,
                stage="candidate",
                lineage='{"source": "test", "devices": ["pump-1", "pump-2"]}',
                report='{"vectors": 4000, "parity": {"max_error": 3e-09}}',
            )
        )
    return version, name


@dataclass
class Disk:
    """What a gateway keeps when it restarts."""

    counter: int | None = 0
    """Of the manifest accepted last; None: lost."""
    running: dict[str, Release] = field(default_factory=dict)


class UpdatingGateway(SimulatedGateway):
    """Follows the manifests that it finds right; what it refuses, and why, is in `rejections`."""

    def __init__(
        self, port: int, disk: Disk | None = None, name: str = "gw-1", key: SigningKey = KEY, clock_error: float = 0.0
    ) -> None:
        super().__init__(port, name)
        self.disk = disk or Disk()
        self.nonce = secrets.token_hex(8)
        self.accepted: list[Manifest] = []
        self.rejections: list[Rejection] = []
        self._keys = key_ring(key.verify_key)
        self._clock_error = clock_error
        self._wanted: dict[str, tuple[str, Release]] = {}
        self._epoch = f"e-{self.nonce}"
        self._sequence = 0
        self._state = threading.RLock()

    def running(self, profile: str = "pump") -> int | None:
        """The version that runs; None: no model."""
        release = self.disk.running.get(profile)
        return release.version if release else None

    def say(self) -> None:
        """Publish the status."""
        found = {
            profile: RunningModel(release.version, release.sha256, release.detector)
            for profile, release in self.disk.running.items()
        }
        self.status(manifest=self.disk.counter or 0, nonce=self.nonce, models=found)

    def give_up(self) -> None:
        """Report every artefact that has not come as missing, and go on waiting for it."""
        with self._state:
            for profile, release in self._wanted.values():
                self._report(profile, release, "missing")

    def waiting(self) -> bool:
        """Whether an artefact has not come yet."""
        return bool(self._wanted)

    def _connected(self, client: mqtt.Client, *rest: object) -> None:
        super()._connected(client, *rest)
        self.say()
        client.subscribe(topics.gateway_down(self.name, "desired"), qos=1)

    def _received(self, client: object, data: object, message: mqtt.MQTTMessage) -> None:
        payload = bytes(message.payload)
        with self._state:
            if message.topic == topics.gateway_down(self.name, "desired"):
                self._order(payload)
            elif message.topic.startswith(topics.artifact("")):
                self._artifact(message.topic.rsplit("/", 1)[-1], payload)
            else:
                super()._received(client, data, message)

    def _order(self, payload: bytes) -> None:
        now = time.time() + self._clock_error
        try:
            manifest = verify(payload, self._keys, self.name, now=now, last_counter=self.disk.counter, nonce=self.nonce)
        except ManifestRejected as error:
            self.rejections.append(error.reason)
            return
        self.accepted.append(manifest)
        self.disk.counter = manifest.counter
        for profile in [name for name in self.disk.running if name not in manifest.releases]:
            self._report(profile, self.disk.running.pop(profile), "removed")
        self._wanted.clear()
        for profile, release in manifest.releases.items():
            if self.disk.running.get(profile) != release:
                self._wanted[release.sha256] = (profile, release)
                self._client.subscribe(topics.artifact(release.sha256), qos=1)
        self.say()

    def _artifact(self, name: str, payload: bytes) -> None:
        if name not in self._wanted or not payload:
            return
        assert sha256(payload).hexdigest() == name
        profile, release = self._wanted.pop(name)
        assert len(payload) == release.bytes
        self.disk.running[profile] = release
        self._report(profile, release, "activated")
        self.say()

    def _report(self, profile: str, release: Release, outcome: str) -> None:
        activation = Activation(
            profile,
            release.sha256,
            release.version,
            outcome,  # type: ignore[arg-type]  # one of its own words
            counter=self.disk.counter or 0,
        )
        self._sequence += 1
        self.put(self._sequence, Report(time.time(), activations=(activation,)), "reports", self._epoch)
