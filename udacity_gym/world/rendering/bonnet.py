"""The car's bonnet as its own cameras see it: an overlay drawn once per camera and image size.

Outlines and colours are measured on the median of many recorded images: what never changes while
the car drives is the bonnet.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

REFERENCE_WIDTH, REFERENCE_HEIGHT = 320, 160
"""Image size in pixels in which outlines are given."""
OVERSAMPLING = 4
"""Subpixels per pixel and direction, for smooth outlines."""
MIRROR = 309.0
"""Pixels: columns of a point of the left camera's bonnet and of its counterpart add up to this."""

FIELD_OF_VIEW = math.radians(60.0)
"""rad, vertical, of Udacity's cameras: 138.56 px focal length at 160 rows."""

_Outline = Sequence[tuple[float, float]]
_Colour = tuple[float, float, float]

_LIGHT, _PAINT, _SHADE = (151.0, 142.0, 119.0), (140.0, 128.0, 104.0), (128.0, 115.0, 92.0)
_GLASS, _SEAM, _LAMP, _RIM = (
    (146.0, 151.0, 137.0),
    (52.0, 48.0, 38.0),
    (254.0, 252.0, 240.0),
    (146.0, 146.0, 126.0),
)

_CENTER: Sequence[tuple[_Colour, _Outline]] = (
    (_LIGHT, ((35.7, 161), (46, 154.5), (61, 151.5), (82, 147.5), (98, 144.5), (110, 142.8), (122, 140),
              (139, 137.4), (155, 136.6), (173, 137.1), (188, 139.2), (204, 144.3), (220, 147.6),
              (239, 151.6), (259, 157), (264, 161))),
    (_SHADE, ((60, 161), (84, 155), (104, 150), (122, 146), (139, 143.8), (155, 143.2), (173, 143.8),
              (190, 147), (206, 152), (226, 157), (238, 161))),
    (_PAINT, ((74, 161), (96, 154), (122, 148.4), (139, 146.4), (155, 146), (173, 146.4), (190, 149.6),
              (212, 156), (226, 161))),
    (_SEAM, ((91, 161), (110, 155.4), (122, 152.2), (139, 150.6), (155, 150.2), (173, 150.8), (188, 152.6),
             (200, 156), (217, 161))),
    (_GLASS, ((99, 161), (112, 156.4), (123, 153.2), (139, 151.4), (155, 151), (173, 151.6), (187, 153.6),
              (198, 156.8), (210, 161))),
)  # fmt: skip
_LEFT: Sequence[tuple[_Colour, _Outline]] = (
    (_LIGHT, ((185, 161), (187, 157), (191, 152.5), (198, 149), (206, 146), (216, 144.2), (228, 144),
             (240, 141), (255, 139), (270, 137.8), (285, 138), (300, 139), (320, 141.5), (400, 154),
              (430, 161))),
    (_PAINT, ((210, 161), (224, 149), (232, 144.6), (244, 143), (262, 142), (290, 143), (320, 147),
              (390, 161))),
    (_SHADE, ((216, 161), (230, 152), (250, 150), (280, 152), (296, 161))),
    (_RIM, ((185, 161), (187, 157), (191, 152.5), (198, 150), (202, 161))),
    (_SEAM, ((303, 161), (305, 154), (312, 151.4), (330, 151.4), (370, 161))),
    (_GLASS, ((306, 161), (308, 155), (314, 153), (330, 153), (364, 161))),
    (_RIM, ((201, 154), (206, 158), (214, 156), (219, 152))),
    (_LAMP, ((197, 149.4), (208, 146.2), (224, 143.8), (220, 149), (214, 153), (203, 154.4))),
    (_SEAM, ((227, 144), (228.4, 144), (261.2, 161), (259.8, 161))),
)  # fmt: skip
_RIGHT = tuple((colour, tuple((MIRROR - x, y) for x, y in outline)) for colour, outline in _LEFT)
_SHAPES = {"center": _CENTER, "left": _LEFT, "right": _RIGHT}


def bonnet_overlay(
    camera: str, width: int, height: int, field_of_view: float = FIELD_OF_VIEW
) -> NDArray[np.uint8]:
    """Draw the bonnet that a camera sees.

    A wider image sees more to the sides, a larger field of view more of the bonnet.

    Args:
        camera: "center", "left" or "right"; any other camera sees none.
        width: columns of the image.
        height: rows of the image.
        field_of_view: rad, vertical.

    Returns:
        (height, width, 4) uint8 RGB and opacity.
    """
    shapes = _SHAPES.get(camera, ())
    # Clear pixels have the colour of the paint too, so that edges don't darken when they are averaged.
    canvas = np.full((height * OVERSAMPLING, width * OVERSAMPLING, 4), (*_LIGHT, 0.0), np.uint8)
    scale = OVERSAMPLING * height / REFERENCE_HEIGHT
    zoom = 1.0
    if field_of_view != FIELD_OF_VIEW:
        zoom = math.tan(FIELD_OF_VIEW / 2) / math.tan(field_of_view / 2)
    for k, (colour, outline) in enumerate(shapes):
        points = np.array(outline, np.float64)
        if zoom < 1.0:  # what lies on the bonnet is kept within it
            points = _prolonged(points, 1.0 if k == 0 else 0.4)
        middle = REFERENCE_WIDTH / 2, REFERENCE_HEIGHT / 2
        points = ((points - middle) * zoom + middle if zoom != 1.0 else points) * scale
        points[:, 0] += OVERSAMPLING * width / 2 - scale * REFERENCE_WIDTH / 2
        cv2.fillPoly(canvas, [np.round(points).astype(np.int32)], (*colour, 255.0))
    return np.asarray(cv2.resize(canvas, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def _prolonged(points: NDArray[np.float64], spread: float) -> NDArray[np.float64]:
    """An outline that reaches the bottom of the image, continued far beyond it.

    Args:
        points: (n, 2) columns and rows of its corners.
        spread: share of its slope there with which it goes on.
    """
    n, below = len(points), points[:, 1] > REFERENCE_HEIGHT
    longer: NDArray[np.float64] = np.array(points)
    for k in np.flatnonzero(below):
        before, after = (k - 1) % n, (k + 1) % n
        above = before if not below[before] else after
        if not below[above]:
            across, down = points[k] - points[above]
            longer[k] += 4 * REFERENCE_HEIGHT * np.array([spread * across / max(down, 1.0), 1.0])
    return longer
