"""From what people type into forms to what the API's shapes take, and what is wrong with it in a sentence. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TypeVar
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ValidationError

from vedette_hub.errors import HubError

Shape = TypeVar("Shape", bound=BaseModel)

MATCHED = ("gateway", "device", "profile", "kind")
"""Fields of matchers that a form has a line for."""


class FormError(HubError):
    """A form that is not as it should be; says what is wrong."""


def patterns(form: Mapping[str, str], severities: list[str]) -> dict[str, list[str]]:
    """Matchers as the API takes them: of each field the patterns between commas."""
    found = {name: [part.strip() for part in form.get(name, "").split(",") if part.strip()] for name in MATCHED}
    return {name: values for name, values in {**found, "severity": severities}.items() if values}


def moment(text: str, zone: str, what: str) -> float:
    """A time that a browser's field says, in a time zone, as seconds since 1970.

    Raises:
        FormError: it is none, or there is no such zone.
    """
    try:
        return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()
    except (ValueError, OSError, LookupError, OverflowError):
        raise FormError(f"{what}: write a time such as 2030-01-31T08:00, and a zone such as Europe/Berlin") from None


def number(text: str, what: str) -> float | None:
    """A number; None where nothing was typed.

    Raises:
        FormError: it is none.
    """
    try:
        return float(text) if text.strip() else None
    except ValueError:
        raise FormError(f"{what}: {text[:40]!r} is no number") from None


def read(shape: type[Shape], values: Mapping[str, object]) -> Shape:
    """What a form says, in the shape that the API takes.

    Raises:
        FormError: with everything that is wrong, each with its field.
    """
    try:
        return shape.model_validate(dict(values))
    except ValidationError as error:
        raise FormError("; ".join(_said(detail["loc"], detail["msg"]) for detail in error.errors()[:5])) from None


def _said(place: tuple[int | str, ...], message: str) -> str:
    field = " ".join(str(part).replace("_", " ") for part in place)
    words = message.removeprefix("Value error, ")
    return f"{field}: {words[:1].lower()}{words[1:]}" if field else words
