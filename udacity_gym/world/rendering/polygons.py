"""Flat faces that stand in the scene: walls, tyre stacks, pylons, the car itself.

Each is a convex quadrilateral of one colour, clipped at the near plane, filled row by row and
tested against the depth of every pixel; one that is not opaque (a shadow) leaves the depth alone.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from udacity_gym.telemetry import Image
from udacity_gym.world.jit import F, inline, kernel
from udacity_gym.world.records import Vector, unpack
from udacity_gym.world.rendering.paint import fog_share
from udacity_gym.world.rendering.rays import Camera, Projection, column_tangent, row_tangent
from udacity_gym.world.rendering.sampling import BLUE, GREEN, RED
from udacity_gym.world.rendering.scratch import COLUMN, FORWARD, RIGHT, ROW, UP, Scratch
from udacity_gym.world.scene.faces import COLOUR, OPACITY
from udacity_gym.world.scene.scene_arrays import Air, SceneArrays

NEAR = F(0.3)
"""m, the simulator's near plane."""
FARTHEST_FACE = F(600.0)
"""m, where fog has swallowed everything."""

_ZERO = F(0.0)
_ONE = F(1.0)
_HALF = F(0.5)


@inline
def _along(axis: Vector, x: F, y: F, z: F) -> F:
    """How far a displacement goes along an axis."""
    return x * axis.x + y * axis.y + z * axis.z


@inline
def _covered(under: np.uint8, over: F, opacity: F) -> np.uint8:
    """One channel of a pixel with a colour put over it, rounded."""
    under = F(under)
    return np.uint8(np.int32(under + opacity * (over - under) + _HALF))


@kernel
def _clip(packed_camera: NDArray[np.float32], face: NDArray[np.float32], corners: NDArray[np.float32]) -> int:
    """Corners of a face in camera coordinates, cut off at the near plane (Sutherland and Hodgman 1974).

    Args:
        packed_camera: (12,) float32, a packed `Camera`.
        face: (FIELDS,) float32.
        corners: (CORNERS, 3) float32 m, receives the corners along the camera's axes.

    Returns:
        How many corners are left.
    """
    count = 0
    for k in range(4):
        camera = unpack(Camera, packed_camera)
        position = camera.position
        a, b = np.uint64(3 * k), np.uint64(3 * ((k + 1) % 4))
        ax, ay, az = face[a] - position.x, face[a + 1] - position.y, face[a + 2] - position.z
        bx, by, bz = face[b] - position.x, face[b + 1] - position.y, face[b + 2] - position.z
        a_deep, b_deep = _along(camera.forward, ax, ay, az), _along(camera.forward, bx, by, bz)
        a_right, a_up = _along(camera.right, ax, ay, az), _along(camera.up, ax, ay, az)
        if a_deep >= NEAR:
            corners[count, RIGHT], corners[count, UP], corners[count, FORWARD] = a_right, a_up, a_deep
            count += 1
        if (a_deep >= NEAR) != (b_deep >= NEAR):  # the edge to the next corner crosses the plane
            b_right, b_up = _along(camera.right, bx, by, bz), _along(camera.up, bx, by, bz)
            share = (NEAR - a_deep) / (b_deep - a_deep)
            corners[count, RIGHT] = a_right + share * (b_right - a_right)
            corners[count, UP] = a_up + share * (b_up - a_up)
            corners[count, FORWARD] = NEAR
            count += 1
    return count


@kernel
def draw_faces(
    projection: Projection,
    faces: NDArray[np.float32],
    label: np.uint8,
    scene: SceneArrays,
    scratch: Scratch,
    image: Image,
) -> None:
    """Draw faces into an image; ``depth`` and ``labels`` of the working memory go along.

    Args:
        projection: the camera with its image.
        faces: (n, FIELDS) float32, see `faces`.
        label: what they are, see `sensors.Label`.
        scene: the scene, of which only the air is read.
        scratch: working memory.
        image: (height, width, 3) uint8, drawn into.
    """
    air, height, width = unpack(Air, scene.air), projection.height, projection.width
    corners, depth, labels = scratch.corners, scratch.depth, scratch.labels
    middle_x, middle_y = F(width) * _HALF, F(height) * _HALF
    for q in range(faces.shape[0]):
        face = faces[q]
        position = unpack(Camera, projection.camera).position
        rx, ry = face[0] - position.x, face[1] - position.y
        if rx * rx + ry * ry > FARTHEST_FACE * FARTHEST_FACE:
            continue
        count = _clip(projection.camera, face, corners)
        if count < 3:
            continue
        # The plane of the face: with n . p = 1 in camera coordinates, and p = depth * (u, v, 1) of a pixel,
        # 1 / depth = n . (u, v, 1) is linear in the image.
        x0, y0, z0 = corners[0, RIGHT], corners[0, UP], corners[0, FORWARD]
        ax, ay, az = corners[1, RIGHT] - x0, corners[1, UP] - y0, corners[1, FORWARD] - z0
        bx, by, bz = corners[2, RIGHT] - x0, corners[2, UP] - y0, corners[2, FORWARD] - z0
        nx, ny, nz = ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx
        k = nx * x0 + ny * y0 + nz * z0
        if abs(k) < F(1e-6):
            continue  # seen edge-on
        nx, ny, nz = nx / k, ny / k, nz / k
        left, right, top, bottom = F(1e9), F(-1e9), F(1e9), F(-1e9)
        for c in range(count):
            scale = projection.focal / corners[c, FORWARD]
            x, y = middle_x + corners[c, RIGHT] * scale, middle_y - corners[c, UP] * scale
            corners[c, COLUMN], corners[c, ROW] = x, y
            left, right, top, bottom = min(left, x), max(right, x), min(top, y), max(bottom, y)
        if right < _ZERO or left > F(width) or bottom < _ZERO or top > F(height):
            continue
        red, green, blue, opacity = face[COLOUR], face[COLOUR + 1], face[COLOUR + 2], face[OPACITY]
        upper = max(np.int64(math.ceil(max(top, F(-1.0)) - _HALF)), 0)
        lower = min(np.int64(math.floor(min(bottom, F(height + 1)) - _HALF)) + 1, height)
        for i in range(upper, lower):
            # Between which columns the middle of the row is inside the outline.
            y = F(i) + _HALF
            low, high = F(1e9), F(-1e9)
            for c in range(count):
                d = c + 1 if c + 1 < count else 0
                ya, yb = corners[c, ROW], corners[d, ROW]
                if (ya <= y) != (yb <= y):
                    along = (y - ya) / (yb - ya)
                    x = corners[c, COLUMN] + along * (corners[d, COLUMN] - corners[c, COLUMN])
                    low, high = min(low, x), max(high, x)
            first = max(np.int64(math.ceil(max(low, F(-1.0)) - _HALF)), 0)
            last = min(np.int64(math.floor(min(high, F(width + 1)) - _HALF)) + 1, width)
            v = row_tangent(projection, i)
            row = np.uint64(i)
            for j in range(first, last):
                column = np.uint64(j)
                u = column_tangent(projection, j)
                far = _ONE / max(nx * u + ny * v + nz, F(1e-5))
                if far < depth[row, column]:
                    fog = fog_share(air, far)
                    over = red + fog * (air.fog.red - red)
                    image[row, column, RED] = _covered(image[row, column, RED], over, opacity)
                    over = green + fog * (air.fog.green - green)
                    image[row, column, GREEN] = _covered(image[row, column, GREEN], over, opacity)
                    over = blue + fog * (air.fog.blue - blue)
                    image[row, column, BLUE] = _covered(image[row, column, BLUE], over, opacity)
                    if opacity >= _ONE:
                        depth[row, column] = far
                        labels[row, column] = np.uint8(label)
