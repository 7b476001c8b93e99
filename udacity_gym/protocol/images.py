"""Images on the wire: JPEG as Udacity's simulator writes it, in base64."""

from __future__ import annotations

import base64
import binascii

import numpy as np

from udacity_gym.telemetry import Image


def encode_image(image: Image) -> str:
    """Encode an image: (height, width, 3) uint8 RGB to base64 of JPEG, quality 75, chroma 4:2:0."""
    from udacity_gym.recording.images import encode_jpeg

    return base64.b64encode(encode_jpeg(image)).decode("ascii")


def decode_image(text: str) -> Image:
    """Decode an image.

    Args:
        text: base64 of a JPEG or PNG file.

    Returns:
        (height, width, 3) uint8 RGB, a fresh array.

    Raises:
        ValueError: The text is no image.
    """
    import cv2

    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"the image is not base64: {error}") from None
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
    if pixels is None:
        raise ValueError(f"the image ({len(data)} bytes) is neither JPEG nor PNG")
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), dtype=np.uint8)


def through_jpeg(image: Image) -> Image:
    """Encode and decode an image, as if it had been sent over the wire."""
    return decode_image(encode_image(image))
