"""Detectors of `mahalanobis` that begin with a baseline, as a hub would teach it, of the readings of `forests`."""

from __future__ import annotations

import numpy as np

from vedette_models.detectors.mahalanobis import Mahalanobis
from vedette_models.detectors.mahalanobis_start import Start


def normal_start(channels: int, readings: int = 1_000, reach: float = 1.2) -> Start:
    """Channels that do not depend on each other: noise around 0, 1013.25, 2026.5 …"""
    one = np.ones(channels)
    return Start(1013.25 * np.arange(channels), 0.45 * one, one, 0.1 * one, np.eye(channels), readings, reach)


def mahalanobis(channels: int, devices: int) -> Mahalanobis:
    """A detector that knows no device."""
    return Mahalanobis(channels, devices, start=normal_start(channels))
