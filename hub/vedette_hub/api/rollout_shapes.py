"""What orders and their answers look like."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from vedette_hub.fleet.orders import Ordered, Targets
from vedette_hub.fleet.standing import Standing
from vedette_hub.store.schema import NAME_LENGTH
from vedette_hub.times import rfc3339

MAX_GATEWAYS = 1_000

_Name = Annotated[str, Field(min_length=1, max_length=NAME_LENGTH)]


class TargetsIn(BaseModel):
    """For whom an order is: exactly one of the three."""

    model_config = ConfigDict(extra="forbid", strict=True)

    gateways: Annotated[list[_Name], Field(min_length=1, max_length=MAX_GATEWAYS)] | None = None
    group: _Name | None = None
    all: bool = False

    @model_validator(mode="after")
    def _one_of_three(self) -> TargetsIn:
        if (self.gateways is not None) + (self.group is not None) + self.all != 1:
            raise ValueError('say for whom: {"gateways": [...]}, {"group": "..."} or {"all": true}')
        return self

    def chosen(self) -> Targets:
        """The same for `fleet.orders`."""
        return Targets(tuple(self.gateways or ()), self.group or "")


class GroupIn(BaseModel):
    """The group a gateway belongs to."""

    model_config = ConfigDict(extra="forbid", strict=True)

    group: Annotated[str, Field(max_length=NAME_LENGTH)] = Field(description="Empty: none.")


class GroupOut(BaseModel):
    """The group a gateway belongs to."""

    gateway: str
    group: str


class OrderedGatewayOut(BaseModel):
    """What one gateway has been ordered."""

    gateway: str
    version: int | None
    """null: no model."""
    counter: int
    """Of the manifest that says so."""


class OrderedOut(BaseModel):
    """What an order did."""

    profile: str
    gateways: list[OrderedGatewayOut]
    skipped: list[str]
    """Gateways on which there was nothing to change."""


def ordered_answer(ordered: Ordered) -> dict[str, Any]:
    """Fields of `OrderedOut`."""
    return asdict(ordered)


def standing_answer(standing: Standing) -> dict[str, Any]:
    """Fields of `GatewayModelOut`."""
    ordered, running, last = standing.ordered, standing.running, standing.last
    current = ordered.desired.current if ordered else None
    previous = ordered.desired.previous if ordered else None
    return {
        "profile": standing.profile,
        "progress": standing.progress,
        "ordered": current.number if current else None,
        "previous": previous.number if previous else None,
        "ordered_by": ordered.by if ordered else "",
        "ordered_at": rfc3339(ordered.ordered) if ordered else None,
        "running": running.version if running else None,
        "running_sha256": running.sha256 if running else "",
        "on_probation": running.on_probation if running else False,
        "counter": standing.counter,
        "last_activation": {
            "version": last.activation.version,
            "sha256": last.activation.sha256,
            "outcome": last.activation.outcome,
            "reason": last.activation.reason,
            "detail": last.activation.detail,
            "counter": last.activation.counter,
            "time": last.time,
            "at": rfc3339(last.time),
        }
        if last
        else None,
    }
