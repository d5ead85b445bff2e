"""Asking the running agent to look for itself, through the database that it shares with commands."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from vedette_agent.delivery.database import FILE, Database, OutboxError, room
from vedette_agent.delivery.requests import Requests
from vedette_agent.doctor import database
from vedette_agent.doctor.access import Examined
from vedette_agent.doctor.finding import Finding

if TYPE_CHECKING:
    from vedette_agent.config import Config
    from vedette_agent.doctor.bounded import Until

VERB = "examine"
POLL = 0.1


class Told(NamedTuple):
    """What the agent found, or why it did not say."""

    examined: Examined | None
    problem: str = ""
    fix: str = ""


def ask(config: Config, listen: float, until: Until) -> Told:
    """Leave the question, and wait for the answer until it is time."""
    path = config.gateway.state_dir / FILE
    restart = "Restart it, so that both are of the same version: systemctl restart vedette-agent"
    if not database.is_ours(path):  # to open it would change its tables under an agent of another version
        return Told(None, "the tables of its database are of another version than this program", restart)
    try:
        shared = Database(path, room(config.outbox.max_rows, config.outbox.max_bytes))
        try:
            requests = Requests(shared)
            number = requests.ask(VERB, f"{listen:g}", time.time())
            while (answer := requests.answer_of(number)) is None:
                if until.left() <= 0:
                    return Told(None, "it did not answer in time", restart)
                time.sleep(POLL)
        finally:
            shared.close()
    except OutboxError as error:
        return Told(None, f"it cannot be asked: {error}", "Run this as root: sudo vedette-agent doctor")
    try:
        return Told(msgspec.json.decode(answer, type=Examined))
    except msgspec.MsgspecError:
        return Told(None, f"it said: {answer}", restart)


def judge(told: Told) -> list[Finding]:
    """A finding where it did not say."""
    if told.examined is not None:
        return []
    said = f"the running agent could not be asked about its brokers: {told.problem}."
    return [Finding("agent", "", "warning", said, told.fix)]
