"""What every pixel of a finished image shows, and how far it is: the sensors' planes.

The renderer notes of what stands upright what it is; the ground is told apart here, from where on the
road each pixel is. Nothing of this runs unless sensors or other conditions than the usual ask for it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from udacity_gym.sensors import FAR, Label
from udacity_gym.world.jit import LANES, F, inline, kernel
from udacity_gym.world.records import unpack
from udacity_gym.world.rendering import surface
from udacity_gym.world.rendering.rays import (
    Block,
    Camera,
    Projection,
    lane_ray,
    lanes_of,
    row_ray,
    row_tangent,
    steps_of,
)
from udacity_gym.world.rendering.sampling import height_at, painted, roadside
from udacity_gym.world.rendering.scratch import Scratch
from udacity_gym.world.scene.scene_arrays import (
    COBBLED,
    LINED,
    PAINT_STEP,
    RAISED,
    STRIPED,
    WALL_UNIT,
    Land,
    Road,
    SceneArrays,
)

BONNET_DROP = F(0.66)
"""m below the camera of the plane that stands for the bonnet, which is an overlay without depth."""
BONNET_TILT = F(0.147)
"""Slope at which the cameras look down onto that plane: the mean of how the car rides in its two modes."""
SHALLOW = F(0.04)
"""m by which the ground may be above the water's level and still be water."""

_SKY, _ROAD, _MARKING, _KERB, _TERRAIN, _WATER, _CAR = (
    np.uint8(label)
    for label in (
        Label.SKY,
        Label.ROAD,
        Label.LANE_MARKING,
        Label.KERB,
        Label.TERRAIN,
        Label.WATER,
        Label.CAR,
    )
)
_FAR = F(FAR)
_ALPHA = np.uint64(3)
_ZERO = F(0.0)
_ONE = F(1.0)


class Planes(NamedTuple):
    """What images show besides colours: (n, height, width) of several images, (height, width) of one.

    Attributes:
        depth: float32 m along the optical axis; `sensors.FAR` for the sky.
        labels: uint8, see `sensors.Label`.
        lateral: float32 m from the centre line of the road; of the ground alone.
    """

    depth: NDArray[np.float32]
    labels: NDArray[np.uint8]
    lateral: NDArray[np.float32]

    @staticmethod
    def for_images(count: int, width: int, height: int) -> Planes:
        """Allocate the planes for several images of a size."""
        shape = (count, height, width)
        return Planes(np.zeros(shape, np.float32), np.zeros(shape, np.uint8), np.zeros(shape, np.float32))


@inline
def planes_of(planes: Planes, c: int) -> Planes:
    """The planes of one of several images."""
    return Planes(planes.depth[c], planes.labels[c], planes.lateral[c])


@inline
def _road_label(road: Road, paint: NDArray[np.float32], side: np.int32, distance: F, s: F) -> np.int32:
    """What the road shows at a place: asphalt, the red and white kerb, or a line."""
    half = F(0.5 * PAINT_STEP)
    middle = np.int32(painted(paint, s + half) - painted(paint, s - half) > half)
    middle &= np.int32(road.centre_inner <= distance) & np.int32(distance <= road.centre_outer)
    middle &= np.int32(road.centre_outer > _ZERO)
    lined = (side >> LINED) & np.int32(road.line_inner <= distance)
    lined &= np.int32(distance <= road.line_outer)
    striped = (side >> STRIPED) & np.int32(road.bars_inner <= distance)
    striped &= np.int32(distance <= road.bars_outer)
    label = np.int32(_MARKING) if lined | middle else np.int32(_ROAD)
    return np.int32(_KERB) if striped else label


@kernel
def note_ground(block: Block, scene: SceneArrays, scratch: Scratch, planes: Planes) -> None:
    """Fill the planes of one image for the ground of a block, whose places are in the working memory."""
    projection, land, road = block.projection, unpack(Land, scene.land), unpack(Road, scene.road)
    steps, position = steps_of(block), unpack(Camera, projection.camera).position
    t, s, d, found = scratch.t, scratch.s, scratch.d, scratch.found
    east, north = position.x - land.west, position.y - land.south
    inverse_spacing, wet = _ONE / F(road.spacing), land.water + SHALLOW
    for i in range(block.bottom):
        row = np.uint64(i)
        if scratch.covered[i] == 0:
            for e in range(lanes_of(block)):
                column = np.uint64(block.first + e)
                planes.depth[row, column], planes.labels[row, column] = _FAR, _SKY
                planes.lateral[row, column] = _FAR
            continue
        middle = row_ray(block, steps, i)
        for e in range(LANES):
            lane = np.uint64(e)
            depth, ray = min(t[row, lane], surface.FAR), lane_ray(steps, middle, e)
            distance = abs(d[row, lane])
            side = roadside(scene.sides, inverse_spacing, s[row, lane], np.int32(d[row, lane] > _ZERO))
            height = height_at(scene.heights, land, east + depth * ray.x, north + depth * ray.y)
            wall = F(side & np.int32(0xFFFFFF)) * WALL_UNIT
            edge = wall if (side >> COBBLED) & np.int32(1) else road.edge
            label = np.int32(_WATER) if height < wet else np.int32(_TERRAIN)
            raised = np.int32(distance < road.kerb_top) & (side >> RAISED) & np.int32(1)
            label = np.int32(_KERB) if raised else label
            label = _road_label(road, scene.paint, side, distance, s[row, lane]) if distance < edge else label
            found[lane] = label if depth < surface.FAR else np.int32(_SKY)
        for e in range(lanes_of(block)):
            lane, column = np.uint64(e), np.uint64(block.first + e)
            is_ground = t[row, lane] < surface.FAR
            planes.depth[row, column] = min(t[row, lane], _FAR)
            planes.lateral[row, column] = abs(d[row, lane]) if is_ground else _FAR
            planes.labels[row, column] = np.uint8(found[lane])


@kernel
def note_rest(projection: Projection, scratch: Scratch, overlay: NDArray[np.uint8], planes: Planes) -> None:
    """Put what stands upright into the planes of one image, and the bonnet.

    Args:
        projection: the camera with its image.
        scratch: working memory as the image left it.
        overlay: (height, width, 4) uint8, what was drawn over the image.
        planes: changed.
    """
    labels, depth = scratch.labels, scratch.depth
    for i in range(projection.height):
        row = np.uint64(i)
        for j in range(projection.width):
            column = np.uint64(j)
            if labels[row, column] != _SKY:
                planes.labels[row, column] = labels[row, column]
                planes.depth[row, column] = depth[row, column]
                planes.lateral[row, column] = _FAR
    _label_bonnet(projection, overlay, planes)


@kernel
def _label_bonnet(projection: Projection, overlay: NDArray[np.uint8], planes: Planes) -> None:
    """Put the bonnet into the planes: it is a plane that a ray of tangent v meets at drop / fall."""
    for i in range(projection.height):
        row = np.uint64(i)
        v = row_tangent(projection, i)
        for j in range(projection.width):
            column = np.uint64(j)
            if overlay[row, column, _ALPHA] > 127:
                planes.depth[row, column] = BONNET_DROP / max(BONNET_TILT - v, F(0.05))
                planes.labels[row, column] = _CAR
                planes.lateral[row, column] = _FAR
