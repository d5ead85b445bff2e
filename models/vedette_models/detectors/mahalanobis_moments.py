"""What `mahalanobis` learns of the channels of a device, reading by reading: means, covariance, scatter, and drift.

Shapes: D devices known, C channels, R devices read in one round, each once. A channel that a reading does not report
learns nothing from it: its own mean and variance stay, and its covariance with the others fades, so that channels which
are seldom reported together count as little related. Each step scales the covariance by a positive semidefinite matrix
and adds another one, so it stays positive semidefinite whatever is missing (Schur product theorem).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from vedette_models.columns import Column

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

HORIZON = 8192
"""Readings after which old ones fade (four weeks of one reading every five minutes)."""
BLOCKS = 16
"""Stretches of a channel's past whose means are kept; when all are full, neighbours become one."""
SHORTEST_BLOCK, LONGEST_BLOCK = 16, HORIZON // BLOCKS
FEW_STEPS = 0.25
"""Share of the stretches of its past that may differ from the one before in a channel constant but for steps."""
SAME = 1e-9
"""Share of a mean by which another one of the same value may differ: rounding."""
LARGEST_DRIFT = 1e6
"""Of a channel that moves and does not scatter at all."""


def layout(slot: str, channels: int) -> dict[str, Column]:
    """The columns of one set of moments, named after its slot."""
    return {
        f"{slot}_count": Column(),  # readings learnt
        f"{slot}_mean": Column(),  # of smoothed readings
        f"{slot}_scatter": Column(),  # variance of the readings themselves around that mean
        f"{slot}_covariance": Column((channels,)),  # of smoothed readings
        f"{slot}_blocks": Column((BLOCKS,)),  # means of stretches of readings
    }


class Moments:
    """The columns of `layout(slot, channels)`, by device: counts, means and so on are (D, C), covariances (D, C, C)."""

    def __init__(self, arrays: Mapping[str, NDArray[Any]], slot: str, channels: int) -> None:
        self.count: NDArray[np.float64] = arrays[f"{slot}_count"].reshape(-1, channels)
        self.mean: NDArray[np.float64] = arrays[f"{slot}_mean"].reshape(-1, channels)
        self.scatter: NDArray[np.float64] = arrays[f"{slot}_scatter"].reshape(-1, channels)
        self.covariance: NDArray[np.float64] = arrays[f"{slot}_covariance"].reshape(-1, channels, channels)
        self.blocks: NDArray[np.float64] = arrays[f"{slot}_blocks"].reshape(-1, channels, BLOCKS)

    def learn(
        self,
        devices: NDArray[np.intp],
        x: NDArray[np.float64],
        smoothed: NDArray[np.float64],
        reported: NDArray[np.bool_],
    ) -> None:
        """Learn one reading `x` (R, C) of each of R different devices, what it was `smoothed` to, where `reported`."""
        count = self.count[devices]
        weight = reported / np.minimum(count + 1.0, HORIZON)
        mean = self.mean[devices]
        off = np.where(reported, smoothed - mean, 0.0)
        mean += weight * off
        self.mean[devices] = mean
        rest = 1.0 - weight
        step = np.sqrt(weight * rest) * off
        keep = np.sqrt(rest)
        covariance = self.covariance[devices]
        covariance *= keep[:, :, None] * keep[:, None, :]
        covariance += step[:, :, None] * step[:, None, :]
        self.covariance[devices] = covariance
        residual = np.where(reported, x - mean, 0.0)
        scatter = self.scatter[devices]
        scatter += weight * (residual * residual - scatter)
        self.scatter[devices] = scatter
        self._enter(devices, x, count, reported)
        self.count[devices] = count + reported

    def _enter(
        self, devices: NDArray[np.intp], x: NDArray[np.float64], count: NDArray[np.float64], reported: NDArray[np.bool_]
    ) -> None:
        """Enter the readings into the block of their channel that is being filled."""
        row, channel = np.nonzero(reported)
        device, past = devices[row], count[row, channel]
        length = _block_length(past)
        place = ((past // length) % BLOCKS).astype(np.intp)
        filled = past % length
        mean = np.where(filled > 0.0, self.blocks[device, channel, place], 0.0)
        mean += (x[row, channel] - mean) / (filled + 1.0)
        self.blocks[device, channel, place] = mean
        longer = np.flatnonzero(_block_length(past + 1.0) > length)
        if len(longer):
            device, channel = device[longer], channel[longer]
            blocks = self.blocks[device, channel]
            self.blocks[device, channel, : BLOCKS // 2] = 0.5 * (blocks[:, ::2] + blocks[:, 1::2])

    def drift(self, devices: NDArray[np.intp]) -> NDArray[np.float64]:
        """(R, C) how far the stretches of a channel's past lie apart, in units of the scatter within them.

        Above 1 the channel moved more than it scatters: what it has shown is on its way to somewhere else.
        """
        count = self.count[devices]
        whole = np.minimum(count // _block_length(count), BLOCKS)
        used = np.arange(BLOCKS) < whole[:, :, None]
        number = np.maximum(whole, 1.0)
        # Centred first: the square of a large offset would swallow what lies between the blocks.
        off = np.where(used, self.blocks[devices] - self.mean[devices][:, :, None], 0.0)
        mean = np.add.reduce(off, axis=2) / number
        off = np.where(used, off - mean[:, :, None], 0.0)
        between = np.add.reduce(off * off, axis=2) / number
        within = np.maximum(self.scatter[devices] - between, between / LARGEST_DRIFT**2)
        ratio: NDArray[np.float64] = np.sqrt(between / np.where(within > 0.0, within, 1.0))
        return ratio

    def steps(self, devices: NDArray[np.intp]) -> NDArray[np.bool_]:
        """(R, C) whether a channel has moved, but in nearly all stretches of its past said the same as before.

        A step in the middle of a stretch makes that one differ from both its neighbours.
        """
        count = self.count[devices]
        whole = np.minimum(count // _block_length(count), BLOCKS)
        both = np.arange(1, BLOCKS) < whole[:, :, None]
        blocks = self.blocks[devices]
        moved = both & (np.abs(np.diff(blocks, axis=2)) > SAME * np.abs(blocks[:, :, 1:]))
        moves = moved.sum(axis=2)
        few: NDArray[np.bool_] = (moves > 0) & (moves <= FEW_STEPS * whole)
        return few

    def seed(
        self,
        devices: NDArray[np.intp],
        count: float,
        mean: NDArray[np.float64],
        scatter: NDArray[np.float64],
        wander: NDArray[np.float64],
        covariance: NDArray[np.float64],
    ) -> None:
        """Begin with what is known from elsewhere, (C,) and (C, C), as if learnt from so many readings.

        `wander` is the standard deviation of the means of the blocks, which are taken for a trend.
        """
        self.count[devices] = count
        self.mean[devices], self.scatter[devices], self.covariance[devices] = mean, scatter, covariance
        trend = np.arange(BLOCKS) - (BLOCKS - 1) / 2
        self.blocks[devices] = mean[:, None] + wander[:, None] * (trend / trend.std())

    def clear(self, devices: NDArray[np.intp]) -> None:
        """Know nothing of these devices."""
        for array in (self.count, self.mean, self.scatter, self.covariance, self.blocks):
            array[devices] = 0.0

    def take_over(self, devices: NDArray[np.intp], other: Moments) -> None:
        """Know of these devices what `other` knows."""
        for own, its in zip(self._arrays, other._arrays, strict=True):
            own[devices] = its[devices]

    @property
    def _arrays(self) -> tuple[NDArray[np.float64], ...]:
        return self.count, self.mean, self.scatter, self.covariance, self.blocks


def _block_length(count: NDArray[np.float64]) -> NDArray[np.float64]:
    """Readings in each block when so many have been learnt: doubled whenever all blocks were full."""
    half = SHORTEST_BLOCK * BLOCKS / 2
    doublings = np.floor(np.log2(np.maximum(count, half) / half))
    length: NDArray[np.float64] = np.minimum(SHORTEST_BLOCK * np.exp2(doublings), LONGEST_BLOCK)
    return length
