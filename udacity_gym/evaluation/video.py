"""Video of a drive, written during the drive: `DriveVideo`."""

from __future__ import annotations

import contextlib
import shutil
from collections import deque
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any

import cv2
import numpy as np
from typing_extensions import Self

from udacity_gym.errors import OptionError, SimulatorError, UdacityGymError
from udacity_gym.evaluation.encoders import check_format, open_encoder
from udacity_gym.evaluation.result import WORDS
from udacity_gym.evaluation.runner import EvaluationStep
from udacity_gym.files import replacing
from udacity_gym.overlay import PANEL, draw_telemetry
from udacity_gym.telemetry import VIEWS, Image, Telemetry

NOTICE_SECONDS = 1.0
"""Seconds of video during which a put-back is announced."""
PENDING = 16
"""Maximum number of images that wait for the encoder."""
INK = (245, 245, 240)
ALERT = (214, 48, 49)


class DriveVideo:
    """Write a video of an evaluation, with chase view, instruments and camera image.

    Pass it to `evaluate` as ``on_step`` and use it as a context manager. The file is made when the block ends
    without an error::

        with DriveVideo("drive.webm") as video:
            evaluate(policy, env, on_step=video)

    Images are encoded in a thread, in parallel to the drive.

    Attributes:
        path: file of the video.
        frames: number of images given to the encoder so far.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        width: int = 512,
        height: int = 288,
        fps: int = 15,
        speed_up: float = 4.0,
        view: str = "chase",
    ) -> None:
        """Open the video.

        Args:
            path: file to write, with the suffix ".webm" or ".mp4" (needs PyAV: the extra "video"); an
                existing file is replaced.
            width: width of the video, pixels, even.
            height: height of the video, pixels, even.
            fps: images per second of the video.
            speed_up: playback speed relative to the drive; 4 shows a lap in about 25 s.
            view: "chase" or "cockpit".

        Raises:
            OptionError: A size, a rate, the view or the suffix is invalid.
            MissingDependencyError: The suffix is ".mp4", and PyAV is not installed.
            UdacityGymError: The file can't be written, or OpenCV can't encode the video.
        """
        self.path = Path(path)
        check_format(self.path)
        if width < 64 or height < 64 or width % 2 or height % 2:
            raise OptionError(f"width and height must be even and at least 64 pixels, got {width}x{height}")
        if not (fps > 0 and speed_up > 0):
            raise OptionError(f"fps and speed_up must be above 0, got {fps} and {speed_up}")
        if view not in VIEWS:
            raise OptionError(f"view must be one of {', '.join(VIEWS)}, got {view!r}")
        self.frames = 0
        self._size = (width, height)
        self._view = view
        self._period = speed_up / fps
        self._speed_up = speed_up
        self._notice_frames = max(1, round(NOTICE_SECONDS * fps))
        self._notice: tuple[str, int] | None = None
        self._due = 0.0
        self._closed = False
        with contextlib.ExitStack() as stack:
            self._part = stack.enter_context(replacing(self.path))
            self._writer = open_encoder(self._part, width, height, fps)
            self._file = stack.pop_all()
        self._encoder = ThreadPoolExecutor(max_workers=1, thread_name_prefix="video")
        self._pending: deque[Future[None]] = deque()

    def __call__(self, step: EvaluationStep) -> None:
        """Process a step. Draws an image if one is due, and always for a put-back."""
        causes = [incident.kind for incident in step.incidents if incident.intervention]
        if causes:
            self._notice = (f"put back: {WORDS[causes[0]]}", self._notice_frames)
        due = 0
        while self._due <= step.time + 1e-9:
            due += 1
            self._due += self._period
        if due or causes:
            image = self._compose(step)
            for _ in range(max(1, due)):
                self.write(image)

    def write(self, image: Image) -> None:
        """Add an image, (height, width, 3) uint8 RGB."""
        if len(self._pending) >= PENDING:
            self._pending.popleft().result()
        self._pending.append(self._encoder.submit(self._encode, image.copy()))
        self.frames += 1

    def close(self) -> None:
        """Finish the file. Without images there is no file.

        Can be called twice.

        Raises:
            UdacityGymError: Not all images are in the file, for example because the disk is full;
                there is no file then.
        """
        if self._closed:
            return
        with self._file:
            self._finish()
            for future in self._pending:
                future.result()
            if self.frames:
                self._check()
            else:
                self._part.unlink()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if exc_type is None:
            self.close()
        elif not self._closed:
            self._finish()
            with contextlib.suppress(UdacityGymError):  # the error that ended the block is more important
                self._file.__exit__(exc_type, exc, traceback)

    def _encode(self, image: Image) -> None:
        try:
            self._writer.write(image)
        except OSError as error:
            raise UdacityGymError(f"the video {self.path} can't be written: {error}") from error

    def _finish(self) -> None:
        self._closed = True
        self._encoder.shutdown(wait=True)
        # Another error says more; that images are missing is found when they are counted.
        with contextlib.suppress(OSError):
            self._writer.close()

    def _check(self) -> None:
        """Count the images in the file, because OpenCV's writer does not report a full disk."""
        capture = cv2.VideoCapture(str(self._part))
        written = 0
        while capture.grab():
            written += 1
        capture.release()
        if written != self.frames:
            free = shutil.disk_usage(self._part.parent).free
            raise UdacityGymError(
                f"only {written} of {self.frames} images of the video {self.path} could be written, "
                f"so it was removed; {free / 1e6:.0f} MB are free there: is the disk full?"
            )

    def _compose(self, step: EvaluationStep) -> Image:
        image = compose(step, *self._size, self._view)
        self._draw_notices(image, step)
        return image

    def _draw_notices(self, image: Image, step: EvaluationStep) -> None:
        """Draw playback speed, number of put-backs, and the reason for the present one."""
        height, width = image.shape[:2]
        unit = height / 288
        words = [] if self._speed_up == 1 else [f"{self._speed_up:g}x"]
        if step.interventions:
            words.append(f"put back {step.interventions}x")
        _text(image, "   ".join(words), round(10 * unit), round(20 * unit), 0.42 * unit)
        if self._notice is None:
            return
        cause, remaining_frames = self._notice
        self._notice = (cause, remaining_frames - 1) if remaining_frames > 1 else None
        cv2.rectangle(image, (0, 0), (width - 1, height - 1), ALERT, max(2, round(3 * unit)))
        wide, high = cv2.getTextSize(cause, cv2.FONT_HERSHEY_DUPLEX, 0.42 * unit, 1)[0]
        x, y, pad = (width - wide) // 2, round(height * (1 - PANEL) - 12 * unit), round(6 * unit)
        cv2.rectangle(image, (x - pad, y - high - pad), (x + wide + pad, y + pad), ALERT, -1)
        _text(image, cause, x, y, 0.42 * unit)


def compose(step: EvaluationStep, width: int, height: int, view: str = "chase") -> Image:
    """Draw the car with instruments, and the camera image in the corner.

    Args:
        step: present step of a drive.
        width: width of the image, px.
        height: height of the image, px.
        view: "chase" or "cockpit"; if the simulator has no views, the camera image fills the image.

    Returns:
        (height, width, 3) uint8 RGB.
    """
    camera_image = image_in(step.observation)
    try:
        image: Image = step.env.unwrapped.simulator.view(view, width, height)  # type: ignore[attr-defined]
    except (SimulatorError, AttributeError):
        image, camera_image = _fit(camera_image, width, height), None
    image = draw_telemetry(image, _telemetry(step), _track_length(step))
    if camera_image is not None:
        _inset(image, camera_image)
    return image


def _telemetry(step: EvaluationStep) -> Telemetry:
    """Telemetry of a step, with time and progress of the whole drive."""
    whole_drive = {"time": step.time, "progress": step.distance, "lap": step.lap}
    return Telemetry.from_info({**step.next_info, **whole_drive})


def _track_length(step: EvaluationStep) -> float:
    return float(step.env.get_wrapper_attr("track").length)


def image_in(observation: Any) -> Image | None:
    """The image in an observation, if there is one."""
    if isinstance(observation, Mapping):
        observation = observation.get("center", next(iter(observation.values()), None))
    image = np.asarray(observation)
    if image.ndim == 3 and image.shape[2] == 3 and image.dtype == np.uint8:
        return image
    return None


def _fit(image: Image | None, width: int, height: int) -> Image:
    """Scale an image to fit a frame; black without an image."""
    frame = np.zeros((height, width, 3), np.uint8)
    if image is not None:
        scale = min(width / image.shape[1], height / image.shape[0])
        w, h = round(image.shape[1] * scale), round(image.shape[0] * scale)
        x, y = (width - w) // 2, (height - h) // 2
        frame[y : y + h, x : x + w] = cv2.resize(image, (w, h), interpolation=cv2.INTER_LINEAR)
    return frame


def _inset(image: Image, camera_image: Image) -> None:
    """Draw the camera image in the upper right corner, with a thin frame."""
    width = image.shape[1]
    w = round(width * 0.28)
    h = round(w * camera_image.shape[0] / camera_image.shape[1])
    margin, line = max(4, round(width * 0.015)), 2
    x, y = width - w - margin, margin
    image[y - line : y + h + line, x - line : x + w + line] = INK
    image[y : y + h, x : x + w] = cv2.resize(camera_image, (w, h), interpolation=cv2.INTER_AREA)


def _text(image: Image, words: str, x: int, y: int, size: float) -> None:
    cv2.putText(image, words, (x, y), cv2.FONT_HERSHEY_DUPLEX, size, INK, 1, cv2.LINE_AA)
