"""Settled: what recognises a redelivery of a message whose effects are durable already."""

from __future__ import annotations

import hashlib
from array import array
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vedette_agent.mqtt.message import Message, SettledKey

REMEMBERED = 32_768
"""Messages: half of all packet ids, so that none is mistaken for what its id stood for a round earlier.

Not the receive maximum: Mosquitto 2.0.11 forgets it when it works off what waited for us (19,700 messages on their way
unacknowledged, instead of 512), and when it or we stop then, all whose acknowledgement it has not read come again.
"""
_PACKET_IDS = 65_536


def digest(message: Message) -> bytes:
    """16 bytes that stand for topic and payload of a message, in every process."""
    content = hashlib.blake2b(message.topic.encode(), digest_size=16)
    content.update(b"\0")
    content.update(message.payload)
    return content.digest()


class Settled:
    """The newest settled messages by packet id, 1 MiB of them however long they are."""

    def __init__(self, earlier: Iterable[SettledKey] = ()) -> None:
        """With the keys of messages that an earlier run of the agent has settled."""
        self._earlier: dict[int, bytes] = {key.packet_id: key.digest for key in earlier}
        self._number = 0
        self._numbers = array("q", bytes(8 * _PACKET_IDS))
        """By packet id: the how manieth message it was that was settled last under this id; 0: none."""
        self._hashes = array("q", bytes(8 * _PACKET_IDS))
        self.passed = 0
        """Messages settled since `passed` was set to 0: those that the keys on disk do not know of."""

    def add(self, messages: Iterable[Message]) -> None:
        """Remember messages, in the order in which they were settled."""
        number, numbers, hashes, earlier = self._number, self._numbers, self._hashes, self._earlier
        for message in messages:
            packet_id = message.packet_id
            if packet_id:
                number += 1
                numbers[packet_id] = number
                hashes[packet_id] = hash((message.topic, message.payload))
                if earlier:
                    earlier.pop(packet_id, None)
        self.passed += number - self._number
        self._number = number

    def clear(self) -> None:
        """Forget all: packet ids begin anew."""
        self._earlier.clear()
        self.passed = _PACKET_IDS  # no key on disk says anything any more
        self._numbers = array("q", bytes(8 * _PACKET_IDS))

    def __contains__(self, message: Message) -> bool:
        """Whether this redelivery repeats a message that was settled."""
        number = self._numbers[message.packet_id]
        if number:
            is_recent = number > self._number - REMEMBERED
            return is_recent and self._hashes[message.packet_id] == hash((message.topic, message.payload))
        return bool(self._earlier) and self._earlier.get(message.packet_id) == digest(message)
