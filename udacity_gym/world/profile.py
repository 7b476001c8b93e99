"""Where every pixel's ray meets the ground: one terrain profile per pixel column.

For each column of pixels the height field is sampled at fixed distances along the column's track
over the ground; the samples don't depend on each other, so this is vectorised. Then the rows are
walked from the bottom up along that profile, which never goes backwards (Wright 1992, "Y-buffer").
"""

from __future__ import annotations

from typing import Any

import numpy as np

from udacity_gym.world.jit import LANES, F, kernel

SKY = F(1e6)
"""m, the depth of a pixel that meets no ground."""
NEAREST = 1.5
"""m from the camera to the first sample of a profile."""
FARTHEST = 640.0
"""m from the camera to the last sample; fog is complete at 600 m."""
STEEPEST = F(1.5)
"""Highest tangent of the angle between horizon and optical axis that is still taken for the horizon's."""

_ONE = F(1.0)
_HALF = F(0.5)


def sample_distances(count: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Distances of a profile's samples, each the same ratio farther than the one before.

    Args:
        count: how many.

    Returns:
        (count,) float32, m along the optical axis.
    """
    return np.geomspace(NEAREST, FARTHEST, count).astype(np.float32)


@kernel
def cast_columns(
    camera: Any,
    focal: float,
    heights: Any,
    frame: Any,
    distances: Any,
    inverse_distances: Any,
    width: int,
    first: int,
    bottom: int,
    tangents: Any,
    t: Any,
    slope: Any,
    covered: Any,
) -> None:
    """Find the ground along the rays of one block of pixel columns.

    Args:
        camera: (12,) float32 position, forward, right and up vector.
        focal: focal length in pixels.
        heights: (rows * columns,) float32 m, height of the ground at the nodes of the grid.
        frame: (4,) float32 west and south end of the grid in m, last column and last row that a
            point may be in.
        distances: (k,) float32 of `sample_distances`.
        inverse_distances: (k,) float32, their inverses.
        width: pixels in a row of the picture.
        first: first column of the block.
        bottom: rows to look at, from the top; what is below lies behind the bonnet.
        tangents: (k,) float32 scratch.
        t: (rows, LANES) float32, receives the depth of each pixel in m along the optical axis.
        slope: (rows, LANES) float32, receives the rise of the ground per m of depth.
        covered: (rows,) int32, receives how many of the row's pixels meet the ground.
    """
    nodes = np.int32(frame[4])
    west, south, east_end, north_end = frame[0], frame[1], frame[2], frame[3]
    samples = distances.shape[0]
    rows = t.shape[0]
    inverse_focal = _ONE / focal
    cx, cy, cz = camera[0] - west, camera[1] - south, camera[2]
    for i in range(rows):
        covered[i] = 0
    for lane in range(min(LANES, width - first)):
        u = (F(first + lane) + _HALF - F(width) * _HALF) * inverse_focal
        bx, by, bz = camera[3] + u * camera[6], camera[4] + u * camera[7], camera[5] + u * camera[8]
        horizon = min(max(-bz / camera[11], -STEEPEST), STEEPEST)
        px, py = bx + horizon * camera[9], by + horizon * camera[10]
        for k in range(samples):
            x = min(max(cx + distances[k] * px, F(0.0)), east_end)
            y = min(max(cy + distances[k] * py, F(0.0)), north_end)
            ix = np.int32(x)
            iy = np.int32(y)
            ax = x - F(ix)
            ay = y - F(iy)
            node = np.int32(iy * nodes + ix)
            south_west, south_east = heights[node], heights[node + 1]
            north_west, north_east = heights[node + nodes], heights[node + nodes + 1]
            a = south_west + ax * (south_east - south_west)
            b = north_west + ax * (north_east - north_west)
            tangents[k] = (a + ay * (b - a) - cz) * inverse_distances[k]
        # Depth along the optical axis per m of the column's ground track, as a function of the row.
        inverse = _ONE / (px * px + py * py)
        g0 = (bx * px + by * py) * inverse
        g1 = (camera[9] * px + camera[10] * py) * inverse
        k = 1
        t0, t1 = distances[0], distances[1]
        y0, y1 = tangents[0] * t0, tangents[1] * t1
        tangent = tangents[1]
        rise = (y1 - y0) / (t1 - t0)
        i = bottom - 1
        while i >= 0:
            v = (F(rows) * _HALF - F(i) - _HALF) * inverse_focal
            shorten = _ONE / (g0 + v * g1)
            ray = (bz + v * camera[11]) * shorten
            while tangent < ray and k < samples - 1:
                k += 1
                tangent = tangents[k]
                t0 = t1
                y0 = y1
                t1 = distances[k]
                y1 = tangent * t1
                rise = (y1 - y0) / (t1 - t0)
            if tangent < ray:
                break
            t[i, lane] = max(t0 + (ray * t0 - y0) / (rise - ray), F(0.3)) * shorten
            slope[i, lane] = rise * (_ONE / shorten)
            covered[i] += 1
            i -= 1
        while i >= 0:
            t[i, lane] = SKY
            slope[i, lane] = F(0.0)
            i -= 1
