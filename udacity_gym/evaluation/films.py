"""Images of what went wrong: a film strip and a video of the last seconds before each intervention."""

from __future__ import annotations

import contextlib
from collections import deque
from pathlib import Path

import cv2
import numpy as np

from udacity_gym.errors import UdacityGymError
from udacity_gym.evaluation.episode_log import Film
from udacity_gym.evaluation.result import WORDS, Incident
from udacity_gym.evaluation.runner import EvaluationStep
from udacity_gym.evaluation.video import DriveVideo, compose, image_in
from udacity_gym.files import replacing
from udacity_gym.telemetry import Image

SECONDS = 3.0
"""s before an incident that are shown."""
IMAGES = 6
"""Images of a strip."""
MOST = 5
"""Incidents of an episode that are shown, the first ones."""
VIDEO_SIZE = (512, 288)


class IncidentFilms:
    """Keeps the last seconds in mind, for when the car has to be put back; an ``on_step`` hook.

    Attributes:
        films: what was written so far.
    """

    def __init__(self, folder: Path, stem: str, videos: bool = False) -> None:
        """Watch a drive.

        Args:
            folder: where ``films/`` is made.
            stem: how the files' names begin.
            videos: videos too, of the car from behind; each step of the drive is drawn once more for them.
        """
        self.films: list[Film] = []
        self._folder = folder
        self._stem = stem
        self._videos = videos
        self._past: deque[tuple[float, Image, Image | None]] = deque()

    def __call__(self, step: EvaluationStep) -> None:
        """Take in a step."""
        seen = image_in(step.observation)
        if seen is None or len(self.films) >= MOST:
            return
        view = compose(step, *VIDEO_SIZE) if self._videos else None
        self._past.append((step.time, seen, view))
        while step.time - self._past[0][0] > SECONDS:
            self._past.popleft()
        causes = [incident for incident in step.incidents if incident.intervention]
        if causes:
            self._write(causes[0])
            self._past.clear()

    def _write(self, cause: Incident) -> None:
        name = f"films/{self._stem}-{len(self.films) + 1}"
        chosen = np.linspace(0, len(self._past) - 1, IMAGES).round().astype(int)
        strip = film_strip([self._past[i][1] for i in chosen])
        with replacing(self._folder / f"{name}.jpg") as part:
            if not cv2.imwrite(
                str(part), cv2.cvtColor(strip, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 85]
            ):
                raise UdacityGymError(f"can't write {self._folder / name}.jpg; is the disk full?")
        video = None
        views = [view for _, _, view in self._past if view is not None]
        if views:
            video = f"{name}.webm"
            self._write_video(self._folder / video, views)
        where = f"at {cause.s:.0f} m, {cause.cte:+.2f} m off the line"
        caption = f"{WORDS[cause.kind]} after {cause.time:.1f} s, {where}"
        self.films.append(Film(caption, f"{name}.jpg", video))

    def _write_video(self, path: Path, views: list[Image]) -> None:
        seconds = self._past[-1][0] - self._past[0][0]
        fps = max(1, round((len(views) - 1) / seconds)) if seconds > 0 else 15
        width, height = VIDEO_SIZE
        with contextlib.closing(DriveVideo(path, width=width, height=height, fps=fps, speed_up=1.0)) as video:
            for view in [*views, *[views[-1]] * (fps // 2)]:  # the end stays for half a second
                video.write(view)


def film_strip(images: list[Image], width: int = 240, gap: int = 4) -> Image:
    """Images side by side.

    Args:
        images: (height, width, 3) uint8 RGB each, of one size.
        width: px of each in the strip.
        gap: px of white between two.

    Returns:
        (height, width, 3) uint8 RGB.
    """
    height = round(width * images[0].shape[0] / images[0].shape[1])
    strip = np.full((height, len(images) * (width + gap) - gap, 3), 255, np.uint8)
    for k, image in enumerate(images):
        left = k * (width + gap)
        strip[:, left : left + width] = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    return strip
