"""Encoders of videos: WebM by OpenCV, MP4 by PyAV."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias

import cv2

from udacity_gym.errors import OptionError, SimulatorError
from udacity_gym.installation import install_command, require
from udacity_gym.telemetry import Image

VideoFormat: TypeAlias = Literal["webm", "mp4"]
"""VP8 in WebM: every OpenCV wheel from PyPI can write it (none has H.264) and every browser can play it.
H.264 in MP4 takes a third of the space, and needs the package av."""

CRF = 23
"""Quality of H.264, lower is better; 23 is the default of x264."""


class Encoder(Protocol):
    """Writes images to a file."""

    def write(self, image: Image) -> None:
        """Add an image, (height, width, 3) uint8 RGB.

        Raises:
            OSError: It can't be written; not every encoder notices.
        """
        ...

    def close(self) -> None:
        """Finish the file.

        Raises:
            OSError: It can't be finished.
        """
        ...


def open_encoder(path: Path, width: int, height: int, fps: int) -> Encoder:
    """Open a file for images.

    Args:
        path: file to write, with the suffix ".webm" or ".mp4".
        width: width of the images, pixels, even.
        height: height of the images, pixels, even.
        fps: images per second.

    Raises:
        MissingDependencyError: The suffix is ".mp4" and PyAV is not installed.
        SimulatorError: OpenCV can't encode the video.
    """
    if path.suffix.lower() == ".mp4":
        return _PyAvEncoder(path, width, height, fps)
    return _OpenCvEncoder(path, width, height, fps)


def check_format(path: Path) -> None:
    """Check the suffix of a video, and that its encoder is installed.

    Raises:
        OptionError: The suffix is neither ".webm" nor ".mp4".
        MissingDependencyError: The suffix is ".mp4" and PyAV is not installed.
    """
    if path.suffix.lower() not in (".webm", ".mp4"):
        raise OptionError(
            f"a video is a .webm or .mp4 file, which browsers play; got {path.name!r}. "
            f"MP4 needs {install_command('video')}"
        )
    if path.suffix.lower() == ".mp4":
        _import_av()


def _import_av() -> Any:
    return require("av", "a video as .mp4, unlike one as .webm,")


MATROSKA, WEBM = b"\x42\x82\x88matroska", b"\x42\x82\x84webm\xec\x82\x00\x00"
"""The type of a file in its header, see RFC 8794: identifier, length, text. WebM's is followed by an empty
element, so that both are equally long."""


class _OpenCvEncoder:
    """Writes Matroska, and then makes it WebM, which differs in nothing but the type in its header.

    OpenCV can write WebM itself, but prints a warning for each file: it has no code for VP8 there.
    """

    def __init__(self, path: Path, width: int, height: int, fps: int) -> None:
        self._path, self._matroska = path, path.with_suffix(".mkv")
        fourcc = cv2.VideoWriter.fourcc(*"VP80")
        self._writer = cv2.VideoWriter(str(self._matroska), fourcc, float(fps), (width, height))
        if not self._writer.isOpened():
            self._matroska.unlink(missing_ok=True)
            raise SimulatorError(
                f"OpenCV {cv2.__version__} can't write {path.name}: it has no VP8 encoder; "
                "pip install opencv-python-headless has one"
            )

    def write(self, image: Image) -> None:
        self._writer.write(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))

    def close(self) -> None:
        self._writer.release()
        self._matroska.replace(self._path)
        with self._path.open("r+b") as file:
            start = file.read(64).replace(MATROSKA, WEBM)
            file.seek(0)
            file.write(start)


class _PyAvEncoder:
    def __init__(self, path: Path, width: int, height: int, fps: int) -> None:
        self._av = _import_av()
        # The index at the beginning of the file, so that a browser plays it while it loads.
        self._container = self._av.open(str(path), "w", format="mp4", options={"movflags": "faststart"})
        self._stream = self._container.add_stream("libx264", rate=Fraction(fps), options={"crf": str(CRF)})
        self._stream.width, self._stream.height = width, height
        self._stream.pix_fmt = "yuv420p"  # the only one that all browsers play

    def write(self, image: Image) -> None:
        frame = self._av.VideoFrame.from_ndarray(image, format="rgb24")
        with self._os_errors():
            self._container.mux(self._stream.encode(frame))

    def close(self) -> None:
        with self._os_errors():
            try:
                self._container.mux(self._stream.encode())
            finally:
                self._container.close()

    @contextlib.contextmanager
    def _os_errors(self) -> Iterator[None]:
        try:
            yield
        except self._av.error.FFmpegError as error:
            raise OSError(str(error)) from error
