"""Sensors of cameras besides images: depth and segmentation.

Depth and segmentation come from the same pass as the image, pixel by pixel. `colour_depth` and
`colour_labels` convert them to images.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from udacity_gym.checks import check_integer, check_number
from udacity_gym.errors import OptionError
from udacity_gym.telemetry import Image

IMAGE_SIZE = (160, 320)
"""Height and width of the images of Udacity's cameras."""
SMALLEST, LARGEST = 16, 4096
"""Limits of height and width of images."""
NARROWEST, WIDEST = math.radians(10.0), math.radians(120.0)
"""Limits of the vertical field of view of cameras, rad."""
FAR = 1000.0
"""Largest depth, also of the sky, m: the far plane of the simulator's cameras."""


class Label(IntEnum):
    """Classes of the segmentation."""

    SKY = 0
    ROAD = 1
    LANE_MARKING = 2
    KERB = 3
    TERRAIN = 4
    WATER = 5
    VEGETATION = 6
    STRUCTURE = 7
    CAR = 8


PALETTE: NDArray[np.uint8] = np.array(
    [
        (70, 130, 180),
        (128, 64, 128),
        (255, 255, 255),
        (220, 20, 60),
        (152, 251, 152),
        (0, 80, 200),
        (35, 120, 35),
        (70, 70, 70),
        (0, 0, 142),
    ],
    np.uint8,
)
"""(labels, 3) uint8 RGB: how `colour_labels` shows each `Label`; Cityscapes' where it has the class."""


def colour_labels(labels: NDArray[np.uint8]) -> Image:
    """Make an image of a segmentation.

    Args:
        labels: (...) uint8, see `Label`.

    Returns:
        (..., 3) uint8 RGB, see `PALETTE`.
    """
    coloured: Image = PALETTE[labels]
    return coloured


def colour_depth(depth: NDArray[np.float32], nearest: float = 1.0) -> Image:
    """Make an image of depths: near is light and warm, far dark and blue, on a logarithmic scale.

    Args:
        depth: (...) float32 m along the optical axis.
        nearest: depth of the lightest colour, m.

    Returns:
        (..., 3) uint8 RGB.
    """
    share = np.log(np.clip(depth, nearest, FAR) / nearest) / math.log(FAR / nearest)
    stops = np.array([(252, 255, 164), (251, 155, 6), (188, 55, 84), (87, 16, 110), (0, 0, 4)], np.float64)
    at = np.linspace(0.0, 1.0, len(stops))
    coloured: Image = np.stack([np.interp(share, at, stops[:, c]) for c in range(3)], -1).astype(np.uint8)
    return coloured


def check_image_size(image_size: Any) -> tuple[int, int]:
    """Rows and columns of an image, or an error that says what they may be.

    Raises:
        OptionError: They are no whole numbers, or out of range.
    """
    if isinstance(image_size, str) or not isinstance(image_size, Sequence) or len(image_size) != 2:
        raise OptionError(
            f"image_size must be (height, width) in pixels, such as (160, 320), got {image_size!r}"
        )
    height, width = (check_integer("image_size's height and width", n, SMALLEST, LARGEST) for n in image_size)
    return height, width


def check_field_of_view(angle: Any) -> float:
    """A vertical field of view in rad, or an error that says what it may be.

    Raises:
        OptionError: It is no number, or out of range.
    """
    return check_number("field_of_view (rad, vertical)", angle, NARROWEST, WIDEST)
