"""From the camera's image to what a network sees: one description, used alike in training and driving.

The cheap, integer part (crop, resize, colour space) is done by OpenCV on uint8, so that training can
keep finished images in memory; the normalisation to floats is done in torch, on the whole batch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

import cv2
import numpy as np

from algorithms.checks import Number, check_fields
from udacity_gym.errors import OptionError
from udacity_gym.recording.images import check_crop, crop_and_resize
from udacity_gym.sensors import IMAGE_SIZE
from udacity_gym.telemetry import Image

if TYPE_CHECKING:
    from torch import Tensor

COLORS = {
    "yuv": cv2.COLOR_RGB2YUV,
    "rgb": None,
    "bgr": cv2.COLOR_RGB2BGR,
    "yuv_before_3.2": cv2.COLOR_BGR2YUV,
}
"""Colour spaces, and OpenCV's conversion from RGB. Before OpenCV 3.2, RGB2YUV took red for blue: networks of
2016 and 2017 that were trained with it need ``yuv_before_3.2``."""

Size: TypeAlias = Annotated[tuple[int, int], Number(1)]
"""(height, width) px."""


@dataclass(frozen=True)
class Preprocessing:
    """What becomes of an image before the network sees it.

    The defaults are those of Bojarski et al. 2016 (66x200 YUV) on the part of Udacity's image that
    lies between the horizon and the bonnet.

    Attributes:
        camera_size: (height, width) px of the camera's image.
        crop: (top, bottom) rows of that image that are kept: ``image[top:bottom]``.
        size: (height, width) px of what the network sees.
        color: "yuv" (OpenCV's RGB2YUV, chroma around 128), "rgb", or another of `COLORS`.
        scale: factor of the normalisation ``x * scale + offset`` of uint8 values.
        offset: summand of the normalisation; the defaults give [-1, 1].
        interpolation: how images are resized: "auto" averages areas where they shrink and interpolates
            where they grow, "linear" is what ``cv2.resize`` does if nothing is said, "area" its INTER_AREA.
    """

    camera_size: Size = IMAGE_SIZE
    crop: Annotated[tuple[int, int], Number(0)] = (60, 135)
    size: Size = (66, 200)
    color: Literal["yuv", "rgb", "bgr", "yuv_before_3.2"] = "yuv"
    scale: float = 1 / 127.5
    offset: float = -1.0
    interpolation: Literal["auto", "linear", "area"] = "auto"

    def __post_init__(self) -> None:
        check_fields(self)
        check_crop(self.crop, self.camera_size[0])

    def __call__(self, image: Image) -> Image:
        """Crop, resize and convert one image.

        Args:
            image: (*camera_size, 3) uint8 RGB.

        Returns:
            (*size, 3) uint8 in the colour space ``color``.

        Raises:
            OptionError: The image has another size.
        """
        if image.shape[:2] != self.camera_size:
            height, width = image.shape[:2]
            raise OptionError(
                f"{height}x{width} px, but Preprocessing.camera_size says {self.camera_size[0]}x"
                f"{self.camera_size[1]}; set camera_size and crop to fit"
            )
        small = crop_and_resize(image, self.crop, self.size, self.resize_method)
        conversion = COLORS[self.color]
        return small if conversion is None else np.asarray(cv2.cvtColor(small, conversion), np.uint8)

    @property
    def resize_method(self) -> int:
        """OpenCV's number of the interpolation that resizes the crop."""
        rows, columns = self.crop[1] - self.crop[0], self.camera_size[1]
        shrinks = self.size[0] <= rows and self.size[1] <= columns
        area = self.interpolation == "area" or (self.interpolation == "auto" and shrinks)
        return int(cv2.INTER_AREA if area else cv2.INTER_LINEAR)

    def prepare_batch(self, images: Image) -> Image:
        """Prepare several images.

        Args:
            images: (n, *camera_size, 3) uint8 RGB.

        Returns:
            (n, *size, 3) uint8.
        """
        out: Image = np.empty((len(images), *self.size, 3), np.uint8)
        for i, image in enumerate(images):
            out[i] = self(image)
        return out

    def normalize(self, batch: Tensor) -> Tensor:
        """Scale prepared images for the network.

        Args:
            batch: (n, *size, 3) uint8 as `prepare_batch` gives them, or (n, frames, *size, 3), the
                oldest first.

        Returns:
            (n, 3, *size) or (n, 3 * frames, *size) float32; channels last in memory, which convolutions
            on CPUs like best.
        """
        if batch.ndim == 5:
            batch = batch.permute(0, 2, 3, 1, 4).flatten(3)
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
        if known - set(data) - {"interpolation"} or set(data) - known:  # which older files do not have
            raise OptionError(
                f"preprocessing has the settings {sorted(data)}, expected exactly {sorted(known)}"
            )
        # JSON has lists for tuples.
        values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in data.items()}
        return cls(**values)
