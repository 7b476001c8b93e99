"""The ground: a grid that names the nearest stretch of road, and the height of the land around it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from udacity_gym.world.jit import cached
from udacity_gym.world.track.track import Track

MARGIN = 220.0
"""m of land around the track."""
COARSE = 8
"""Every so many nodes the nearest sample is searched among all, in between it is walked to."""
CLOSE = 30
"""Samples that two starts may be apart and still lead to the same nearest sample."""

DECK_END = 3.0
"""m at either end of a bridge over which it rests on the ground."""


@cached
def _nearest_samples(
    x: Any, y: Any, west: float, south: float, columns: int, rows: int, nearest: Any, distance: Any
) -> None:
    n = x.shape[0]
    wide, high = (columns + COARSE - 1) // COARSE + 1, (rows + COARSE - 1) // COARSE + 1
    seeds = np.empty((high, wide), np.int64)
    for i in range(high):
        for j in range(wide):
            px, py = west + j * COARSE, south + i * COARSE
            best, best_distance = 0, 1e30
            for k in range(n):
                square = (x[k] - px) ** 2 + (y[k] - py) ** 2
                if square < best_distance:
                    best, best_distance = k, square
            seeds[i, j] = best
    for i in range(rows):
        for j in range(columns):
            px, py = west + j, south + i
            best, best_distance = 0, 1e30
            first = seeds[i // COARSE, j // COARSE]
            for corner in range(4):
                k = seeds[i // COARSE + corner // 2, j // COARSE + corner % 2]
                apart = abs(k - first)
                if corner > 0 and min(apart, n - apart) < CLOSE:
                    continue  # walking from there leads to the same sample
                square = (x[k] - px) ** 2 + (y[k] - py) ** 2
                for step in (-1, 1):
                    while True:
                        following = (k + step) % n
                        ahead = (x[following] - px) ** 2 + (y[following] - py) ** 2
                        if ahead >= square:
                            break
                        k, square = following, ahead
                if square < best_distance:
                    best, best_distance = k, square
            nearest[i, j] = best
            distance[i, j] = best_distance**0.5


@dataclass(frozen=True)
class Grid:
    """Nodes every metre over the land around a track.

    Attributes:
        west: m, x of the first column.
        south: m, y of the first row.
        nearest: (rows, columns) uint16, centre-line sample nearest to each node.
        distance: (rows, columns) float32 m to that sample.
        right: (rows, columns) bool, whether the node is right of the road.
        past: (rows, columns) float32 m along the track from that sample to the node's own place.
        x: (columns,) float64 m.
        y: (rows,) float64 m.
    """

    west: float
    south: float
    nearest: NDArray[np.uint16]
    distance: NDArray[np.float32]
    right: NDArray[np.bool_]
    past: NDArray[np.float32]
    x: NDArray[np.float64]
    y: NDArray[np.float64]

    @staticmethod
    def around(track: Track) -> Grid:
        """Lay the grid over a track and its surroundings."""
        west, south = np.floor(track.x.min() - MARGIN), np.floor(track.y.min() - MARGIN)
        columns = int(np.ceil(track.x.max() + MARGIN - west)) + 1
        rows = int(np.ceil(track.y.max() + MARGIN - south)) + 1
        nearest = np.empty((rows, columns), np.uint16)
        distance = np.empty((rows, columns), np.float32)
        ground = track.x.copy()
        for deck in track.file.decks:  # what is below a bridge belongs to the road there, if any
            ground[(track.s >= deck.begin) & (track.s < deck.end)] = 1e9
        _nearest_samples(ground, track.y, west, south, columns, rows, nearest, distance)
        x, y = west + np.arange(columns, dtype=np.float64), south + np.arange(rows, dtype=np.float64)
        dx, dy = x[None, :] - track.x[nearest], y[:, None] - track.y[nearest]
        heading = track.heading[nearest]
        sine, cosine, bend = np.sin(heading), np.cos(heading), track.curvature[nearest]
        offset, ahead = dx * sine - dy * cosine, dx * cosine + dy * sine
        past = np.clip(ahead / np.maximum(1.0 + bend * offset, 0.1), -track.ds, track.ds)
        return Grid(float(west), float(south), nearest, distance, offset > 0, past.astype(np.float32), x, y)

    def elevation(self, track: Track) -> NDArray[np.float32]:
        """Height of the road nearest to each node: (rows, columns) float32 m."""
        s = (self.nearest * track.ds + self.past) % track.length
        at, z = np.append(track.s, track.length), np.append(track.z, track.z[0])
        height: NDArray[np.float32] = np.interp(s, at, z).astype(np.float32)
        return height
