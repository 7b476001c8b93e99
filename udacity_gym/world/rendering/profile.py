"""Where every pixel's ray meets the ground: one terrain profile per pixel column.

For each column of pixels the height field is sampled at fixed distances along the column's track
over the ground; the samples don't depend on each other, so this is vectorised. Then the rows are
walked from the bottom up along that profile, which never goes backwards (vertical coherence, Coquillart
and Gangnet 1984). Where the ground begins level, as a road does, not even that is needed.
"""

from __future__ import annotations

import numpy as np

from udacity_gym.world.jit import LANES, F, kernel
from udacity_gym.world.records import unpack
from udacity_gym.world.rendering.rays import Block, Camera, lanes_of, steps_of
from udacity_gym.world.rendering.sampling import height_by_pairs
from udacity_gym.world.rendering.scratch import Scratch
from udacity_gym.world.scene.scene_arrays import Land, SceneArrays

SKY = F(1e6)
"""m, the depth of a pixel that meets no ground."""
LEVEL_WITHIN = F(1e-3)
"""m by which ground may differ from the first sample and still be level with it."""
STEEPEST_HORIZON = F(1.5)
"""Tangent of the angle between horizon and optical axis, beyond which the horizon is taken to be there."""
NEAREST_GROUND = F(0.3)
"""m, least depth of the ground: the simulator's near plane."""

_ZERO = F(0.0)
_ONE = F(1.0)
_HALF = F(0.5)


@kernel
def cast_columns(block: Block, scene: SceneArrays, scratch: Scratch) -> None:
    """Find the ground along the rays of one block of pixel columns.

    Fills ``t``, ``slope`` and ``covered`` of the working memory.

    A column's rays lie in a vertical plane if the camera is not rolled, and nearly so if it is a little.
    Their track over the ground is taken to be the line p along the column's ray at the horizon. With q for
    the distance along p, in units of p, a ray of row v reaches q = t * g where g = g0 + v * g1, and is then
    t * z above the camera, z = forward.z + v * up.z.
    """
    projection, bottom, lanes, steps = block.projection, block.bottom, lanes_of(block), steps_of(block)
    land, position = unpack(Land, scene.land), unpack(Camera, projection.camera).position
    distances, inverse_distances, inverse_gaps = (
        scratch.distances, scratch.inverse_distances, scratch.inverse_gaps,
    )  # fmt: skip
    drops, level_from, levels = scratch.drops, scratch.level_from, scratch.levels
    t, slope, covered = scratch.t, scratch.slope, scratch.covered
    samples = distances.shape[0]
    middle = F(projection.height) * _HALF - _HALF
    east, north = position.x - land.west, position.y - land.south
    for i in range(bottom):
        covered[i] = 0
        for e in range(LANES):
            t[np.uint64(i), np.uint64(e)] = SKY
            slope[np.uint64(i), np.uint64(e)] = _ZERO
    for lane in range(lanes):
        camera = unpack(Camera, projection.camera)
        forward, right = camera.forward, camera.right
        u = (steps.left + F(lane)) * steps.tangent
        bx, by, bz = forward.x + u * right.x, forward.y + u * right.y, forward.z + u * right.z
        # A ray is level where bz + v * up.z is 0.
        horizon = min(max(-bz / unpack(Camera, projection.camera).up.z, -STEEPEST_HORIZON), STEEPEST_HORIZON)
        up = unpack(Camera, projection.camera).up
        px, py = bx + horizon * up.x, by + horizon * up.y
        for j in range(samples):
            k = np.uint64(j)
            x, y = east + distances[k] * px, north + distances[k] * py
            ground = height_by_pairs(scene.heights, land, x, y)
            drops[k] = ground - position.z
        # How far the ground is level: the rows that show it need no walk.
        level = drops[0]
        uneven = np.int32(samples)
        for j in range(samples):
            is_uneven = abs(drops[np.uint64(j)] - level) > LEVEL_WITHIN
            uneven = min(uneven, np.int32(j) if is_uneven else np.int32(samples))
        begin = max(np.int64(uneven) - 1, 0)
        # g is the part of the ray's horizontal direction along p, relative to the length of p.
        inverse = _ONE / (px * px + py * py)
        g0 = (bx * px + by * py) * inverse
        g1 = (up.x * px + up.y * py) * inverse
        # The row that looks at the last level sample: z = flat * g, solved for v. Below it all is level.
        flat = level * inverse_distances[begin]
        crossing = (flat * g0 - bz) / (up.z - flat * g1)
        i = min(max(np.int64(middle - crossing * projection.focal) + 1, 0), bottom)
        if begin == 0:  # on a slope nothing is level, what lies before the first sample included
            i = bottom
        level_from[lane] = i
        levels[lane] = level
        # Walk up the rows, and out along the profile, as long as rays pass above the next sample.
        k = max(begin, 1)
        t0, y0, y1 = distances[k - 1], drops[k - 1], drops[k]
        rise = (y1 - y0) * inverse_gaps[k]
        tangent = y1 * inverse_distances[k]
        i -= 1
        while i >= 0:
            v = (middle - F(i)) * steps.tangent
            g = g0 + v * g1
            z = bz + v * up.z
            while tangent * g < z and k < samples - 1:
                k += 1
                t0, y0, y1 = distances[k - 1], y1, drops[k]
                rise = (y1 - y0) * inverse_gaps[k]
                tangent = y1 * inverse_distances[k]
            if tangent * g < z:
                break
            # Where the ray meets the line between two samples: t * z = y0 + rise * (t * g - t0).
            row, column = np.uint64(i), np.uint64(lane)
            t[row, column] = max((t0 * rise - y0) / (rise * g - z), NEAREST_GROUND)
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
        camera = unpack(Camera, projection.camera)
        az = camera.forward.z + (middle - F(i)) * steps.tangent * camera.up.z
        for e in range(LANES):
            lane_ = np.uint64(e)
            is_level = level_from[lane_] <= np.int32(i)
            dz = az + (steps.left + F(np.int32(e))) * steps.tangent * camera.right.z
            depth = levels[lane_] / min(dz, F(-1e-6))
            t[row, lane_] = depth if is_level else t[row, lane_]
