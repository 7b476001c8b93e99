"""From the camera's picture to what a network sees: one description, used alike in training and driving.

The cheap, integer part (crop, resize, colour space) is done by OpenCV on uint8, so that training can
keep finished pictures in memory; the normalisation to floats is done in torch, on the whole batch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from algorithms.checks import Number, check_pair
from udacity_gym.errors import OptionError
from udacity_gym.telemetry import Image

if TYPE_CHECKING:
    from torch import Tensor

COLORS = ("yuv", "rgb")


@dataclass(frozen=True)
class Preprocessing:
    """What becomes of a picture before the network sees it.

    The defaults are those of Bojarski et al. 2016 (66x200 YUV) on the part of Udacity's picture that
    lies between the horizon and the bonnet.

    Attributes:
        picture: (height, width) px of the camera's picture.
        crop: (top, bottom) rows of that picture that are kept: ``picture[top:bottom]``.
        size: (height, width) px of what the network sees.
        color: "yuv" (OpenCV's RGB2YUV, chroma around 128) or "rgb".
        scale: factor of the normalisation ``x * scale + offset`` of uint8 values.
        offset: summand of the normalisation; the defaults give [-1, 1].
    """

    picture: tuple[int, int] = (160, 320)
    crop: tuple[int, int] = (60, 135)
    size: tuple[int, int] = (66, 200)
    color: str = "yuv"
    scale: float = 1 / 127.5
    offset: float = -1.0

    def __post_init__(self) -> None:
        for name, least in (("picture", 1), ("crop", 0), ("size", 1)):
            check_pair(name, getattr(self, name), least)
        for name in ("scale", "offset"):
            Number().check(name, getattr(self, name))
        if not 0 <= self.crop[0] < self.crop[1] <= self.picture[0]:
            raise OptionError(
                f"crop={self.crop} must be (top, bottom) rows within a picture {self.picture[0]} px high"
            )
        if self.color not in COLORS:
            raise OptionError(f"color={self.color!r} is unknown; choose one of {COLORS}")

    def prepare(self, image: Image) -> Image:
        """Crop, resize and convert one picture.

        Args:
            image: (*picture, 3) uint8 RGB.

        Returns:
            (*size, 3) uint8 in the colour space ``color``.
        """
        part = image[self.crop[0] : self.crop[1]]
        height, width = self.size
        shrinks = height <= part.shape[0] and width <= part.shape[1]
        small = cv2.resize(
            part, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        )
        out = cv2.cvtColor(small, cv2.COLOR_RGB2YUV) if self.color == "yuv" else small
        return np.asarray(out, np.uint8)

    def prepare_batch(self, images: Image) -> Image:
        """Prepare several pictures.

        Args:
            images: (n, *picture, 3) uint8 RGB.

        Returns:
            (n, *size, 3) uint8.
        """
        out: Image = np.empty((len(images), *self.size, 3), np.uint8)
        for i, image in enumerate(images):
            out[i] = self.prepare(image)
        return out

    def normalize(self, batch: Tensor) -> Tensor:
        """Scale prepared pictures for the network.

        Args:
            batch: (n, *size, 3) uint8 as `prepare_batch` gives them.

        Returns:
            (n, 3, *size) float32; channels last in memory, which convolutions on CPUs like best.
        """
        return batch.permute(0, 3, 1, 2).float().mul_(self.scale).add_(self.offset)

    def to_json(self) -> dict[str, Any]:
        """The settings as JSON-ready values."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Preprocessing:
        """Read the settings back.

        Raises:
            OptionError: A setting is missing, unknown or out of range.
        """
        known = {f.name for f in fields(cls)}
        if set(data) != known:
            raise OptionError(
                f"preprocessing has the settings {sorted(data)}, expected exactly {sorted(known)}"
            )
        # JSON has lists for tuples.
        values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in data.items()}
        return cls(**values)
