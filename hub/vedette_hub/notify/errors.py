"""What can go wrong with channels, routes and messages."""

from __future__ import annotations

from vedette_hub.errors import HubError


class SettingsError(HubError):
    """Settings of a channel or route that cannot be used; `fields` says what is wrong with each."""

    def __init__(self, fields: dict[str, list[str]]) -> None:
        super().__init__("; ".join(f"{name}: {', '.join(problems)}" for name, problems in fields.items()))
        self.fields = fields


class DeliveryError(HubError):
    """A message that could not be delivered."""

    def __init__(self, text: str, *, permanent: bool = False, retry_after: float | None = None) -> None:
        super().__init__(text)
        self.permanent = permanent
        """The receiver will never take it: it is not tried again."""
        self.retry_after = retry_after
        """Seconds that the receiver asks us to wait."""


class RefusedAddressError(DeliveryError):
    """An address that the hub does not connect to."""
