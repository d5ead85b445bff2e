"""The MQTT topic grammar of both brokers: build, parse, match.

On the hub's broker a gateway owns `vedette/v1/gw/<gateway>/`; on the devices' broker it owns `vedette/<gateway>/`.
Names of gateways and devices are percent-encoded, so that a `/`, `+`, `#` or a space in a name stays one topic level.
"""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import quote, unquote

ROOT = "vedette"
HUB_ROOT = f"{ROOT}/v1/gw"
UP_ALL = f"{HUB_ROOT}/+/up/#"

LIVE, LIVE_REQUEST = "live", "request/live"
"""Subjects: readings of a device while somebody looks at it, and the request for them."""

_PLACEHOLDER = re.compile(r"^\{([a-z_]+)\}$")


def encode(name: str) -> str:
    """One topic level for any name.

    >>> encode("line 3/pump+1")
    'line%203%2Fpump%2B1'
    """
    return quote(name, safe="")


def decode(level: str) -> str:
    """The name behind a topic level made by `encode`."""
    return unquote(level)


def gateway_up(gateway: str, subject: str) -> str:
    """Hub's broker: what a gateway says, for example `up/alerts`."""
    return f"{HUB_ROOT}/{encode(gateway)}/up/{subject}"


def gateway_down(gateway: str, subject: str) -> str:
    """Hub's broker: what the hub says to a gateway, for example `down/receipts`."""
    return f"{HUB_ROOT}/{encode(gateway)}/down/{subject}"


def artifact(sha256: str) -> str:
    """Hub's broker: the retained artefact with this SHA-256, in lower-case hexadecimal digits."""
    return f"{ROOT}/v1/models/{sha256}"


def parse_up(topic: str) -> tuple[str, str] | None:
    """(gateway, subject) of a topic made by `gateway_up`; None for any other."""
    levels = topic.split("/")
    if len(levels) < 6 or levels[:3] != [ROOT, "v1", "gw"] or levels[4] != "up":
        return None
    return decode(levels[3]), "/".join(levels[5:])


def device_alert(gateway: str, device: str, kind: str) -> str:
    """Devices' broker: the retained alert of one kind on one device; an empty payload clears it."""
    return f"{ROOT}/{encode(gateway)}/{encode(device)}/alert/{encode(kind)}"


def device_alerts(gateway: str) -> str:
    """Devices' broker: a filter that matches every alert topic of a gateway."""
    return f"{ROOT}/{encode(gateway)}/+/alert/+"


def local_status(gateway: str) -> str:
    """Devices' broker: the retained status of the agent."""
    return f"{ROOT}/{encode(gateway)}/status"


def is_own(topic: str) -> bool:
    """Whether a topic belongs to Vedette itself and is therefore never telemetry, even under the filter `#`."""
    return topic == ROOT or topic.startswith(f"{ROOT}/")


def matches(topic_filter: str, topic: str) -> bool:
    """Whether an MQTT topic filter with `+` and `#` matches a topic (MQTT 5, section 4.7).

    >>> matches("plant/+/pump/#", "plant/3/pump")
    True
    """
    wanted, levels = topic_filter.split("/"), topic.split("/")
    if topic.startswith("$") and wanted[0] in ("+", "#"):
        return False
    for i, level in enumerate(wanted):
        if level == "#":
            return True
        if i >= len(levels) or level not in ("+", levels[i]):
            return False
    return len(wanted) == len(levels)


class TopicPattern(NamedTuple):
    """A topic filter whose levels may name what stands there: `plant/{device}/+/{channel}`.

    `filter` is what to subscribe to; `levels` gives the position of each named level.
    """

    filter: str
    levels: dict[str, int]

    @classmethod
    def parse(cls, pattern: str) -> TopicPattern:
        """Read a pattern; raise ValueError with the fault in words when it is not a valid topic filter."""
        filters: list[str] = []
        levels: dict[str, int] = {}
        parts = pattern.split("/")
        if not pattern or "\0" in pattern or len(pattern.encode()) > 65_535:
            raise ValueError("a topic filter has 1 to 65,535 bytes and no NUL")
        for i, part in enumerate(parts):
            if named := _PLACEHOLDER.match(part):
                name = named[1]
                if name not in ("device", "channel"):
                    raise ValueError(f'"{part}" is not known, use {{device}} or {{channel}}')
                if name in levels:
                    raise ValueError(f'"{part}" stands there twice')
                levels[name] = i
                filters.append("+")
                continue
            if "{" in part or "}" in part:
                raise ValueError(f'"{part}": {{device}} or {{channel}} must be a whole level between slashes')
            if part != "+" and "+" in part:
                raise ValueError(f'"{part}": "+" must be a whole level')
            if part != "#" and "#" in part:
                raise ValueError(f'"{part}": "#" must be a whole level')
            if part == "#" and i != len(parts) - 1:
                raise ValueError('"#" must be the last level')
            filters.append(part)
        return cls("/".join(filters), levels)

    def level(self, name: str, topic: str) -> str | None:
        """What stands at the level called `name` in a topic that matches; None when the pattern does not name it."""
        i = self.levels.get(name)
        return None if i is None else topic.split("/")[i]
