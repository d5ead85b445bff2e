"""What can go wrong with backups."""

from __future__ import annotations

from vedette_hub.errors import HubError


class KeepingError(HubError):
    """A backup that cannot be made, read or brought back; what was there is as it was."""
