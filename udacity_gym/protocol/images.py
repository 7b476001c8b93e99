"""Images on the wire: JPEG as Udacity's simulator writes it, in base64."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from udacity_gym.errors import SimulatorError
from udacity_gym.telemetry import Image

_HEADER = 1 << 18
"""Characters of an image within which its size must stand; a multiple of 4, as base64 needs it."""


class EncodedImages:
    """The images of a telemetry, decoded when they are asked for.

    Args:
        encoded: base64 of JPEG or PNG files by camera.
        size: (height, width) to which images of another size are scaled; None leaves them as they are.
    """

    def __init__(self, encoded: Mapping[str, str], size: tuple[int, int] | None = None) -> None:
        self.encoded, self._size = encoded, size

    def __call__(self, cameras: Sequence[str]) -> dict[str, NDArray[np.uint8]]:
        """Decode images.

        Raises:
            SimulatorError: One is broken, or too large.
        """
        return {camera: self._decode(camera) for camera in cameras}

    def check(self, cameras: Sequence[str], size: tuple[int, int]) -> None:
        """Check the sizes of images by their headers; nothing is decoded.

        Args:
            cameras: cameras whose images are needed.
            size: (height, width) that they must have.

        Raises:
            SimulatorError: An image has another size, is too large, or is none.
        """
        for camera in cameras:
            try:
                found = image_size(_from_base64(self.encoded[camera][:_HEADER]))
            except ValueError as error:
                raise SimulatorError(_why_broken(camera, error)) from None
            if found != size:
                raise SimulatorError(
                    f"the simulator's image of {camera!r} is {found[1]}x{found[0]} pixels, but observations "
                    f"are {size[1]}x{size[0]}: set the size of its camera, or scale its images with "
                    'gym.make(..., simulator_options={"resize": True})'
                )

    def resized(self, size: tuple[int, int]) -> EncodedImages:
        """The same images, scaled to a size when they are decoded."""
        return EncodedImages(self.encoded, size)

    def _decode(self, camera: str) -> Image:
        try:
            image = decode_image(self.encoded[camera])
        except ValueError as error:
            raise SimulatorError(_why_broken(camera, error)) from None
        if self._size is None or image.shape[:2] == self._size:
            return image
        import cv2

        return np.asarray(cv2.resize(image, self._size[::-1], interpolation=cv2.INTER_AREA), np.uint8)


def encode_image(image: Image) -> str:
    """Encode an image: (height, width, 3) uint8 RGB to base64 of JPEG, quality 75, chroma 4:2:0."""
    from udacity_gym.recording.images import encode_jpeg

    return base64.b64encode(encode_jpeg(image)).decode("ascii")


def encode_labels(labels: NDArray[np.uint8]) -> str:
    """Encode a segmentation: (height, width) uint8 labels to base64 of PNG in the colours of its classes."""
    import cv2

    from udacity_gym.sensors import colour_labels

    _, data = cv2.imencode(".png", cv2.cvtColor(colour_labels(labels), cv2.COLOR_RGB2BGR))
    return base64.b64encode(data.tobytes()).decode("ascii")


def image_size(data: bytes) -> tuple[int, int]:
    """Read height and width in the header of an image.

    Args:
        data: content of a JPEG or PNG file.

    Raises:
        ValueError: It is no image, or is too large to be decoded.
    """
    from udacity_gym.errors import RecordingError
    from udacity_gym.recording.images import check_size

    try:
        width, height = check_size(data, "the image")
    except RecordingError as error:
        raise ValueError(str(error)) from None
    return height, width


def decode_image(text: str) -> Image:
    """Decode an image.

    Args:
        text: base64 of a JPEG or PNG file.

    Returns:
        (height, width, 3) uint8 RGB, a fresh array.

    Raises:
        ValueError: The text is no image, or one that is too large; its header is checked first.
    """
    from udacity_gym.errors import RecordingError
    from udacity_gym.recording.images import decode_image as decode

    image_size(_from_base64(text[:_HEADER]))
    try:
        return decode(_from_base64(text), "the image")
    except RecordingError as error:
        raise ValueError(str(error)) from None


def through_jpeg(image: Image) -> Image:
    """Encode and decode an image, as if it had been sent over the wire."""
    return decode_image(encode_image(image))


def _from_base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"the image is not base64: {error}") from None


def _why_broken(camera: str, error: ValueError) -> str:
    return (
        f"the simulator's image of {camera!r} can't be used: {error}. The next step() asks for the next "
        "image; without images it drives with gym.make(..., cameras=())"
    )
