"""Flat faces that stand in the scene: walls, tyre stacks, pylons, the car itself.

Each is a convex quadrilateral of one colour, clipped at the near plane, filled row by row and
tested against the depth of every pixel; one that is not opaque (a shadow) leaves the depth alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from udacity_gym.world.jit import F, kernel

FIELDS = 16
"""Columns of a face: four corners x, y, z in m, colour red, green, blue, opacity [0, 1]."""
CORNERS = 6
"""Corners that a quadrilateral can have after clipping, and one to spare."""
NEAR = F(0.3)
"""m, the simulator's near plane."""
FARTHEST = F(600.0)
"""m, where fog has swallowed everything."""

_ZERO = F(0.0)
_ONE = F(1.0)
_HALF = F(0.5)


@kernel
def _clip(camera: Any, face: Any, corners: Any) -> int:
    """Corners of a face in camera coordinates (right, up, forward), cut off at the near plane."""
    count = 0
    for k in range(4):
        a, b = np.uint64(3 * k), np.uint64(3 * ((k + 1) % 4))
        ax, ay, az = face[a] - camera[0], face[a + 1] - camera[1], face[a + 2] - camera[2]
        bx, by, bz = face[b] - camera[0], face[b + 1] - camera[1], face[b + 2] - camera[2]
        a_deep = ax * camera[3] + ay * camera[4] + az * camera[5]
        b_deep = bx * camera[3] + by * camera[4] + bz * camera[5]
        a_right = ax * camera[6] + ay * camera[7] + az * camera[8]
        a_up = ax * camera[9] + ay * camera[10] + az * camera[11]
        if a_deep >= NEAR:
            corners[count, 0], corners[count, 1], corners[count, 2] = a_right, a_up, a_deep
            count += 1
        if (a_deep >= NEAR) != (b_deep >= NEAR):
            b_right = bx * camera[6] + by * camera[7] + bz * camera[8]
            b_up = bx * camera[9] + by * camera[10] + bz * camera[11]
            share = (NEAR - a_deep) / (b_deep - a_deep)
            corners[count, 0] = a_right + share * (b_right - a_right)
            corners[count, 1] = a_up + share * (b_up - a_up)
            corners[count, 2] = NEAR
            count += 1
    return count


@kernel
def draw_faces(
    camera: Any,
    focal: Any,
    faces: Any,
    label: Any,
    air: Any,
    corners: Any,
    image: Any,
    depth: Any,
    labels: Any,
) -> None:
    """Draw faces into an image.

    Args:
        camera: (12,) float32 position, forward, right and up vector.
        focal: focal length in pixels.
        faces: (n, FIELDS) float32.
        label: what they are, see `sensors.Label`.
        air: fog, see `daylight.Daylight.air`.
        corners: (CORNERS, 3) float32 scratch.
        image: (height, width, 3) uint8, drawn into.
        depth: (height, width) float32 m, tested against and written.
        labels: (height, width) uint8, receives the label.
    """
    height, width = image.shape[0], image.shape[1]
    middle_x, middle_y = F(width) * _HALF, F(height) * _HALF
    inverse_focal = _ONE / focal
    for q in range(faces.shape[0]):
        face = faces[q]
        rx, ry = face[0] - camera[0], face[1] - camera[1]
        if rx * rx + ry * ry > FARTHEST * FARTHEST:
            continue
        count = _clip(camera, face, corners)
        if count < 3:
            continue
        # The plane of the face: with n . p = k in camera coordinates, 1 / depth is linear in the image.
        x0, y0, z0 = corners[0, 0], corners[0, 1], corners[0, 2]
        ax, ay, az = corners[1, 0] - x0, corners[1, 1] - y0, corners[1, 2] - z0
        bx, by, bz = corners[2, 0] - x0, corners[2, 1] - y0, corners[2, 2] - z0
        nx, ny, nz = ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx
        k = nx * x0 + ny * y0 + nz * z0
        if abs(k) < F(1e-6):
            continue
        nx, ny, nz = nx / k, ny / k, nz / k
        left, right, top, bottom = F(1e9), F(-1e9), F(1e9), F(-1e9)
        for c in range(count):
            scale = focal / corners[c, 2]
            x, y = middle_x + corners[c, 0] * scale, middle_y - corners[c, 1] * scale
            corners[c, 0], corners[c, 1] = x, y
            left, right, top, bottom = min(left, x), max(right, x), min(top, y), max(bottom, y)
        if right < _ZERO or left > F(width) or bottom < _ZERO or top > F(height):
            continue
        opacity = face[15]
        upper = max(np.int64(math.ceil(max(top, F(-1.0)) - _HALF)), 0)
        lower = min(np.int64(math.floor(min(bottom, F(height + 1)) - _HALF)) + 1, height)
        for i in range(upper, lower):
            y = F(i) + _HALF
            low, high = F(1e9), F(-1e9)
            for c in range(count):
                d = c + 1 if c + 1 < count else 0
                ya, yb = corners[c, 1], corners[d, 1]
                if (ya <= y) != (yb <= y):
                    x = corners[c, 0] + (y - ya) / (yb - ya) * (corners[d, 0] - corners[c, 0])
                    low, high = min(low, x), max(high, x)
            first = max(np.int64(math.ceil(max(low, F(-1.0)) - _HALF)), 0)
            last = min(np.int64(math.floor(min(high, F(width + 1)) - _HALF)) + 1, width)
            v = (middle_y - y) * inverse_focal
            row = np.uint64(i)
            for j in range(first, last):
                column = np.uint64(j)
                u = (F(j) + _HALF - middle_x) * inverse_focal
                far = _ONE / max(nx * u + ny * v + nz, F(1e-5))
                if far < depth[row, column]:
                    fog = min(max((far - air[3]) * air[4], _ZERO), _ONE)
                    for channel in range(3):
                        under = F(image[row, column, np.uint64(channel)])
                        over = face[12 + channel] + fog * (air[channel] - face[12 + channel])
                        image[row, column, np.uint64(channel)] = np.uint8(
                            np.int32(under + opacity * (over - under) + _HALF)
                        )
                    if opacity >= _ONE:
                        depth[row, column] = far
                        labels[row, column] = np.uint8(label)


def face(
    corners: Sequence[Sequence[float]], colour: Sequence[float], opacity: float = 1.0
) -> NDArray[np.float32]:
    """One face.

    Args:
        corners: four points x, y, z in m, in order around the face; the last may repeat the third.
        colour: RGB in [0, 255].
        opacity: [0, 1].

    Returns:
        (FIELDS,) float32.
    """
    return np.concatenate([np.ravel(corners), colour, [opacity]]).astype(np.float32)


def ribbon(
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    bottom: NDArray[np.float64],
    top: NDArray[np.float64],
    colour: Sequence[float],
) -> list[NDArray[np.float32]]:
    """Upright faces along a polyline: a wall, a rail, a cliff.

    Args:
        x: (n,) m east.
        y: (n,) m north.
        bottom: (n,) m, lower edge.
        top: (n,) m, upper edge.
        colour: RGB in [0, 255].

    Returns:
        n - 1 faces.
    """
    return [
        face(
            [
                (x[k], y[k], bottom[k]),
                (x[k + 1], y[k + 1], bottom[k + 1]),
                (x[k + 1], y[k + 1], top[k + 1]),
                (x[k], y[k], top[k]),
            ],
            colour,
        )
        for k in range(len(x) - 1)
    ]


def box(
    x: float,
    y: float,
    z: float,
    heading: float,
    length: float,
    width: float,
    height: float,
    side: Sequence[float],
    top: Sequence[float],
) -> list[NDArray[np.float32]]:
    """The four sides and the top of an upright box.

    Args:
        x: m east, its middle.
        y: m north, its middle.
        z: m up, its foot.
        heading: rad of its length, counter-clockwise from +x.
        length: m along the heading.
        width: m across it.
        height: m.
        side: RGB in [0, 255] of the sides.
        top: RGB in [0, 255] of the top.

    Returns:
        Five faces.
    """
    c, s = math.cos(heading), math.sin(heading)
    plan = [
        (x + a * length / 2 * c - b * width / 2 * s, y + a * length / 2 * s + b * width / 2 * c)
        for a, b in ((1, 1), (-1, 1), (-1, -1), (1, -1), (1, 1))
    ]
    px, py = np.array([p[0] for p in plan]), np.array([p[1] for p in plan])
    low, high = np.full(5, z), np.full(5, z + height)
    return [
        *ribbon(px, py, low, high, side),
        face([(p[0], p[1], z + height) for p in plan[:4]], top),
    ]
