"""What every pixel of a finished image shows, and how far it is: the sensors' planes.

`renderer` notes of what stands upright what it is; the ground is told apart here, from where on the
road each pixel is. Nothing of this runs unless somebody asks for it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from udacity_gym.sensors import FAR, Label
from udacity_gym.world.jit import LANES, F, cached_kernel, inline, kernel
from udacity_gym.world.records import unpack
from udacity_gym.world.rendering import surface
from udacity_gym.world.rendering.rays import (
    Block,
    Camera,
    Projection,
    column_tangent,
    lanes_of,
    pixel_ray,
    row_tangent,
)
from udacity_gym.world.rendering.sampling import height_at, painted, roadside
from udacity_gym.world.rendering.scratch import Scratch
from udacity_gym.world.rendering.surface import cross_decks, locate
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
BEHIND = F(1.0005)
"""Times its depth a pixel is taken to be while bridges are looked for, so that a deck is before itself."""
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
    """What `survey` finds out about an image, (height, width) each.

    Attributes:
        depth: float32 m along the optical axis; `sensors.FAR` for the sky.
        labels: uint8, see `sensors.Label`.
        lateral: float32 m from the centre line of the road; of the ground alone.
    """

    depth: NDArray[np.float32]
    labels: NDArray[np.uint8]
    lateral: NDArray[np.float32]

    @staticmethod
    def for_images(width: int, height: int) -> Planes:
        """Allocate the planes for images of a size."""
        shape = (height, width)
        return Planes(np.zeros(shape, np.float32), np.zeros(shape, np.uint8), np.zeros(shape, np.float32))


@kernel
def _fetch_ground(block: Block, scratch: Scratch) -> None:
    """Put the depth of a block's ground back into ``t`` and ``covered``; all else is sky there."""
    t, covered, depth, labels = scratch.t, scratch.covered, scratch.depth, scratch.labels
    for i in range(block.bottom):
        row = np.uint64(i)
        ground = np.int32(0)
        for e in range(LANES):
            t[row, np.uint64(e)] = surface.FAR
        for e in range(lanes_of(block)):
            column = np.uint64(block.first + e)
            far = depth[row, column]
            if labels[row, column] == _SKY and far < surface.FAR:
                t[row, np.uint64(e)] = far
                ground += np.int32(1)
        covered[row] = ground


@inline
def _is_painted(paint: NDArray[np.float32], s: F) -> bool:
    """Whether the centre line is painted at a place along the track."""
    half = F(0.5 * PAINT_STEP)
    return painted(paint, s + half) - painted(paint, s - half) > half


@inline
def _road_label(road: Road, paint: NDArray[np.float32], side: np.int32, distance: F, s: F) -> np.uint8:
    """What the road shows at a place: asphalt, the red and white kerb, or a line."""
    striped = (side >> STRIPED) & 1 and road.bars_inner <= distance <= road.bars_outer
    lined = (side >> LINED) & 1 and road.line_inner <= distance <= road.line_outer
    middle = road.centre_inner <= distance <= road.centre_outer and road.centre_outer > _ZERO
    middle = middle and _is_painted(paint, s)
    label = _ROAD
    if striped:
        label = _KERB
    elif lined or middle:
        label = _MARKING
    return label


@kernel
def _label_ground(block: Block, scene: SceneArrays, scratch: Scratch, planes: Planes) -> None:
    """Fill the planes for a block's ground, whose places relative to the road are in the working memory."""
    projection, land, road = block.projection, unpack(Land, scene.land), unpack(Road, scene.road)
    depth, labels, s, d = scratch.depth, scratch.labels, scratch.s, scratch.d
    position = unpack(Camera, projection.camera).position
    east, north = position.x - land.west, position.y - land.south
    inverse_spacing = _ONE / F(road.spacing)
    for i in range(block.bottom):
        row = np.uint64(i)
        v = row_tangent(projection, i)
        for e in range(lanes_of(block)):
            lane, column = np.uint64(e), np.uint64(block.first + e)
            far = depth[row, column]
            planes.depth[row, column] = min(far, _FAR)
            planes.lateral[row, column] = _FAR
            label = labels[row, column]
            if label == _SKY and far < surface.FAR:
                distance = abs(d[row, lane])
                planes.lateral[row, column] = distance
                right = np.int32(d[row, lane] > _ZERO)
                side = roadside(scene.sides, inverse_spacing, s[row, lane], right)
                edge = road.edge
                if (side >> COBBLED) & 1:
                    edge = F(side & np.int32(0xFFFFFF)) * WALL_UNIT
                if distance < edge:
                    label = _road_label(road, scene.paint, side, distance, s[row, lane])
                elif (side >> RAISED) & 1 and distance < road.kerb_top:
                    label = _KERB
                else:
                    ray = pixel_ray(projection, column_tangent(projection, block.first + e), v)
                    height = height_at(scene.heights, land, east + far * ray.x, north + far * ray.y)
                    label = _WATER if height < land.water + SHALLOW else _TERRAIN
            planes.labels[row, column] = label


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


@cached_kernel
def survey(
    camera: NDArray[np.float32],
    focal: F,
    scene: SceneArrays,
    scratch: Scratch,
    overlay: NDArray[np.uint8],
    visible_rows: NDArray[np.int64],
    planes: Planes,
) -> None:
    """Find out about the image that was drawn last.

    Args:
        camera: (12,) float32, the packed `rays.Camera` of that image.
        focal: focal length in pixels.
        scene: the scene.
        scratch: working memory as that image left it; reused.
        overlay: (height, width, 4) uint8, what was drawn over it.
        visible_rows: (blocks,) rows from the top of each block that the overlay does not hide.
        planes: filled in.
    """
    height, width = planes.depth.shape
    projection = Projection(camera, focal, width, height)
    for first in range(0, width, LANES):
        block = Block(projection, first, visible_rows[first // LANES])
        _fetch_ground(block, scratch)
        locate(block, scratch.covered, scene, scratch)
        if scene.decks.shape[0] > 0:
            for i in range(block.bottom):
                for e in range(LANES):
                    scratch.t[np.uint64(i), np.uint64(e)] *= BEHIND
            cross_decks(block, scene, scratch)
        _label_ground(block, scene, scratch, planes)
    _label_bonnet(projection, overlay, planes)
