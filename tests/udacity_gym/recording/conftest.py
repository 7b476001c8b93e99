"""Small recordings made on the spot."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from recording_tools import MakeRecording, image_name, make_image

from udacity_gym.telemetry import CAMERAS


@pytest.fixture
def image() -> Callable[..., NDArray[np.uint8]]:
    return make_image


@pytest.fixture
def make_recording(tmp_path: Path) -> MakeRecording:
    """Write a log and images into a new folder."""

    def make(
        lines: Sequence[str] | bytes,
        images: Sequence[str] | Mapping[str, bytes] | None = None,
        name: str = "driving_log.csv",
    ) -> Path:
        folder = tmp_path / "drive"
        (folder / "IMG").mkdir(parents=True)
        data = lines if isinstance(lines, bytes) else "".join(f"{line}\n" for line in lines).encode()
        (folder / name).write_bytes(data)
        if images is None:
            images = [image_name(camera, index / 10) for index in range(len(lines)) for camera in CAMERAS]
        for index, image in enumerate(images):
            content = images[image] if isinstance(images, Mapping) else None
            if content is None:
                content = cv2.imencode(".jpg", make_image(index // 3))[1].tobytes()
            (folder / "IMG" / image).write_bytes(content)
        return folder

    return make
