"""The car's bonnet as its own cameras see it: an overlay drawn once per camera and picture size."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

REFERENCE = (320, 160)
"""Width and height in pixels in which outlines are given."""
OVERSAMPLING = 4

_CENTER_OUTLINE = ((36, 160), (60, 154.5), (84, 149.5), (103, 146), (118, 140.5), (137, 137.2), (155, 136.8),
                   (172, 137.2), (190, 140.5), (207, 146), (228, 150.5), (246, 155), (263, 160))  # fmt: skip
_LEFT_OUTLINE = (
    (186, 160),
    (190, 152),
    (204, 145),
    (228, 142),
    (256, 138),
    (288, 137),
    (320, 138),
    (320, 160),
)

_PAINT = (150.0, 132.0, 108.0)


def bonnet_overlay(camera: str, width: int, height: int) -> NDArray[np.uint8]:
    """Draw the bonnet that a camera sees.

    Args:
        camera: "center", "left" or "right"; any other camera sees none.
        width: columns of the picture.
        height: rows of the picture.

    Returns:
        (height, width, 4) uint8 RGB and opacity.
    """
    outlines: dict[str, Sequence[tuple[float, float]]] = {
        "center": _CENTER_OUTLINE,
        "left": _LEFT_OUTLINE,
        "right": [(REFERENCE[0] - x, y) for x, y in _LEFT_OUTLINE],
    }
    overlay = np.zeros((height, width, 4), np.uint8)
    if camera not in outlines:
        return overlay
    scale = np.array([OVERSAMPLING * width / REFERENCE[0], OVERSAMPLING * height / REFERENCE[1]])
    canvas = np.zeros((height * OVERSAMPLING, width * OVERSAMPLING, 4), np.uint8)
    polygon = np.round(np.array(outlines[camera]) * scale).astype(np.int32)
    cv2.fillPoly(canvas, [polygon], (*_PAINT, 255.0))
    return np.asarray(cv2.resize(canvas, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
