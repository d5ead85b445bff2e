"""Answer: what became of an operator's wish about a model, as it passes from the agent to the command."""

from __future__ import annotations

import msgspec


class Answer(msgspec.Struct, frozen=True):
    """Whether it was done, and what to tell them."""

    done: bool
    detail: str


def ask(profile: str, leaving: str) -> str:
    """The argument of a request to roll back; `leaving` is the hash of what runs, empty for nothing."""
    return f"{leaving} {profile}"


def asked(argument: str) -> tuple[str, str]:
    """(profile, leaving) of an argument made by `ask`."""
    leaving, _, profile = argument.partition(" ")
    return profile, leaving


def to_text(answer: Answer) -> str:
    """For the database."""
    return msgspec.json.encode(answer).decode()


def from_text(text: str) -> Answer:
    """What `to_text` made; any other text is a refusal in words."""
    try:
        return msgspec.json.decode(text, type=Answer)
    except msgspec.MsgspecError:
        return Answer(False, text)
