"""How values are written for a person: template filters. Pure."""

from __future__ import annotations

from flask import Blueprint

from vedette_hub.times import rfc3339
from vedette_models.readings import Quality


def clock(seconds: float | None) -> str:
    """A time for a person, in UTC."""
    text = rfc3339(seconds)
    return f"{text[:10]} {text[11:19]} UTC" if text else "at an impossible time"


def number(value: float) -> str:
    """A measured value with as many digits as tell something."""
    return f"{value:.4g}" if abs(value) < 1e5 else f"{value:,.0f}"


def duration(seconds: float) -> str:
    """A length of time in the unit that suits it.

    >>> duration(300.0), duration(9000.0), duration(0.25)
    ('5 min', '2.5 h', '0.25 s')
    """
    for size, unit in ((86_400.0, "days"), (3_600.0, "h"), (60.0, "min")):
        if seconds >= 1.5 * size or (seconds >= size and unit != "days"):
            return f"{round(seconds / size, 1):g} {unit}"
    return f"{seconds:.3g} s"


def kib(size: int) -> str:
    """Bytes of an artefact."""
    return f"{size / 1024:.1f} KiB"


def unset(quality: int) -> bool:
    """Whether a gateway's clock was not set."""
    return bool(quality & Quality.GATEWAY_UNSET)


def register(blueprint: Blueprint) -> None:
    """Make them known to templates."""
    filters = {"rfc3339": lambda seconds: rfc3339(seconds) or "", "clock": clock, "number": number,
               "duration": duration, "kib": kib, "unset": unset}  # fmt: skip
    for name, function in filters.items():
        blueprint.add_app_template_filter(function, name)
