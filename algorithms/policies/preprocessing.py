"""Preprocessing of images for a network, the same in training and in driving.

The cheap integer part (crop, resize, colour space) runs in OpenCV on uint8, so that training can
keep prepared images in memory. The normalisation to floats runs in torch, on the whole batch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from algorithms.checks import Number, check_fields
from udacity_gym.errors import OptionError
from udacity_gym.recording.images import check_crop
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
"""Colour spaces, and OpenCV's conversion from RGB. Before OpenCV 3.2, RGB2YUV swapped red and blue. Networks
of 2016 and 2017 that were trained with it need ``yuv_before_3.2``."""

ORDER = ("crop", "blur", "resize", "color")
"""Steps of a preprocessing in their usual order."""

Size: TypeAlias = Annotated[tuple[int, int], Number(1)]
"""(height, width) px."""


@dataclass(frozen=True)
class Preprocessing:
    """How images are prepared for a network: crop, blur, resize, colour space, normalisation.

    The defaults are those of Bojarski et al. 2016 (66x200 YUV) on the part of Udacity's image
    between the horizon and the bonnet.

    Attributes:
        camera_size: (height, width) px of the camera's image.
        crop: (top, bottom) rows of that image that are kept: ``image[top:bottom]``.
        size: (height, width) px of the prepared image.
        color: "yuv" (OpenCV's RGB2YUV, chroma around 128), "rgb", or another of `COLORS`.
        scale: factor of the normalisation ``x * scale + offset`` of uint8 values.
        offset: offset of the normalisation; the defaults give [-1, 1].
        interpolation: how images are resized: "auto" averages areas where they shrink and interpolates
            where they grow, "linear" is the default of ``cv2.resize``, "area" its INTER_AREA.
        columns: (left, right) columns that are kept together with the rows of ``crop``:
            ``image[top:bottom, left:right]``; None keeps all.
        blur: px, side of the kernel of a Gaussian blur, odd, as ``cv2.GaussianBlur(image, (blur, blur), 0)``;
            0 does not blur.
        order: the steps in their order, of `ORDER`; one that changes nothing may be left out.
        resized: (height, width) px of the resized image, if the crop comes after resizing. ``crop`` and
            ``columns`` then count pixels of the resized image. None where the crop comes first.
    """

    camera_size: Size = IMAGE_SIZE
    crop: Annotated[tuple[int, int], Number(0)] = (60, 135)
    size: Size = (66, 200)
    color: Literal["yuv", "rgb", "bgr", "yuv_before_3.2"] = "yuv"
    scale: float = 1 / 127.5
    offset: float = -1.0
    interpolation: Literal["auto", "linear", "area"] = "auto"
    columns: Annotated[tuple[int, int], Number(0)] | None = None
    blur: Annotated[int, Number(0)] = 0
    order: tuple[str, ...] = ORDER
    resized: Size | None = None

    def __post_init__(self) -> None:
        check_fields(self)
        self._check_order()
        height, width = self.camera_size if self.resized is None else self.resized
        check_crop(self.crop, height)
        if self.columns is not None and not self.columns[0] < self.columns[1] <= width:
            raise OptionError(
                f"columns={self.columns} must be (left, right), the columns of an image of {width} columns "
                "that are kept: image[:, left:right]"
            )
        if self.blur and self.blur % 2 == 0:
            raise OptionError(f"blur={self.blur} must be odd: the side of the kernel in pixels, or 0")

    def _check_order(self) -> None:
        """Check the order of the steps, and that no step is missing."""
        order = self.order
        if not isinstance(order, tuple) or len(set(order)) < len(order) or set(order) - set(ORDER):
            raise OptionError(f"order={order!r} must be some of {ORDER}, each once")
        crops_later = "resize" in order and "crop" in order and order.index("resize") < order.index("crop")
        if crops_later != (self.resized is not None):
            raise OptionError(
                f"resized={self.resized} with order={order}: resized is the size of the resized image if the "
                "crop comes after it, and None otherwise"
            )
        height, width = self.camera_size
        if "crop" in order and not crops_later:
            height, width = self._cropped_size(width)
        if "resize" in order:
            height, width = self.size
        if crops_later and self.resized is not None:
            height, width = self._cropped_size(self.resized[1])
        missing = [
            name
            for name, is_needed in (
                ("crop", self.crop != (0, self.camera_size[0]) or self.columns is not None),
                ("blur", self.blur > 0),
                ("resize", (height, width) != self.size),
                ("color", self.color != "rgb"),
            )
            if is_needed and name not in order
        ]
        if missing:
            raise OptionError(f"order={order} lacks {', '.join(missing)}, which the other settings need")
        if (height, width) != self.size:
            raise OptionError(
                f"size={self.size}, but a crop of {(height, width)} px comes after resizing, which gives the "
                "size"
            )

    def _cropped_size(self, width: int) -> tuple[int, int]:
        """(height, width) of the crop of an image with a width."""
        left, right = self.columns or (0, width)
        return self.crop[1] - self.crop[0], right - left

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
        for step in self.order:
            if step == "color":
                conversion = COLORS[self.color]
                if conversion is not None:
                    image = np.asarray(cv2.cvtColor(image, conversion), np.uint8)
            else:
                image = self._change(step, image)
        return image

    def _change(self, step: str, image: NDArray[Any]) -> NDArray[Any]:
        """Crop, blur or resize an image; a view where that is possible."""
        if step == "crop":
            left, right = self.columns or (0, image.shape[1])
            return image[self.crop[0] : self.crop[1], left:right]
        if step == "blur":
            return np.asarray(cv2.GaussianBlur(image, (self.blur, self.blur), 0)) if self.blur else image
        size = self.resized or self.size
        if image.shape[:2] == size:
            return image
        return np.asarray(cv2.resize(image, size[::-1], interpolation=self._resize_method))

    @property
    def _resize_method(self) -> int:
        """OpenCV's constant for the interpolation that resizes."""
        height, width = self.resized or self.size
        rows, columns = self.camera_size
        if "crop" in self.order and self.resized is None:
            rows, columns = self._cropped_size(columns)
        shrinks = height <= rows and width <= columns
        area = self.interpolation == "area" or (self.interpolation == "auto" and shrinks)
        return int(cv2.INTER_AREA if area else cv2.INTER_LINEAR)

    def matrices(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Crop, blur and resize as matrices, which are applied from both sides and don't round.

        Returns:
            (size[0], camera_size[0]) for the rows and (camera_size[1], size[1]) for the columns, float32.
        """
        return self._matrix(0), self._matrix(1).T

    def _matrix(self, axis: int) -> NDArray[np.float32]:
        """The steps along one axis, of the identity: (size, camera size) float32."""
        x = np.eye(self.camera_size[axis], dtype=np.float32)
        method = self._resize_method
        for step in self.order:
            if step == "crop":
                kept = self.crop if axis == 0 else self.columns or (0, len(x))
                x = x[kept[0] : kept[1]]
            elif step == "blur" and self.blur:
                x = np.asarray(cv2.GaussianBlur(x, (1, self.blur), 0), np.float32)
            elif step == "resize":
                length = (self.resized or self.size)[axis]
                if length != len(x):
                    x = np.asarray(cv2.resize(x, (x.shape[1], length), interpolation=method), np.float32)
        return x

    def camera_pixels(self) -> NDArray[np.float64]:
        """Map from pixels of a prepared image to the camera's; pixel centres are whole numbers.

        Returns:
            (3, 3) homogeneous map of (column, row, 1).
        """
        (top, _), (left, _) = self.crop, self.columns or (0, 0)
        is_cropped = "crop" in self.order
        rows, columns = (
            self.camera_size if self.resized or not is_cropped else self._cropped_size(self.camera_size[1])
        )
        height, width = self.resized or self.size
        x, y = columns / width, rows / height
        scale = np.array([[x, 0, 0.5 * x - 0.5], [0, y, 0.5 * y - 0.5], [0, 0, 1.0]])
        if not is_cropped:
            return scale
        shift = np.array([[1.0, 0, left], [0, 1.0, top], [0, 0, 1.0]])
        found: NDArray[np.float64] = scale @ shift if self.resized else shift @ scale
        return found

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
            (n, 3, *size) or (n, 3 * frames, *size) float32; channels last in memory, which is
            fastest for convolutions on CPUs.
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
        names = {f.name for f in fields(cls)}
        newer = {"interpolation", "columns", "blur", "order", "resized"}  # older files have none of these
        if names - set(data) - newer or set(data) - names:
            raise OptionError(
                f"preprocessing has the settings {sorted(data)}, expected exactly {sorted(names)}"
            )
        # JSON has lists for tuples.
        values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in data.items()}
        return cls(**values)
