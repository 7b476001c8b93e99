"""Film strips and videos of the last seconds before each intervention."""

from __future__ import annotations

import contextlib
from collections import deque
from pathlib import Path

import cv2
import numpy as np

from udacity_gym.errors import OptionError, UdacityGymError
from udacity_gym.evaluation.encoders import VideoFormat
from udacity_gym.evaluation.episode_log import Film
from udacity_gym.evaluation.result import WORDS, Incident
from udacity_gym.evaluation.runner import EvaluationStep
from udacity_gym.evaluation.video import DriveVideo, compose, image_in
from udacity_gym.files import replacing
from udacity_gym.telemetry import Image

SECONDS = 3.0
"""Seconds shown before an incident."""
IMAGES = 6
"""Number of images in a strip."""
MAX_FILMS = 5
"""Maximum number of incidents shown per episode, from the first on."""
VIDEO_SIZE = (512, 288)


class IncidentFilms:
    """Buffer the last seconds and write them when the car is put back; an ``on_step`` hook.

    Attributes:
        films: films written so far.
    """

    def __init__(
        self, folder: Path, stem: str, videos: bool = False, video_format: VideoFormat = "webm"
    ) -> None:
        """Prepare for a drive.

        Args:
            folder: folder in which ``films/`` is made.
            stem: beginning of the file names.
            videos: also make videos of the car from behind; every step is rendered once more for them.
            video_format: "webm" or "mp4".
        """
        self.films: list[Film] = []
        self._folder = folder
        self._stem = stem
        self._videos = videos
        self._video_format = video_format
        self._past: deque[tuple[float, Image, Image | None]] = deque()

    def __call__(self, step: EvaluationStep) -> None:
        """Buffer a step; write a film if the car was put back."""
        image = image_in(step.observation)
        if image is None or len(self.films) >= MAX_FILMS:
            return
        view = compose(step, *VIDEO_SIZE) if self._videos else None
        self._past.append((step.time, image, view))
        while step.time - self._past[0][0] > SECONDS:
            self._past.popleft()
        causes = [incident for incident in step.incidents if incident.intervention]
        if causes:
            self._write(causes[0])
            self._past.clear()

    def _write(self, cause: Incident) -> None:
        name = f"films/{self._stem}-{len(self.films) + 1}"
        indices = np.linspace(0, len(self._past) - 1, IMAGES).round().astype(int)
        strip = film_strip([self._past[i][1] for i in indices])
        with replacing(self._folder / f"{name}.jpg") as part:
            if not cv2.imwrite(
                str(part), cv2.cvtColor(strip, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 85]
            ):
                raise UdacityGymError(f"can't write {self._folder / name}.jpg; is the disk full?")
        video = None
        views = [view for _, _, view in self._past if view is not None]
        if views:
            video = f"{name}.{self._video_format}"
            self._write_video(self._folder / video, views)
        position = f"at {cause.s:.0f} m, {cause.cte:+.2f} m off the line"
        caption = f"{WORDS[cause.kind]} after {cause.time:.1f} s, {position}"
        self.films.append(Film(caption, f"{name}.jpg", video))

    def _write_video(self, path: Path, views: list[Image]) -> None:
        seconds = self._past[-1][0] - self._past[0][0]
        fps = max(1, round((len(views) - 1) / seconds)) if seconds > 0 else 15
        width, height = VIDEO_SIZE
        with contextlib.closing(DriveVideo(path, width=width, height=height, fps=fps, speed_up=1.0)) as video:
            for view in [*views, *[views[-1]] * (fps // 2)]:  # the last image stays for half a second
                video.write(view)


def film_strip(images: list[Image], width: int = 240, gap: int = 4) -> Image:
    """Images side by side.

    Args:
        images: (height, width, 3) uint8 RGB each, of one size.
        width: width of each image in the strip, px.
        gap: white gap between two images, px.

    Returns:
        (height, width, 3) uint8 RGB.

    Raises:
        OptionError: There is no image.
    """
    if not images:
        raise OptionError("a film strip needs at least one image")
    height = round(width * images[0].shape[0] / images[0].shape[1])
    strip = np.full((height, len(images) * (width + gap) - gap, 3), 255, np.uint8)
    for k, image in enumerate(images):
        left = k * (width + gap)
        strip[:, left : left + width] = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    return strip
