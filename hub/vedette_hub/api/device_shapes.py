"""What API requests and answers about devices and profiles look like. Times are as in `shapes`."""

from __future__ import annotations

from pydantic import BaseModel, Field, model_validator

from vedette_hub.api.shapes import Page


class DeviceChoice(BaseModel):
    """Which devices."""

    model_config = {"extra": "forbid"}

    gateway: str | None = Field(None, min_length=1, description="Of this gateway.")


class DevicePage(DeviceChoice, Page):
    """Which devices; a page continues after a gateway and device, which go together."""

    after_gateway: str | None = Field(None, description="Continue: from the `next` of the page before.")
    after_device: str | None = None

    @model_validator(mode="after")
    def _both_or_none(self) -> DevicePage:
        if (self.after_gateway is None) != (self.after_device is None):
            raise ValueError("after_gateway and after_device go together")
        return self

    def after(self) -> tuple[str, str] | None:
        """Where to continue."""
        if self.after_gateway is None or self.after_device is None:
            return None
        return self.after_gateway, self.after_device


class DeviceOut(BaseModel):
    """What the hub knows of a device."""

    gateway: str
    device: str
    profile: str
    channels: list[str]
    """Of its newest samples; none where only an alert has come."""
    last: float | None = Field(description="Time of the newest reading that has come as a sample.")
    last_at: str | None
    interval: float | None = Field(description="Usual seconds between its readings.")


class NextDevice(BaseModel):
    """Where the next page begins."""

    after_gateway: str
    after_device: str


class DevicesOut(BaseModel):
    """A page of devices by gateway and name."""

    devices: list[DeviceOut]
    next: NextDevice | None = Field(description="Parameters of the next page; null on the last.")


class ProfileOut(BaseModel):
    """What the hub knows of a profile."""

    profile: str
    segments: int
    readings: int
    versions: int
    newest: int | None = Field(description="The version that was trained last.")
    released: int | None = Field(description="The newest version that gateways are told to run.")


class ProfilesOut(BaseModel):
    """A page of profiles by name."""

    profiles: list[ProfileOut]
    total: int
    next: str | None = Field(description="`after` of the next page; null on the last.")
