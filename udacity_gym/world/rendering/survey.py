"""What every pixel of a finished image shows, and how far it is: the sensors' planes.

`renderer` notes of what stands upright what it is; the ground is told apart here, from where on the
road each pixel is. Nothing of this runs unless somebody asks for it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from udacity_gym.sensors import FAR, Label
from udacity_gym.world.jit import LANES, F, cached_kernel, index
from udacity_gym.world.rendering import surface
from udacity_gym.world.rendering.surface import (
    COBBLED,
    LINED,
    RAISED,
    STRIPED,
    WALL_UNIT,
    bilinear_node,
    cross_decks,
    locate,
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
_ZERO = F(0.0)
_ONE = F(1.0)
_HALF = F(0.5)


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


@cached_kernel
def survey(
    camera: Any, focal: float, scene: Any, scratch: Any, overlay: Any, visible_rows: Any, planes: Any
) -> None:
    """Find out about the image that was drawn last.

    Args:
        camera: (12,) float32 position, forward, right and up vector of that image.
        focal: focal length in pixels.
        scene: `scenery.SceneArrays`.
        scratch: `renderer.Scratch` as that image left it; reused.
        overlay: (height, width, 4) uint8, what was drawn over it.
        visible_rows: (blocks,) rows from the top of each block that the overlay does not hide.
        planes: `Planes`, filled in.
    """
    height, width = planes.depth.shape
    inverse_focal = _ONE / focal
    line_low, line_high, stripes_high = scene.section[0], scene.section[3], scene.section[4]
    foot, top, stripes_low = scene.section[6], scene.section[7], scene.section[12]
    middle_low, middle_high = scene.section[13], scene.section[14]
    period, dash = scene.section[15], scene.section[16]
    inverse_spacing = _ONE / F(scene.spacing)
    last_sample = np.int32(scene.sides.shape[0] // 2 - 1)
    nodes = np.int32(scene.frame[4])
    east_end, north_end = scene.frame[2], scene.frame[3]
    cx, cy = camera[0] - scene.frame[0], camera[1] - scene.frame[1]
    for first in range(0, width, LANES):
        bottom = visible_rows[first // LANES]
        lanes = min(LANES, width - first)
        for i in range(bottom):
            row = np.uint64(i)
            ground = np.int32(0)
            for e in range(LANES):
                scratch.t[row, np.uint64(e)] = surface.FAR
            for e in range(lanes):
                column = np.uint64(first + e)
                far = scratch.depth[row, column]
                if scratch.labels[row, column] == _SKY and far < surface.FAR:
                    scratch.t[row, np.uint64(e)] = far
                    ground += np.int32(1)
            scratch.covered[row] = ground
        locate(
            camera, focal, scene.nearest, scene.line, scene.frame, scene.spacing, width, first,
            bottom, scratch.covered, scratch.t, scratch.s, scratch.d, scratch.cosines, scratch.sines,
            scratch.span,
        )  # fmt: skip
        if scene.decks.shape[0] > 0:
            for i in range(bottom):
                for e in range(LANES):
                    scratch.t[np.uint64(i), np.uint64(e)] *= BEHIND
            cross_decks(
                camera, focal, scene.decks, width, first, bottom, scratch.covered, scratch.t,
                scratch.slope, scratch.s, scratch.d, scratch.cosines, scratch.sines, scratch.span,
            )  # fmt: skip
        for i in range(bottom):
            row = np.uint64(i)
            v = (F(height) * _HALF - F(i) - _HALF) * inverse_focal
            for e in range(lanes):
                lane, column = np.uint64(e), np.uint64(first + e)
                far = scratch.depth[row, column]
                planes.depth[row, column] = min(far, _FAR)
                planes.lateral[row, column] = _FAR
                label = scratch.labels[row, column]
                if label == _SKY and far < surface.FAR:
                    distance = abs(scratch.d[row, lane])
                    planes.lateral[row, column] = distance
                    right = np.int32(scratch.d[row, lane] > _ZERO)
                    sample = np.int32(scratch.s[row, lane] * inverse_spacing)
                    sample = min(max(sample, np.int32(0)), last_sample)
                    side = scene.sides[index(sample * np.int32(2) + right)]
                    edge = foot
                    if (side >> COBBLED) & 1:
                        edge = F(side & np.int32(0xFFFFFF)) * WALL_UNIT
                    if distance < edge:
                        label = _ROAD
                        if (side >> STRIPED) & 1 and stripes_low <= distance <= stripes_high:
                            label = _KERB
                        elif (side >> LINED) & 1 and line_low <= distance <= line_high:
                            label = _MARKING
                        elif middle_low <= distance <= middle_high:
                            place = scratch.s[row, lane]
                            if place - np.floor(place / period) * period <= dash and middle_high > _ZERO:
                                label = _MARKING
                    elif (side >> RAISED) & 1 and distance < top:
                        label = _KERB
                    else:
                        u = (F(first + e) + _HALF - F(width) * _HALF) * inverse_focal
                        x = cx + far * (camera[3] + u * camera[6] + v * camera[9])
                        y = cy + far * (camera[4] + u * camera[7] + v * camera[10])
                        node, fx, fy = bilinear_node(x, y, east_end, north_end, nodes)
                        a, b = scene.heights[index(node)], scene.heights[index(node + np.int32(1))]
                        c = scene.heights[index(node + nodes)]
                        d = scene.heights[index(node + nodes + np.int32(1))]
                        low = a + fx * (b - a)
                        ground_height = low + fy * (c + fx * (d - c) - low)
                        label = _WATER if ground_height < scene.water + SHALLOW else _TERRAIN
                planes.labels[row, column] = label
    for i in range(height):
        row = np.uint64(i)
        v = (F(height) * _HALF - F(i) - _HALF) * inverse_focal
        for j in range(width):
            column = np.uint64(j)
            if overlay[row, column, np.uint64(3)] > 127:
                u = (F(j) + _HALF - F(width) * _HALF) * inverse_focal
                planes.depth[row, column] = BONNET_DROP / max(BONNET_TILT - v, F(0.05))
                planes.labels[row, column] = _CAR
                planes.lateral[row, column] = _FAR
