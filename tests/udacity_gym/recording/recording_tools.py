"""What small recordings are made of."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from udacity_gym.telemetry import CAMERAS

MakeRecording = Callable[..., Path]


def make_image(seed: int, height: int = 160, width: int = 320) -> NDArray[np.uint8]:
    """A smooth colourful image, another for every seed; (height, width, 3) uint8 RGB."""
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 8, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(coarse, (width, height)), dtype=np.uint8)


def image_name(camera: str, seconds: float) -> str:
    """Udacity's name of an image taken so many seconds after 17:11."""
    ms = round(seconds * 1000)
    return f"{camera}_2018_07_16_17_{11 + ms // 60000:02d}_{ms // 1000 % 60:02d}_{ms % 1000:03d}.jpg"


def row(seconds: float, numbers: str = "0,0.5,0,10", folder: str = "IMG/") -> str:
    """A line as the 2017 build writes it."""
    return ",".join([*(folder + image_name(camera, seconds) for camera in CAMERAS), numbers])
