"""What a message says: for programs in fields, for people in a title and a text. Pure."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from vedette_hub.alerts.lifecycle import AlertRecord
from vedette_hub.notify.decision import Cause
from vedette_hub.times import rfc3339

TITLE_LENGTH = 200
TEXT_LENGTH = 2_000
NAME_LENGTH = 100

_WORDS: dict[Cause, str] = {
    "opened": "",
    "over": "was",
    "worse": "worse",
    "again": "again",
    "cleared": "cleared",
    "test": "test",
}


def compose(record: AlertRecord, cause: Cause, now: float, *, held: int = 0, origin: str = "") -> dict[str, Any]:
    """The message about an alert.

    Args:
        record: the alert as it is.
        cause: what there is to tell of it.
        now: seconds since 1970 UTC.
        held: how many other alerts wait for the same channel.
        origin: address of the console, for a link; empty: none.
    """
    event = record.event
    # A slash or a space in a name stays one segment.
    link = f"{origin}/alerts/{quote(event.gateway, safe='')}/{quote(event.id, safe='')}" if origin else None
    data: dict[str, Any] = {
        "gateway": event.gateway,
        "id": event.id,
        "device": event.device,
        "profile": event.profile,
        "kind": event.kind,
        "state": record.state,
        "severity": record.severity,
        "opened": event.opened,
        "opened_at": rfc3339(event.opened),
        "cleared": record.cleared,
        "cleared_at": rfc3339(record.cleared),
        "cleared_by": record.cleared_by,
        "score": event.score,
        "reason": event.reason[:TEXT_LENGTH],
        "detector": event.detector,
        "held_back": held,
        "link": link,
        "title": title(record, cause),
        "text": text(record, cause, held, link),
    }
    return {"type": f"alert.{cause}", "timestamp": rfc3339(now), "data": data}


def compose_test(channel: str, by: str, now: float) -> dict[str, Any]:
    """The message with which somebody tries a channel."""
    words = f"{one_line(by)} tries the channel {one_line(channel)}. Nothing is wrong."
    data = {"title": "[test] Vedette", "text": words, "severity": "low", "state": "active", "by": by}
    return {"type": "alert.test", "timestamp": rfc3339(now), "data": data}


def title(record: AlertRecord, cause: Cause) -> str:
    """One line for people."""
    event = record.event
    words = " ".join(word for word in (_WORDS[cause], record.severity) if word)
    return f"[{words}] {one_line(event.device)[:NAME_LENGTH]}: {one_line(event.kind)[:NAME_LENGTH]}"[:TITLE_LENGTH]


def text(record: AlertRecord, cause: Cause, held: int = 0, link: str | None = None) -> str:
    """A few lines for people."""
    event = record.event
    lines = [
        one_line(event.reason)[:1_000],
        f"Gateway {one_line(event.gateway)[:NAME_LENGTH]}, profile {one_line(event.profile)[:NAME_LENGTH]}, "
        f"since {rfc3339(event.opened) or 'an unknown time'}, score {event.score:.2f}.",
    ]
    if cause in ("cleared", "over"):
        why = f" ({one_line(record.cleared_by)[:NAME_LENGTH]})" if record.cleared_by else ""
        lines.append(f"Over since {rfc3339(record.cleared) or 'an unknown time'}{why}.")
    if held:
        lines.append(f"{held} more {'alert is' if held == 1 else 'alerts are'} held back for now.")
    if link:
        lines.append(link)
    return "\n".join(line for line in lines if line)[:TEXT_LENGTH]


def one_line(words: str) -> str:
    """Words on one line: a name may hold anything, and none of it may begin another header or message."""
    return " ".join("".join(character if character.isprintable() else " " for character in words).split())
