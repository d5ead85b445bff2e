"""What a client of /ws is told, as WebSocket frames: encoded once, however many clients are told. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from websockets.frames import Frame, Opcode

_encoder = msgspec.json.Encoder()


def frame(kind: str, data: Mapping[str, Any]) -> bytes:
    """A text frame (RFC 6455, section 5.2) with `{"type": kind, "data": data}`; numbers that are none become null.

    A server's frames are not masked, so that the same bytes go to every client; and no extension is agreed on.
    """
    return Frame(Opcode.TEXT, _encoder.encode({"type": kind, "data": data})).serialize(mask=False)
