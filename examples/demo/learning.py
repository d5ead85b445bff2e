"""Learning: the way of a first model, from what the agent saw through the hub back to the agent, step by step."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Literal

from examples.demo import hub_models
from examples.demo.configuration import GATEWAY
from examples.demo.devices import DAY, INTERVAL
from examples.demo.plant import DEVICES_PER_TYPE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from examples.demo.hub_alerts import HubAlert
    from examples.demo.hub_api import HubApi
    from examples.demo.hub_models import Job, Trained
    from vedette_models.messages import Status

ENOUGH = int(DEVICES_PER_TYPE * DAY / INTERVAL)
"""Readings to train with: one simulated day of every device of the type. A real plant deserves weeks."""


class Learning:
    """One profile's model: waits for samples, has it trained, pushes it, and waits until the agent runs it."""

    def __init__(self, hub: HubApi, profile: str) -> None:
        self.profile = profile
        self.stage: Literal["sampling", "training", "pushed", "running", "failed"] = "sampling"
        self.said: list[str] = []
        """What has happened, one sentence each."""
        self.version: Trained | None = None
        self.swapped_at: float | None = None
        """Simulated time at which the swap was seen, seconds since 1970."""
        self._hub = hub
        self._readings = 0
        self._job: Job | None = None

    @property
    def over(self) -> bool:
        """Whether nothing more will happen."""
        return self.stage in ("running", "failed")

    def look(self, simulated: float, status: Status | None, *, last: bool = False) -> None:
        """Take the next step if it is time for it; `last`: no more samples will come, so these must do.

        Raises:
            HubError: the hub did not answer, or refused; nothing has changed.
        """
        match self.stage:
            case "sampling":
                self._readings = hub_models.readings(self._hub, self.profile)
                if self._readings >= ENOUGH or last:
                    self._job = hub_models.train(self._hub, self.profile)
                    self._enter("training", f"{self._readings} readings came as samples: the hub trains a first model")
            case "training" if self._job is not None:
                self._job = hub_models.job(self._hub, self._job.number)
                self._follow(self._job)
            case "pushed" if self.version is not None:
                self._check(self.version, simulated, status)

    def _follow(self, job: Job) -> None:
        if job.state in ("queued", "running"):
            return
        if job.state != "succeeded" or job.result is None:
            self._enter("failed", f"the training has {job.state}: {job.message}")
            return
        hub_models.push(self._hub, self.profile, job.result.version, GATEWAY)
        self.version = job.result
        what = f"version {job.result.version} is trained, {job.result.bytes / 1024:.0f} KiB"
        self._enter("pushed", f"{what}: signed and pushed to gateway {GATEWAY}")

    def _check(self, version: Trained, simulated: float, status: Status | None) -> None:
        """Both must say so: the hub that the gateway has reported the activation, and the agent that it runs it."""
        standing = hub_models.standing(self._hub, self.profile, GATEWAY)
        activation = standing.last_activation if standing else None
        if activation is None or activation.sha256 != version.sha256:
            return
        if activation.outcome == "refused":
            self._enter("failed", f"the gateway refused it: {activation.reason}: {activation.detail}")
            return
        running = status.models.get(self.profile) if status else None
        if activation.outcome == "activated" and running is not None and running.sha256 == version.sha256:
            self.swapped_at = simulated
            name = running.detector.replace("_", " ")
            self._enter("running", f"the agent has verified it and runs version {running.version}, {name}, from now on")

    def _enter(self, stage: Literal["training", "pushed", "running", "failed"], sentence: str) -> None:
        self.stage = stage
        self.said.append(f"{self.profile}: {sentence}")

    def sentence(self, alerts: Sequence[HubAlert], began: float, simulated: float) -> str:
        """How things stand at a simulated time, in a demo that began at another."""
        match self.stage:
            case "sampling":
                return f"{self.profile}: none yet; {self._readings} of {ENOUGH} readings to train with are at the hub"
            case "training" if self._job is not None:
                return f"{self.profile}: {self._job.message or self._job.state}, {100 * self._job.progress:.0f} %"
            case "pushed" if self.version is not None:
                return f"{self.profile}: version {self.version.version} is on its way to the agent"
            case "running" if self.version is not None and self.swapped_at is not None:
                before, since = self.difference(alerts)
                return (
                    f"{self.profile}: version {self.version.version} runs; alerts in "
                    f"{(self.swapped_at - began) / DAY:.1f} days without it: {_counted(before)}; in "
                    f"{(simulated - self.swapped_at) / DAY:.1f} days with it: {_counted(since)}"
                )
            case _:
                return self.said[-1]

    def difference(self, alerts: Sequence[HubAlert]) -> tuple[Counter[str], Counter[str]]:
        """(before the swap, since) how many alerts of the profile's devices each detector said most of."""
        before: Counter[str] = Counter()
        since: Counter[str] = Counter()
        for alert in alerts:
            if alert.profile == self.profile:
                swapped = self.swapped_at is not None and alert.opened >= self.swapped_at
                (since if swapped else before)[alert.detector] += 1
        return before, since


def _counted(detectors: Counter[str]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {number}" for name, number in sorted(detectors.items())) or "none"
