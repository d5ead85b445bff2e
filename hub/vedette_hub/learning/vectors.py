"""Vectors: series of readings → features of every full window, by the code that scores on gateways. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vedette_hub.learning.cleaning import Series
from vedette_models.features import WindowFeatures, features_of
from vedette_models.readings import ReadingBatch

PIECE = 512
"""Readings of a series worked on in one go; pieces stand side by side, which is what makes it fast."""
LONGEST_LEAD = 8 * PIECE
"""Readings entered before a piece at most: a channel that reports less than `width` of them has gaps in its vectors."""
_GROUP_VALUES = 500_000
"""Values (readings x channels) of the pieces that stand side by side, which bounds the memory."""


class Vectors(NamedTuple):
    """N windows of F = channels x `features_of(width)` features."""

    features: NDArray[np.float64]
    """(N, F); NaN for a channel that the newest reading does not report, or whose window is not full: not for all."""
    series: NDArray[np.intp]
    """(N,) which series."""
    position: NDArray[np.intp]
    """(N,) which reading of it is the newest in the window."""

    def take(self, rows: NDArray[np.bool_]) -> Vectors:
        """Those of `rows` (N,)."""
        return Vectors(self.features[rows], self.series[rows], self.position[rows])


class _Piece(NamedTuple):
    series: int
    lead: int
    """First reading to enter, so that the windows are full where they can be."""
    start: int
    """First reading whose vector is wanted."""
    end: int


def window_vectors(
    series: Sequence[Series],
    channels: int,
    width: int,
    most: int,
    seed: int,
    tell: Callable[[float], None],
    always: Sequence[NDArray[np.bool_] | None] = (),
) -> tuple[Vectors, int]:
    """The vectors of all windows, and how many windows there are: of more than `most`, about so many are drawn.

    `always` says by series, (R,), which windows are kept in any case, as long as they are no more than half of `most`.
    `tell` is called with the share that is done, 0 to 1.
    """
    pieces = [piece for index, one in enumerate(series) for piece in _pieces(index, one, width)]
    possible = sum(piece.end - piece.start for piece in pieces)
    share = min(1.0, most / possible) if possible else 1.0
    if 2 * sum(int(one.sum()) for one in always if one is not None) > most:
        always = ()
    draw = np.random.default_rng(seed)
    found: list[Vectors] = []
    windows = done = 0
    for group in _groups(pieces, channels):
        part = _of_group(series, group, channels, width)
        windows += len(part.series)
        if share < 1.0:
            part = part.take((draw.random(len(part.series)) < share) | _chosen(part, always))
        found.append(part)
        done += sum(piece.end - piece.start for piece in group)
        tell(done / possible)
    if not found:
        return Vectors(np.empty((0, channels * len(features_of(width)))), np.empty(0, np.intp), np.empty(0, np.intp)), 0
    return Vectors(*(np.concatenate(column) for column in zip(*found, strict=True))), windows


def _chosen(part: Vectors, always: Sequence[NDArray[np.bool_] | None]) -> NDArray[np.bool_]:
    """(N,) windows that are kept in any case."""
    chosen = np.zeros(len(part.series), bool)
    for number in np.unique(part.series).tolist() if always else ():
        wanted = always[number]
        if wanted is not None:
            own = part.series == number
            chosen[own] = wanted[part.position[own]]
    return chosen


def _pieces(index: int, series: Series, width: int) -> Iterator[_Piece]:
    reported = ~np.isnan(series.values)
    counts = np.cumsum(reported, axis=0)
    places = [np.flatnonzero(column) for column in reported.T]
    for start in range(0, len(series), PIECE):
        lead = start
        if start and width > 1:
            for place, before in zip(places, counts[start - 1].tolist(), strict=True):
                if before:
                    lead = min(lead, int(place[max(0, before - (width - 1))]))
        yield _Piece(index, max(lead, start - LONGEST_LEAD), start, min(start + PIECE, len(series)))


def _groups(pieces: Sequence[_Piece], channels: int) -> Iterator[list[_Piece]]:
    # Of similar length, so that none waits for another.
    ordered = sorted(pieces, key=lambda piece: (piece.lead - piece.end, piece))
    group: list[_Piece] = []
    values = 0
    for piece in ordered:
        more = (piece.end - piece.lead) * channels
        if group and values + more > _GROUP_VALUES:
            yield group
            group, values = [], 0
        group.append(piece)
        values += more
    if group:
        yield group


def _of_group(series: Sequence[Series], group: Sequence[_Piece], channels: int, width: int) -> Vectors:
    lengths = np.array([piece.end - piece.lead for piece in group])
    device = np.repeat(np.arange(len(group)), lengths)
    values = np.concatenate([series[piece.series].values[piece.lead : piece.end] for piece in group])
    times = np.concatenate([series[piece.series].times[piece.lead : piece.end] for piece in group])
    features = WindowFeatures(channels, width, len(group)).update(ReadingBatch.of(device, times, values))
    by_channel = features.reshape(len(features), channels, len(features_of(width)))
    by_channel[np.isnan(values)] = np.nan
    position = np.concatenate([np.arange(piece.lead, piece.end) for piece in group])
    start = np.repeat([piece.start for piece in group], lengths)
    wanted = np.flatnonzero((position >= start) & ~np.isnan(by_channel[:, :, 0]).all(axis=1))
    of_series = np.repeat([piece.series for piece in group], lengths)
    return Vectors(features[wanted], of_series[wanted], position[wanted])
