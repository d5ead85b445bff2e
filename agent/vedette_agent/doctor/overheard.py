"""Overheard: a few messages of each stream, gathered while somebody listens anyway."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vedette_models import topics

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from vedette_agent.mqtt.message import Message

PER_FILTER = 20


class Overheard:
    """At most `PER_FILTER` messages for each filter, the first that match."""

    def __init__(self, filters: Sequence[str]) -> None:
        self.by_filter: dict[str, list[Message]] = {topic_filter: [] for topic_filter in filters}

    def add(self, messages: Iterable[Message]) -> None:
        """Listen to these; our own topics are no telemetry, as for the decoder the first filter that matches counts."""
        if self.full:
            return
        for message in messages:
            if topics.is_own(message.topic):
                continue
            for topic_filter, kept in self.by_filter.items():
                if topics.matches(topic_filter, message.topic):
                    if len(kept) < PER_FILTER:
                        kept.append(message)
                    break

    @property
    def some(self) -> bool:
        """Whether every filter has had a message that was not retained."""
        return all(any(not m.retained for m in kept) for kept in self.by_filter.values())

    @property
    def full(self) -> bool:
        """Whether nothing more is kept."""
        return all(len(kept) >= PER_FILTER for kept in self.by_filter.values())
