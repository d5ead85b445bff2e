"""What can go wrong with learning."""

from __future__ import annotations

from vedette_hub.errors import HubError


class TrainingRefusedError(HubError):
    """Nothing sound can be learnt from this: says what was seen, and what is needed."""


class RegistryError(HubError):
    """A version of a model that is not there, or cannot be kept."""


class JobError(HubError):
    """A job that cannot be taken, found or cancelled."""
