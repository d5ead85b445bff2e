"""Which alerts something is for: silences, maintenance windows, severity rules and routes say it alike. Pure."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import lru_cache

from vedette_models.messages import Alert, Severity

MAX_PATTERNS = 100
"""Most patterns of one field."""


@dataclass(frozen=True)
class Matchers:
    """Patterns by field: an alert matches when each field that has patterns matches one of them.

    In a pattern `*` stands for any characters and `?` for one; capitals count. No patterns at all match every alert.
    """

    gateway: tuple[str, ...] = ()
    device: tuple[str, ...] = ()
    profile: tuple[str, ...] = ()
    kind: tuple[str, ...] = ()
    severity: tuple[str, ...] = ()

    @classmethod
    def of(cls, patterns: Mapping[str, object]) -> Matchers:
        """From lists of patterns by field, as they are stored and sent."""
        return cls(**{name: tuple(map(str, found)) for name, found in patterns.items() if isinstance(found, list)})

    def patterns(self) -> dict[str, list[str]]:
        """Lists of patterns by field, without those that have none."""
        return {one.name: list(found) for one in fields(self) if (found := getattr(self, one.name))}

    def match(self, event: Alert, severity: Severity) -> bool:
        """Whether an alert matches: its newest event, and its severity, which a rule may have changed.

        >>> from vedette_models.messages import Alert
        >>> event = Alert("a", 1, "gw-1", "pump-7", "pump", "anomaly", "active", "low", 0.0, 0.0, 1.0, "")
        >>> Matchers(gateway=("gw-1",), device=("fan-*", "pump-?")).match(event, "low")
        True
        >>> Matchers(gateway=("gw-1",), severity=("critical",)).match(event, "low")
        False
        """
        return (
            _fits(self.gateway, event.gateway)
            and _fits(self.device, event.device)
            and _fits(self.profile, event.profile)
            and _fits(self.kind, event.kind)
            and _fits(self.severity, severity)
        )


def _fits(patterns: tuple[str, ...], name: str) -> bool:
    return not patterns or any(name == pattern or _compiled(pattern).match(name) for pattern in patterns)


@lru_cache(maxsize=4096)
def _compiled(pattern: str) -> re.Pattern[str]:
    # fnmatch's expressions do not go back over a star, so that no pattern takes long; its brackets are not offered.
    return re.compile(fnmatch.translate(pattern.replace("[", "[[]")))
