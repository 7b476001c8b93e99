"""Where every pixel's ray meets the ground: one terrain profile per pixel column.

For each column of pixels the height field is sampled at fixed distances along the column's track
over the ground; the samples don't depend on each other, so this is vectorised. Then the rows are
walked from the bottom up along that profile, which never goes backwards (vertical coherence, Coquillart
and Gangnet 1984). Where the ground begins level, as a road does, not even that is needed.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from udacity_gym.world.jit import LANES, F, index, kernel

SKY = F(1e6)
"""m, the depth of a pixel that meets no ground."""
NEARER = (1.0, 2.0, 3.0)
"""m from the camera to the first samples of a profile."""
NEAREST = 4.0
"""m from the camera to the sample from which on each is the same ratio farther than the one before."""
FARTHEST = 640.0
"""m from the camera to the last sample; fog is complete at 600 m."""
LEVEL = F(1e-3)
"""m by which ground may differ from the camera's and still be level with it."""
STEEPEST = F(1.5)
"""Highest tangent of the angle between horizon and optical axis that is still taken for the horizon's."""

_ONE = F(1.0)
_HALF = F(0.5)


def sample_distances(count: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Distances of a profile's samples, farther and farther apart.

    Args:
        count: how many.

    Returns:
        (count,) float32, m along the optical axis.
    """
    return np.concatenate([NEARER, np.geomspace(NEAREST, FARTHEST, count - len(NEARER))]).astype(np.float32)


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
    inverse_gaps: Any,
    drops: Any,
    level_from: Any,
    levels: Any,
    t: Any,
    slope: Any,
    covered: Any,
) -> None:
    """Find the ground along the rays of one block of pixel columns.

    Args:
        camera: (12,) float32 position, forward, right and up vector.
        focal: focal length in pixels.
        heights: (rows * columns,) float32 m, height of the ground at the nodes of the grid.
        frame: (5,) float32 west and south end of the grid in m, last column and last row that a
            point may be in, nodes in a row of the grid.
        distances: (k,) float32 of `sample_distances`.
        inverse_distances: (k,) float32, their inverses.
        width: pixels in a row of the image.
        first: first column of the block.
        bottom: rows to look at, from the top; what is below lies behind the bonnet.
        inverse_gaps: (k,) float32, inverse of the distance from the sample before.
        drops: (k,) float32 scratch, height of the ground above the camera.
        level_from: (LANES,) int32 scratch.
        levels: (LANES,) float32 scratch.
        t: (rows, LANES) float32, receives the depth of each pixel in m along the optical axis.
        slope: (rows, LANES) float32, receives the rise of the ground per m of depth.
        covered: (rows,) int32, receives how many of the row's pixels meet the ground.
    """
    nodes = np.int32(frame[4])
    west, south, east_end, north_end = frame[0], frame[1], frame[2], frame[3]
    samples = distances.shape[0]
    rows = t.shape[0]
    inverse_focal = _ONE / focal
    middle = F(rows) * _HALF - _HALF
    cx, cy, cz = camera[0] - west, camera[1] - south, camera[2]
    u0 = F(first) + _HALF - F(width) * _HALF
    lanes = min(LANES, width - first)
    for i in range(bottom):
        covered[i] = 0
        for e in range(LANES):
            t[np.uint64(i), np.uint64(e)] = SKY
            slope[np.uint64(i), np.uint64(e)] = F(0.0)
    for lane in range(lanes):
        u = (u0 + F(lane)) * inverse_focal
        bx, by, bz = camera[3] + u * camera[6], camera[4] + u * camera[7], camera[5] + u * camera[8]
        horizon = min(max(-bz / camera[11], -STEEPEST), STEEPEST)
        px, py = bx + horizon * camera[9], by + horizon * camera[10]
        for j in range(samples):
            k = np.uint64(j)
            x = min(max(cx + distances[k] * px, F(0.0)), east_end)
            y = min(max(cy + distances[k] * py, F(0.0)), north_end)
            ix = np.int32(x)
            iy = np.int32(y)
            ax = x - F(ix)
            ay = y - F(iy)
            node = np.int32(iy * nodes + ix)
            south_west, south_east = heights[index(node)], heights[index(node + np.int32(1))]
            north_west = heights[index(node + nodes)]
            north_east = heights[index(node + nodes + np.int32(1))]
            a = south_west + ax * (south_east - south_west)
            b = north_west + ax * (north_east - north_west)
            drops[k] = a + ay * (b - a) - cz
        # How far the ground is level: the rows that show it need no walk.
        level = drops[0]
        uneven = np.int32(samples)
        for j in range(samples):
            is_uneven = abs(drops[np.uint64(j)] - level) > LEVEL
            uneven = min(uneven, np.int32(j) if is_uneven else np.int32(samples))
        begin = max(np.int64(uneven) - 1, 0)
        # Depth along the optical axis is m of the column's ground track times g, which is linear in the row.
        inverse = _ONE / (px * px + py * py)
        g0 = (bx * px + by * py) * inverse
        g1 = (camera[9] * px + camera[10] * py) * inverse
        flat = level * inverse_distances[begin]
        crossing = (flat * g0 - bz) / (camera[11] - flat * g1)
        i = min(max(np.int64(middle - crossing * focal) + 1, 0), bottom)
        if begin == 0:  # on a slope nothing is level, what lies before the first sample included
            i = bottom
        level_from[lane] = i
        levels[lane] = level
        k = max(begin, 1)
        t0, y0, y1 = distances[k - 1], drops[k - 1], drops[k]
        rise = (y1 - y0) * inverse_gaps[k]
        tangent = y1 * inverse_distances[k]
        i -= 1
        while i >= 0:
            v = (middle - F(i)) * inverse_focal
            g = g0 + v * g1
            z = bz + v * camera[11]
            while tangent * g < z and k < samples - 1:
                k += 1
                t0, y0, y1 = distances[k - 1], y1, drops[k]
                rise = (y1 - y0) * inverse_gaps[k]
                tangent = y1 * inverse_distances[k]
            if tangent * g < z:
                break
            row, column = np.uint64(i), np.uint64(lane)
            t[row, column] = max((t0 * rise - y0) / (rise * g - z), F(0.3))
            slope[row, column] = rise * g
            covered[row] += np.int32(1)
            i -= 1
    for lane in range(lanes, LANES):
        level_from[np.uint64(lane)] = bottom  # beyond the edge of the image: sky
    for i in range(bottom):
        level_lanes = np.int32(0)
        for lane in range(lanes):
            level_lanes += np.int32(level_from[np.uint64(lane)] <= i)
        if level_lanes == 0:
            continue
        row = np.uint64(i)
        covered[row] += level_lanes
        az = camera[5] + (middle - F(i)) * inverse_focal * camera[11]
        for e in range(LANES):
            lane_ = np.uint64(e)
            is_level = level_from[lane_] <= np.int32(i)
            dz = az + (u0 + F(np.int32(e))) * inverse_focal * camera[8]
            depth = levels[lane_] / min(dz, F(-1e-6))
            t[row, lane_] = depth if is_level else t[row, lane_]
