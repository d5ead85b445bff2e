"""What can go wrong at the hub, said so that a person can act."""

from __future__ import annotations


class HubError(Exception):
    """Base of the hub's errors: what failed, where, and what to do."""


class ConfigurationError(HubError):
    """A configuration that cannot be used; `problems` has one line for each mistake."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class StoreError(HubError):
    """The database cannot be used."""
