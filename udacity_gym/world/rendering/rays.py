"""Cameras, and the rays through their pixels.

A ray is camera + t * direction. Its direction is forward + u * right + v * up, where u and v are the tangents
of the angles to the right of the optical axis and above it; so t is the depth along the optical axis,
whatever the pixel. All pixels of a row share v, and from one to the next u grows by 1 / focal length.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from udacity_gym.world.jit import LANES, F, inline
from udacity_gym.world.records import Vector, unpack

_ONE = F(1.0)
_HALF = F(0.5)


class Camera(NamedTuple):
    """Where a camera is and where it looks.

    Attributes:
        position: m.
        forward, right, up: unit vectors; forward is the optical axis.
    """

    position: Vector
    forward: Vector
    right: Vector
    up: Vector


class Projection(NamedTuple):
    """A camera with its image.

    Attributes:
        camera: (12,) float32, a packed `Camera`.
        focal: pixels, focal length.
        width, height: columns and rows of the image.
    """

    camera: NDArray[np.float32]
    focal: F
    width: int
    height: int


class Block(NamedTuple):
    """`LANES` pixel columns of an image, which kernels draw together.

    Attributes:
        projection: the camera with its image.
        first: first column.
        bottom: rows to draw, from the top; what is below lies behind the bonnet.
    """

    projection: Projection
    first: int
    bottom: int


class Steps(NamedTuple):
    """How the rays of a block differ from each other.

    Attributes:
        tangent: what u and v grow by from one pixel to the next: 1 / focal length.
        left: column of the first pixel's middle, counted from the middle of the image.
        right: what one column to the right adds to a ray's direction.
    """

    tangent: F
    left: F
    right: Vector


@inline
def lanes_of(block: Block) -> int:
    """Columns of a block that are inside the image: `LANES`, or fewer in the last block."""
    return min(LANES, block.projection.width - block.first)


@inline
def steps_of(block: Block) -> Steps:
    """How the rays of a block differ from each other."""
    projection = block.projection
    tangent = _ONE / projection.focal
    right = unpack(Camera, projection.camera).right
    left = F(block.first) + _HALF - F(projection.width) * _HALF
    return Steps(tangent, left, Vector(right.x * tangent, right.y * tangent, right.z * tangent))


@inline
def row_ray(block: Block, steps: Steps, i: int) -> Vector:
    """Direction of the ray in the middle of a row, where u is 0."""
    v = (F(block.projection.height) * _HALF - F(i) - _HALF) * steps.tangent
    camera = unpack(Camera, block.projection.camera)
    forward, up = camera.forward, camera.up
    return Vector(forward.x + v * up.x, forward.y + v * up.y, forward.z + v * up.z)


@inline
def lane_ray(steps: Steps, middle: Vector, lane: int) -> Vector:
    """Direction of the ray through a pixel of a block.

    Args:
        steps: of the block.
        middle: `row_ray` of the pixel's row.
        lane: which of the block's columns.
    """
    u = steps.left + F(np.int32(lane))
    right = steps.right
    return Vector(middle.x + u * right.x, middle.y + u * right.y, middle.z + u * right.z)


@inline
def row_tangent(projection: Projection, i: int) -> F:
    """Tangent of the angle between the optical axis and the rays of a row, positive above the axis."""
    return (F(projection.height) * _HALF - F(i) - _HALF) * (_ONE / projection.focal)


@inline
def column_tangent(projection: Projection, j: int) -> F:
    """Tangent of the angle between the optical axis and the rays of a column, positive right of the axis."""
    return (F(j) + _HALF - F(projection.width) * _HALF) * (_ONE / projection.focal)


@inline
def pixel_ray(projection: Projection, u: F, v: F) -> Vector:
    """Direction of a single ray, by the tangents of its column and its row."""
    camera = unpack(Camera, projection.camera)
    forward, right, up = camera.forward, camera.right, camera.up
    return Vector(
        forward.x + u * right.x + v * up.x,
        forward.y + u * right.y + v * up.y,
        forward.z + u * right.z + v * up.z,
    )
