"""Learning at the hub, as its API tells it: samples, trainings, orders, and what a gateway made of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from examples.demo.hub_api import HubApi


class Samples(msgspec.Struct, frozen=True):
    """What there is to train one profile's model with."""

    profile: str
    readings: int


class Trained(msgspec.Struct, frozen=True):
    """The version that a training made."""

    version: int
    sha256: str
    bytes: int


class Job(msgspec.Struct, frozen=True):
    """A training as it stands."""

    number: int
    state: str
    """`queued`, `running`, `succeeded`, or how else it ended."""
    progress: float
    """0 to 1."""
    message: str
    result: Trained | None = None


class Activation(msgspec.Struct, frozen=True):
    """What a gateway last said of a profile's model."""

    sha256: str
    outcome: str
    """`activated`: it runs."""
    reason: str = ""
    detail: str = ""


class Standing(msgspec.Struct, frozen=True):
    """How one profile stands on a gateway."""

    profile: str
    progress: str
    running_sha256: str = ""
    last_activation: Activation | None = None


class _SampleList(msgspec.Struct, frozen=True):
    samples: list[Samples]


class _Gateway(msgspec.Struct, frozen=True):
    models: list[Standing]


def readings(hub: HubApi, profile: str) -> int:
    """Readings of a profile that wait to be learnt from.

    Raises:
        HubError: no answer.
    """
    found = hub.get("samples", _SampleList).samples
    return next((samples.readings for samples in found if samples.profile == profile), 0)


def train(hub: HubApi, profile: str) -> Job:
    """Queue a training.

    Raises:
        HubError: no answer, or a refusal.
    """
    return hub.post("models/train", {"profile": profile}, Job)


def job(hub: HubApi, number: int) -> Job:
    """A training as it stands now.

    Raises:
        HubError: no answer.
    """
    return hub.get(f"jobs/{number}", Job)


def push(hub: HubApi, profile: str, version: int, gateway: str) -> None:
    """Order that a gateway runs a version.

    Raises:
        HubError: no answer, or a refusal.
    """
    hub.post(f"models/{profile}/{version}/push", {"gateways": [gateway]}, dict[str, Any])


def standing(hub: HubApi, profile: str, gateway: str) -> Standing | None:
    """How a profile stands on a gateway; None: nothing is ordered, and nothing runs.

    Raises:
        HubError: no answer.
    """
    found = hub.get(f"gateways/{gateway}", _Gateway).models
    return next((one for one in found if one.profile == profile), None)
