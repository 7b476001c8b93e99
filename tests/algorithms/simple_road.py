"""A road so simple that steering follows from one glance, and recordings of it."""

import csv
import math
import shutil
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from udacity_gym.recording import RecordingWriter
from udacity_gym.telemetry import CAMERAS, Image

CAMERA_OFFSETS = {"center": 0.0, "left": -0.806, "right": 0.825}
FOCAL, COLUMN, HORIZON, HEIGHT, ROLL = 138.56, 158.0, 60.8, 1.25, math.radians(1.2)


def road_image(offset: float, heading: float = 0.0, raised: float = 0.0) -> Image:
    """A straight grey road between yellow lines on green, as Udacity's camera would see it.

    Args:
        offset: m by which the camera stands right of the middle of the road.
        heading: rad by which it looks to the right.
        raised: px by which the image's content lies higher, from looking down.
    """
    rows, columns = np.mgrid[0:160, 0:320].astype(np.float64)
    columns = columns - COLUMN + FOCAL * math.tan(heading) * math.cos(ROLL)
    rows = rows - HORIZON + raised + FOCAL * math.tan(heading) * math.sin(ROLL)
    below = -columns * math.sin(ROLL) + rows * math.cos(ROLL)
    along = columns * math.cos(ROLL) + rows * math.sin(ROLL)
    lateral = offset + HEIGHT * along / np.maximum(below, 1e-6)
    image = np.full((160, 320, 3), (110, 160, 220), np.uint8)
    ground = below > 0
    image[ground] = (90, 130, 60)
    image[ground & (np.abs(lateral) < 4.0)] = (90, 90, 90)
    image[ground & (np.abs(np.abs(lateral) - 3.6) < 0.3)] = (220, 200, 40)
    return np.asarray(cv2.GaussianBlur(image, (3, 3), 0), np.uint8)


def road_images(offset: float, heading: float = 0.0) -> Mapping[str, Image]:
    """What the three cameras see of the simple road."""
    return {name: road_image(offset + CAMERA_OFFSETS[name], heading) for name in CAMERAS}


def wanted_steering(offset: float) -> float:
    """What the simple road's driver does: back to the middle."""
    return -0.2 * offset


def write_road_recording(
    folder: Path, offsets: NDArray[np.float64], episodes: int = 1, speed: float = 10.0
) -> Path:
    """Record the simple road, 15 rows a second at a speed in m/s, cut into episodes."""
    for number, part in enumerate(np.array_split(offsets, episodes)):
        with RecordingWriter(folder, start=datetime(2024, 1, 1, number), append=number > 0) as writer:
            for i, offset in enumerate(part.tolist()):
                writer.write(
                    road_images(offset),
                    steering=wanted_steering(offset),
                    throttle=0.5,
                    brake=0.0,
                    speed=speed,
                    time=i / 15,
                )
    return folder


def log_without(recording: Path, folder: Path, *names: str) -> Path:
    """A copy of a recording whose log has a header, and lacks columns."""
    shutil.copytree(recording, folder)
    columns = ["center", "left", "right", "steering", "throttle", "brake", "speed"]
    rows = list(csv.reader((folder / "driving_log.csv").read_text().splitlines()))
    rows = [row for row in rows if row[0] != "center"]
    kept = [i for i, name in enumerate(columns) if name not in names]
    with (folder / "driving_log.csv").open("w", newline="") as log:
        csv.writer(log).writerows([[row[i] for i in kept] for row in [columns, *rows]])
    return folder
