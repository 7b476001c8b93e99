"""Flat faces: walls, tyre stacks, pylons, the car. Each is a convex quadrilateral of one colour."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

COLOUR, OPACITY = 12, 15
"""First of a face's three columns of colour, RGB in [0, 255], and its column of opacity, [0, 1]. Before them
are four corners x, y, z in m."""
FIELDS = 16
"""Columns of a face."""


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
    foot: tuple[float, float, float],
    heading: float,
    size: tuple[float, float, float],
    side: Sequence[float],
    top: Sequence[float],
) -> list[NDArray[np.float32]]:
    """The four sides and the top of an upright box.

    Args:
        foot: x, y, z in m, the middle of its bottom.
        heading: rad of its length, counter-clockwise from +x.
        size: m along the heading, across it, and up.
        side: RGB in [0, 255] of the sides.
        top: RGB in [0, 255] of the top.

    Returns:
        Five faces.
    """
    x, y, z = foot
    length, width, height = size
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
