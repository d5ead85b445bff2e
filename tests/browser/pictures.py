"""Which pages the pictures in docs/ are of."""

from __future__ import annotations

SHOTS = {
    "/": "console.png",
    "/alerts/hall-a/0001": "alert.png",
    "/devices/hall-a/pump-2": "device.png",
    "/models/pump/compare": "models.png",
}
LARGEST = 200_000
"""Bytes of a picture that may lie in the repository."""
