"""Training data from the store: the samples that gateways sent."""

from __future__ import annotations

import numpy as np
from sqlalchemy import Connection

from vedette_hub.learning import hygiene
from vedette_hub.learning.cleaning import Note, Series
from vedette_hub.learning.datasets import Source
from vedette_hub.learning.errors import TrainingRefusedError
from vedette_hub.learning.sources import alerts
from vedette_hub.store.samples import StoredSegment, newest_segments, sample_totals

MAX_VALUES = 20_000_000
"""Readings x channels read at most, the newest ones: bounds the memory to about 200 MB."""


def read(connection: Connection, profile: str) -> Source:
    """The newest samples of a profile, and what its alerts tell about them.

    Channels are those of the newest sample; what has others is left out, and noted.

    Raises:
        TrainingRefusedError: there are none; says of which profiles there are.
    """
    channels: tuple[str, ...] = ()
    found: list[Series] = []
    through = values = foreign = older = 0
    for segment in newest_segments(connection, profile):
        if not channels:
            channels, through = segment.channels, segment.number
        if values >= MAX_VALUES:
            older += 1
        elif set(segment.channels) >= set(channels):
            found.append(_series(segment, channels))
            values += found[-1].values.size
        else:
            foreign += 1
    if not found:
        known = ", ".join(f"{total.profile} ({total.readings} readings)" for total in sample_totals(connection))
        raise TrainingRefusedError(
            f"profile {profile!r}: no samples have come yet; there are samples of: {known or 'no profile'}. "
            "Gateways send them by themselves when [hub] and [samples] are configured; "
            "or train from a file with `vedette-hub train --csv`"
        )
    notes = []
    if foreign:
        notes.append(Note("segments", "", foreign, f"other channels than {', '.join(channels)}: left out"))
    if older:
        notes.append(Note("segments", "", older, f"older than the newest {MAX_VALUES:,} values: left out"))
    return Source(
        profile,
        channels,
        tuple(found),
        "gateways",
        through=through,
        notes=tuple(notes),
        periods=alerts.of_gateways(connection, profile),
    )


def _series(segment: StoredSegment, channels: tuple[str, ...]) -> Series:
    table = np.frombuffer(segment.readings, "<f8").reshape(-1, 1 + len(segment.channels))
    columns = [1 + segment.channels.index(channel) for channel in channels]
    device = alerts.device_name(segment.gateway, segment.device)
    series = Series(device, table[:, 0].copy(), np.ascontiguousarray(table[:, columns]))
    return hygiene.suspected(series) if segment.suspect else series
